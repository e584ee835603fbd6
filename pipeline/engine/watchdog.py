"""Notices what hangs: a reader that neither brings pictures nor says why, a detector that does not answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from vidan.pipeline.engine.detecting import Batch
from vidan.pipeline.engine.reader import Reader
from vidan.pipeline.engine.stream import Stream

READER_SECONDS = 60.0
DETECTOR_SECONDS = 60.0


class Watchdog:
    """Looks out for silence that is too long.

    A source notices by itself that its camera is away, and says so in its state; it has time-outs of its own for that.
    It hangs if it goes on to say that it plays, or connects, for much longer.

    Args:
        reader_seconds: Without a picture of a source that plays; five times as long for one that connects.
        detector_seconds: Without an answer of the detector.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        reader_seconds: float = READER_SECONDS,
        detector_seconds: float = DETECTOR_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader_seconds = reader_seconds
        self._detector_seconds = detector_seconds
        self._clock = clock

    def silence(self, reader: Reader) -> float:
        """Seconds since the last picture."""
        return self._clock() - reader.heard

    def hangs(self, reader: Reader) -> bool:
        """True if somebody should open its source anew."""
        state = reader.source.health.state
        patience = {"playing": self._reader_seconds, "connecting": 5 * self._reader_seconds}.get(state, float("inf"))
        return not reader.finished and self.silence(reader) > patience

    def look(self, batch: Batch | None, streams: Iterable[Stream]) -> tuple[str, ...]:
        """What hangs at this moment, a sentence each."""
        told = []
        waited = 0.0 if batch is None else self._clock() - batch.submitted
        if waited > self._detector_seconds:
            told.append(f"the detector has not answered for {waited:.0f} s")
        told += [
            f"stream {stream.name}: no picture came for {self.silence(stream.reader):.0f} s, and nobody knows why"
            for stream in streams
            if stream.live and not stream.is_over and self.hangs(stream.reader)
        ]
        return tuple(told)
