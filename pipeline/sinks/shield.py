"""Shield: an output without which a run on cameras goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from vidan.pipeline.frame import FrameResult
from vidan.pipeline.stages import Sink

PAUSE_SECONDS = 60.0  # between two complaints about the same output

_logger = logging.getLogger(__name__)


class Shield:
    """Tells a sink every result, and keeps what it fails with from the run: that is logged, now and then.

    Of everything that a run writes only the event log cannot be missed; a camera that goes by unwatched because a
    picture could not be drawn is the greater loss.

    Args:
        sink: The output.
        clock: Monotonic seconds.
    """

    def __init__(self, sink: Sink, clock: Callable[[], float] = time.monotonic) -> None:
        self._sink = sink
        self._clock = clock
        self._failures = 0
        self._told_at = float("-inf")

    def write(self, result: FrameResult) -> None:
        try:
            self._sink.write(result)
        except Exception as error:  # whatever it is, it concerns this output alone
            self._note(error)

    def close(self) -> None:
        """Closes the sink, with its failures, which end nothing any more."""
        self._sink.close()

    def _note(self, error: Exception) -> None:
        self._failures += 1
        if self._clock() - self._told_at >= PAUSE_SECONDS:
            self._told_at = self._clock()
            name = type(self._sink).__name__
            _logger.error("%s failed, %d times by now; the run goes on: %s", name, self._failures, error)
