"""A recording played like a camera: at the pace of its own times, now, and again and again if that is wanted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from vidan.pipeline.frame import Frame, Stamp
from vidan.pipeline.sources.video import VideoSource
from vidan.pipeline.stages import SourceHealth


class PacedSource:
    """Hands out each frame of a recording when it is due; `close` ends it at any moment, from any thread.

    Args:
        open_source: Gives the recording, anew for each round; the first is opened at once.
        loop: Begin again at the end, for ever. Numbers and seconds run on.

    Raises:
        SourceError: If the recording cannot be opened.
    """

    live = True

    def __init__(self, open_source: Callable[[], VideoSource], *, loop: bool = False) -> None:
        self._open_source = open_source
        self._loop = loop
        self._source = open_source()
        self.height, self.width = self._source.height, self._source.width
        self._closing = threading.Event()
        played = self._source.health
        self._health = SourceHealth(problems=list(played.problems))
        if not loop:
            self._health.expected, self._health.duration_seconds = played.expected, played.duration_seconds
        self._start_utc: datetime | None = None
        self._gaps_told = 0

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def start_time(self) -> datetime | None:
        """Wall-clock time of the first frame; None before it."""
        return self._start_utc

    @property
    def health(self) -> SourceHealth:
        return self._health

    def __iter__(self) -> Iterator[Frame]:
        began = time.monotonic()
        start_utc = self._start_utc = datetime.now(UTC)
        before = SourceHealth(end_seconds=0.0)  # of the rounds before
        try:
            while True:
                for frame in self._source:
                    seconds = (before.end_seconds or 0.0) + frame.stamp.pts_seconds
                    if self._closing.wait(max(0.0, began + seconds - time.monotonic())):
                        return
                    self._account(before)
                    utc = start_utc + timedelta(seconds=seconds)
                    yield frame.restamped(Stamp(self.name, before.decoded + frame.stamp.index, seconds, utc))
                self._account(before)
                if not self._loop or self._closing.is_set():
                    return
                before = replace(self._health)
                self._source, self._gaps_told = self._open_source(), 0
        finally:
            self._health.state = "ended"

    def close(self) -> None:
        """Ends the stream; may be called twice, and while another thread reads."""
        self._closing.set()
        self._source.close()

    def describe(self) -> dict[str, Any]:
        """What is played, in plain values for the manifest."""
        return self._source.describe() | {"live": True, "loop": self._loop}

    def _account(self, before: SourceHealth) -> None:
        """Brings the account up to date: what was before, and what the recording says of this round."""
        played, health = self._source.health, self._health
        start = before.end_seconds or 0.0
        for counter in ("decoded", "delivered", "corrupt", "repaired_pts"):
            setattr(health, counter, getattr(before, counter) + getattr(played, counter))
        health.end_seconds = start + (played.end_seconds or 0.0)
        health.gaps += [(start + gap[0], start + gap[1]) for gap in played.gaps[self._gaps_told :]]
        self._gaps_told = len(played.gaps)
        health.problems += [problem for problem in played.problems if problem not in health.problems]
