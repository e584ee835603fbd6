"""Intervals of a stream's time, aligned to the clock, each with the seconds that were seen of it, and why not more.

clock      09:59        10:00        10:01        10:02
           |            |            |            |
stream          [0 =======================  50 ...... 140 s]     recorded until 50 s, promised until 140 s
expected   |    ^^^^^^^^|^^^^^^^^^^^^|^^^^^^^^^^^^|
observed   |    ########|#########   |            |
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from vidan.pipeline.coverage import Drops, Gap, GapReason, merge, overlap, spans_by_reason
from vidan.pipeline.schedule import Schedule

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class StreamSpan:
    """When a stream ran and what of it was seen, in stream seconds.

    Attributes:
        name: Of the stream.
        observed_seconds: End of the last picture that was analysed.
        expected_seconds: End that the source promised; None means the same.
        start_utc: Wall-clock time of the stream's second 0 when it is known.
        gaps: What was not seen of it, and why; they may overlap.
        drops: Frames that came and were not analysed.
    """

    name: str
    observed_seconds: float
    expected_seconds: float | None = None
    start_utc: datetime | None = None
    gaps: tuple[Gap, ...] = ()
    drops: tuple[Drops, ...] = ()


@dataclass(frozen=True, slots=True)
class Interval:
    """A piece of a stream's time.

    Attributes:
        start: Stream seconds; negative where the stream began within the interval.
        end: Stream seconds, not included.
        start_utc: The same as wall-clock time when it is known.
        end_utc: The same as wall-clock time when it is known.
        observed_seconds: How much of it was seen.
        expected_seconds: How much of it lies within the time that the source promised, and within the rule's schedule.
        dropped_frames: How many frames came in it, within the rule's schedule, and were not analysed.
        lost_seconds: How much of it was not seen, per reason in alphabetical order; reasons may overlap.
    """

    start: float
    end: float
    start_utc: datetime | None
    end_utc: datetime | None
    observed_seconds: float
    expected_seconds: float
    dropped_frames: int = 0
    lost_seconds: tuple[tuple[GapReason, float], ...] = ()

    @property
    def is_observed(self) -> bool:
        """False where nobody looked for as long as a millisecond, so that nothing counted says nothing."""
        return self.observed_seconds >= 0.001


class Timeline:
    """Cuts a stream's time into intervals of one length.

    They begin at multiples of the length since 1970-01-01 UTC (at the full minute, the full hour, midnight), or since
    the stream's second 0 where no clock is known. All arithmetic is in whole microseconds, as times stand in the log,
    so that an event on a boundary has one home.

    Args:
        span: When the stream ran.
        interval_seconds: Length of an interval.
        last_event_seconds: The timeline reaches at least as far.
        schedule: Outside of it nobody looks, and nobody is expected to; None: always open.

    Raises:
        ValueError: If the length is not positive.
    """

    def __init__(
        self,
        span: StreamSpan,
        interval_seconds: float,
        last_event_seconds: float = 0.0,
        schedule: Schedule | None = None,
    ) -> None:
        if interval_seconds <= 0:
            raise ValueError(f"an interval lasts longer than 0 s, got {interval_seconds}")
        self.span = span
        self._length = round(interval_seconds * 1e6)
        began = 0 if span.start_utc is None else (span.start_utc - _EPOCH) // _MICROSECOND
        self._offset = began % self._length  # from the first boundary to the stream's second 0
        self._promised = max(span.observed_seconds, span.expected_seconds or 0.0)
        self._closed: list[tuple[float, float]] = []
        if schedule is not None and span.start_utc is not None:
            self._closed = merge(schedule.closed(span.start_utc, self._promised))
        self._unseen = merge([*(gap[:2] for gap in span.gaps), *self._closed])
        self._lost = {reason: merge([*spans, *self._closed]) for reason, spans in spans_by_reason(span.gaps).items()}
        reached = -(-(round(self._promised * 1e6) + self._offset) // self._length)  # rounded up
        count = max(reached, self._bin(last_event_seconds) + 1)
        self.intervals = tuple(self._interval(k) for k in range(count))

    @property
    def is_observed(self) -> bool:
        """False where nobody looked at any time."""
        return any(interval.is_observed for interval in self.intervals)

    def index(self, seconds: float) -> int:
        """Which of `intervals` a moment of the stream falls into."""
        return max(0, self._bin(seconds))

    def observed(self, start: float, end: float) -> float:
        """Seconds between two moments of which pictures were analysed."""
        start, end = max(start, 0.0), min(end, self.span.observed_seconds)
        return max(0.0, end - start - overlap(self._unseen, start, end))

    def moments(self, every_seconds: float) -> NDArray[np.float64]:
        """(N,) multiples of a length of time at which pictures were analysed."""
        moments = np.round(np.arange(0.0, self.span.observed_seconds, every_seconds), 6)  # microseconds, as all here
        for start, end in self._unseen:
            moments = moments[(moments < start) | (moments >= end)]
        return moments

    def split(self, moments: NDArray[np.float64], values: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """The values of such moments, for each interval those within."""
        bounds = np.searchsorted(moments, [interval.end for interval in self.intervals])
        return np.split(values, bounds[:-1])

    def _bin(self, seconds: float) -> int:
        return (round(seconds * 1e6) + self._offset) // self._length

    def _interval(self, k: int) -> Interval:
        first = k * self._length - self._offset
        start, end = first / 1e6, (first + self._length) / 1e6
        began = self.span.start_utc
        promised = max(start, 0.0), min(end, self._promised)
        closed = overlap(self._closed, *promised)
        lost = {reason: overlap(spans, *promised) - closed for reason, spans in self._lost.items()}
        return Interval(
            start=start,
            end=end,
            start_utc=None if began is None else began + first * _MICROSECOND,
            end_utc=None if began is None else began + (first + self._length) * _MICROSECOND,
            observed_seconds=self.observed(start, end),
            expected_seconds=max(0.0, promised[1] - promised[0] - closed),
            dropped_frames=self._dropped(start, end),
            lost_seconds=tuple((reason, seconds) for reason, seconds in lost.items() if seconds >= 0.001),
        )

    def _dropped(self, start: float, end: float) -> int:
        """Frames that were not analysed between two moments, less those outside of the schedule."""
        closed = [
            (max(start, begin), min(end, until)) for begin, until in self._closed if begin < end and until > start
        ]
        edges = [start, *chain.from_iterable(closed), end]
        opened = list(zip(edges[::2], edges[1::2], strict=True))
        return sum(drops.before(until) - drops.before(begin) for begin, until in opened for drops in self.span.drops)
