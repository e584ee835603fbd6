"""How far the counts of a run are from manual ones: errors of sums, and event by event where the true times are known.

For one movement with manual counts m_i and counts c_i in intervals i:

    signed error   sum(c) - sum(m), also relative to sum(m)
    WAPE           sum |c_i - m_i| / sum(m): errors that cancel out in the sum stay visible
    GEH            sqrt(2 (C - M)^2 / (C + M)) with C and M per hour (Geoffrey E. Havers; UK Design Manual for Roads and
                   Bridges, vol. 12): below 5 is what traffic models are asked for in 85 % of the cases
    interval       95 % of the relative error, by bootstrap over the intervals: they are drawn again with replacement,
                   each with its pair (m_i, c_i) (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13).
                   It says how the error would vary with other intervals of the same kind, and is not given for few

Recall is given with Wilson's score interval (JASA 22, 1927).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from statistics import median

import numpy as np

from vidan.pipeline.events import Event
from vidan.pipeline.report.counts import COUNTED_KINDS, direction_of
from vidan.pipeline.report.manual import ManualCount, ManualEvent, Movement
from vidan.pipeline.report.matching import match_times

MIN_INTERVALS = 5
"""The bootstrap says nothing from fewer intervals."""

_RESAMPLES = 4000
_NORMAL_975 = 1.959963984540054  # quantile of the normal distribution


@dataclass(frozen=True, slots=True)
class Cell:
    """One line of manual counts and what the run counted in it."""

    manual: ManualCount
    counted: int

    @property
    def error(self) -> int:
        return self.counted - self.manual.count

    @property
    def geh(self) -> float:
        hours = (self.manual.end - self.manual.start) / 3600
        return geh(self.manual.count / hours, self.counted / hours)


@dataclass(frozen=True, slots=True)
class CountAccuracy:
    """The cells of one movement; its classes are summed up, and the properties are those of this file's docstring."""

    movement: Movement
    cells: tuple[Cell, ...]

    @property
    def manual(self) -> int:
        return sum(cell.manual.count for cell in self.cells)

    @property
    def counted(self) -> int:
        return sum(cell.counted for cell in self.cells)

    @property
    def error(self) -> int:
        return self.counted - self.manual

    @property
    def relative_error(self) -> float:
        """0 where nothing was to be counted and nothing was, infinite where something was."""
        return _ratio(self.error, self.manual)

    @property
    def wape(self) -> float:
        return _ratio(sum(abs(cell.error) for cell in self.cells), self.manual)

    @property
    def geh(self) -> float:
        """Of the mean flow over all intervals."""
        hours = sum(end - start for start, end in self.intervals) / 3600
        return geh(self.manual / hours, self.counted / hours)

    @property
    def intervals(self) -> dict[tuple[float, float], tuple[int, int]]:
        """Manual count and count by (start, end)."""
        sums: dict[tuple[float, float], tuple[int, int]] = {}
        for cell in self.cells:
            span = cell.manual.start, cell.manual.end
            manual, counted = sums.get(span, (0, 0))
            sums[span] = manual + cell.manual.count, counted + cell.counted
        return sums

    def confidence_interval(self) -> tuple[float, float] | None:
        """95 % of `relative_error`; None from fewer than `MIN_INTERVALS` intervals. The same input gives the same."""
        sums = np.array(list(self.intervals.values()))
        if len(sums) < MIN_INTERVALS or not self.manual:
            return None
        drawn = sums[np.random.default_rng(0).integers(len(sums), size=(_RESAMPLES, len(sums)))].sum(axis=1)
        drawn = drawn[drawn[:, 0] > 0]
        low, high = np.quantile(drawn[:, 1] / drawn[:, 0] - 1, [0.025, 0.975])
        return float(low), float(high)


@dataclass(frozen=True, slots=True)
class EventAccuracy:
    """True events of one movement against those of a run, matched one to one within a tolerance.

    Attributes:
        movement: Which.
        true: Pairs of a manual time and the event that is it.
        missed: Manual times without an event.
        false: Events without a manual time.
        double: Events without one, near a manual time that another event has.
    """

    movement: Movement
    true: tuple[tuple[float, Event], ...]
    missed: tuple[float, ...]
    false: tuple[Event, ...]
    double: tuple[Event, ...]

    @property
    def manual(self) -> int:
        return len(self.true) + len(self.missed)

    @property
    def counted(self) -> int:
        return len(self.true) + len(self.false) + len(self.double)

    @property
    def wrong(self) -> float:
        """Missed, false and double ones, relative to the true number."""
        return _ratio(len(self.missed) + len(self.false) + len(self.double), self.manual)

    @property
    def recall(self) -> float:
        return len(self.true) / self.manual if self.manual else 1.0

    @property
    def precision(self) -> float:
        return len(self.true) / self.counted if self.counted else 1.0

    @property
    def median_delay(self) -> float | None:
        """Seconds by which the events are late; None without a match."""
        return median(event.pts_seconds - seconds for seconds, event in self.true) if self.true else None

    def recall_interval(self) -> tuple[float, float]:
        """95 % of `recall`."""
        return wilson(len(self.true), self.manual)


def geh(manual_per_hour: float, counted_per_hour: float) -> float:
    """The GEH statistic of two hourly volumes; 0 where both are 0."""
    total = manual_per_hour + counted_per_hour
    return sqrt(2 * (counted_per_hour - manual_per_hour) ** 2 / total) if total else 0.0


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """The 95 % score interval of a share; 0..1 where nothing was tried."""
    if not trials:
        return 0.0, 1.0
    share, z2 = hits / trials, _NORMAL_975**2 / trials
    centre, half = share + z2 / 2, sqrt(z2 * (share * (1 - share) + z2 / 4))
    return max(0.0, (centre - half) / (1 + z2)), min(1.0, (centre + half) / (1 + z2))


def compare_counts(
    manual: Iterable[ManualCount], events: Iterable[Event], groups: Mapping[str, frozenset[str]]
) -> list[CountAccuracy]:
    """Accuracy by source, rule and direction, in the order of the manual counts.

    Args:
        manual: What should have been counted.
        events: The log of the run.
        groups: Classes by name of the class group.
    """
    log = [event for event in events if event.kind in COUNTED_KINDS]
    cells: dict[Movement, list[Cell]] = {}
    for count in manual:
        own = _of_movement(count.movement, log, groups)
        counted = sum(count.start <= event.pts_seconds < count.end for event in own)
        cells.setdefault(_all_classes(count.movement), []).append(Cell(count, counted))
    return [CountAccuracy(movement, tuple(own)) for movement, own in cells.items()]


def compare_events(
    manual: Iterable[ManualEvent], events: Iterable[Event], groups: Mapping[str, frozenset[str]], tolerance: float
) -> list[EventAccuracy]:
    """Accuracy by source, rule, direction and class, as the manual events name them, in their order.

    Args:
        manual: What should have been counted.
        events: The log of the run, over the time in which somebody watched.
        groups: Classes by name of the class group.
        tolerance: Seconds by which an event may be early or late.
    """
    log = sorted((event for event in events if event.kind in COUNTED_KINDS), key=lambda event: event.pts_seconds)
    times: dict[Movement, list[float]] = {}
    for event in manual:
        times.setdefault(event.movement, []).append(event.seconds)
    return [
        _match(movement, sorted(own), _of_movement(movement, log, groups), tolerance) for movement, own in times.items()
    ]


def _match(movement: Movement, times: Sequence[float], events: Sequence[Event], tolerance: float) -> EventAccuracy:
    pairs = match_times(times, [event.pts_seconds for event in events], tolerance)
    found, taken = {i for i, _ in pairs}, {j for _, j in pairs}
    left = [event for j, event in enumerate(events) if j not in taken]

    def is_double(event: Event) -> bool:
        return any(abs(event.pts_seconds - seconds) <= tolerance for seconds in times)

    return EventAccuracy(
        movement,
        true=tuple((times[i], events[j]) for i, j in pairs),
        missed=tuple(seconds for i, seconds in enumerate(times) if i not in found),
        false=tuple(event for event in left if not is_double(event)),
        double=tuple(event for event in left if is_double(event)),
    )


def _of_movement(movement: Movement, log: Iterable[Event], groups: Mapping[str, frozenset[str]]) -> list[Event]:
    labels = None if movement.label is None else groups.get(movement.label, {movement.label})
    return [
        event
        for event in log
        if (event.stream, event.rule) == (movement.source, movement.rule)
        and (movement.direction is None or direction_of(event) == movement.direction)
        and (labels is None or event.label in labels)
    ]


def _all_classes(movement: Movement) -> Movement:
    return Movement(movement.source, movement.rule, None, movement.direction)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else inf if part else 0.0
