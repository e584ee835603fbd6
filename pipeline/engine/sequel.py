"""A source that goes on where an earlier one of the same stream ended: its times and numbers follow on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from vidan.pipeline.frame import Frame
from vidan.pipeline.stages import Source, SourceHealth


class Sequel:
    """A source whose first frame lies as far behind the end of the earlier one as the clock on the wall says.

    Where that is not known, or the clock was set back, it follows at once: stream time only grows.

    Args:
        source: What is read now; it begins at 0 seconds and at index 0.
        start_utc: When second 0 of the stream was, if that is known.
        after_seconds: Stream time at which the earlier source ended.
        first_index: Number of the first picture.
        begun: Is told the stream time of the source's own second 0, by the thread that reads.
    """

    def __init__(
        self,
        source: Source,
        *,
        start_utc: datetime | None,
        after_seconds: float,
        first_index: int,
        begun: Callable[[float], None],
    ) -> None:
        self._source = source
        self._start_utc = start_utc
        self._after_seconds = after_seconds
        self._first_index = first_index
        self._begun = begun
        self.name = source.name
        self.live = source.live

    @property
    def health(self) -> SourceHealth:
        """Of the source, in its own time."""
        return self._source.health

    def describe(self) -> dict[str, Any]:
        return self._source.describe()

    def __iter__(self) -> Iterator[Frame]:
        offset: float | None = None
        for frame in self._source:
            stamp = frame.stamp
            if offset is None:
                offset = max(self._after_seconds, self._clock_says(stamp.utc)) - stamp.pts_seconds
                self._begun(offset)
            yield frame.restamped(
                replace(stamp, index=stamp.index + self._first_index, pts_seconds=stamp.pts_seconds + offset)
            )

    def close(self) -> None:
        self._source.close()

    def _clock_says(self, utc: datetime | None) -> float:
        if utc is None or self._start_utc is None:
            return self._after_seconds
        return (utc - self._start_utc).total_seconds()
