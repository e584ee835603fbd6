"""Event log -> counts by rule, class, direction and interval; dwell times; occupancy. The log is the truth: rules are
described here, never asked."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vidan.pipeline.errors import cannot_write
from vidan.pipeline.events import Event, EventKind, format_utc
from vidan.pipeline.report.intervals import Interval, StreamSpan, Timeline

CERTAINTIES = ("seen", "interpolated", "bridged")
ZONE_DIRECTIONS = {
    EventKind.ZONE_ENTERED: "entered",
    EventKind.ZONE_LEFT: "left",
    EventKind.ZONE_APPEARED: "appeared",
    EventKind.ZONE_VANISHED: "vanished",
}
COUNTED_KINDS = frozenset({EventKind.LINE_CROSSED, *ZONE_DIRECTIONS})
_ARRIVALS = {EventKind.ZONE_ENTERED, EventKind.ZONE_APPEARED}
_NOTHING: Counter[str] = Counter()
_WHEN = ("start", "end", "start_utc", "end_utc")
_COVERAGE = ("observed_seconds", "expected_seconds", "dropped_frames", "gap_reasons")


@dataclass(frozen=True, slots=True)
class RuleInfo:
    """What a summary must know of one rule on one stream.

    Attributes:
        stream: Name of the stream.
        name: Of the rule.
        type: What it is.
        classes: Names of the classes it can count; a class of the log that is missing here gets its row all the same.
        directions: Display names of a line's `in` and `out`; for a zone the four words of `ZONE_DIRECTIONS`.
        every_seconds: Between two samples of a zone's occupancy.
    """

    stream: str
    name: str
    type: Literal["line", "zone"]
    classes: tuple[str, ...]
    directions: tuple[str, ...] = tuple(ZONE_DIRECTIONS.values())
    every_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class CountRow:
    """How often one class passed one rule in one direction within one interval.

    Attributes:
        rule: Which rule on which stream.
        label: Name of the class.
        direction: Display name.
        interval: When.
        certainties: Events of a line per word of `CERTAINTIES`; None for zones, which know no such difference.
        count: All of them.
    """

    rule: RuleInfo
    label: str
    direction: str
    interval: Interval
    certainties: tuple[int, int, int] | None
    count: int

    @property
    def is_unknown(self) -> bool:
        """True where nobody looked, so that a count of nothing is no zero. (An event may fall into a gap all the same:
        it is interpolated, or pictures froze behind it.)"""
        return self.count == 0 and not self.interval.is_observed


@dataclass(frozen=True, slots=True)
class OccupancyRow:
    """How many were inside a zone during one interval, from samples in the time that was seen.

    Attributes:
        rule: Which zone on which stream.
        interval: When.
        samples: How many samples; without any the other three are None.
        minimum: Fewest inside.
        mean: Over the samples.
        maximum: Most inside.
    """

    rule: RuleInfo
    interval: Interval
    samples: int
    minimum: int | None
    mean: float | None
    maximum: int | None


@dataclass(frozen=True, slots=True)
class Dwell:
    """How long tracks stayed in a zone; stays cut off by an appearance or a vanishing are as long as they were seen.

    Attributes:
        rule: Which zone on which stream.
        seconds: One number per ended stay, ascending.
        vanished: How many of them ended inside.
    """

    rule: RuleInfo
    seconds: tuple[float, ...]
    vanished: int

    def quantile(self, share: float) -> float:
        """The dwell that this share of the stays does not exceed, linearly interpolated; nan without a stay."""
        return float(np.quantile(self.seconds, share)) if self.seconds else float("nan")

    @property
    def mean(self) -> float:
        return float(np.mean(self.seconds)) if self.seconds else float("nan")


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything that a table or a report of a run shows.

    Attributes:
        counts: By rule, class, direction and interval in this order, also where nothing was counted.
        occupancy: By zone and interval.
        dwells: One per zone.
        alerts: Events that are no counts (loitering, capacity) per rule and kind.
        interval_seconds: Length of the intervals.
    """

    counts: tuple[CountRow, ...]
    occupancy: tuple[OccupancyRow, ...]
    dwells: tuple[Dwell, ...]
    alerts: tuple[tuple[RuleInfo, EventKind, int], ...]
    interval_seconds: float


def summarize(
    events: Iterable[Event], rules: Sequence[RuleInfo], spans: Sequence[StreamSpan], interval_seconds: float
) -> Summary:
    """Counts a log.

    The sums hold: counts over classes, directions and intervals add up to the number of events of `COUNTED_KINDS`.

    Args:
        events: Of one run, in any order.
        rules: Every rule on every stream that it watches.
        spans: One per stream.
        interval_seconds: Length of an interval.

    Raises:
        ValueError: If an event names a rule or a stream that is not described.
    """
    by_rule: dict[tuple[str, str], list[Event]] = {(rule.stream, rule.name): [] for rule in rules}
    for event in events:
        if (event.stream, event.rule) not in by_rule:
            raise ValueError(f"event {event.id}: no rule {event.rule!r} on stream {event.stream!r} is described")
        by_rule[event.stream, event.rule].append(event)
    last_event: dict[str, float] = defaultdict(float)
    for (stream, _), own in by_rule.items():
        last_event[stream] = max([last_event[stream], *(event.pts_seconds for event in own)])
    timelines = {span.name: Timeline(span, interval_seconds, last_event[span.name]) for span in spans}

    counts: list[CountRow] = []
    occupancy: list[OccupancyRow] = []
    dwells: list[Dwell] = []
    alerts: list[tuple[RuleInfo, EventKind, int]] = []
    for rule in rules:
        own = by_rule[rule.stream, rule.name]
        counts += _count_rows(rule, own, timelines[rule.stream])
        if rule.type == "zone":
            occupancy += _occupancy_rows(rule, own, timelines[rule.stream])
            dwells.append(_dwell(rule, own))
        others = Counter(event.kind for event in own if event.kind not in COUNTED_KINDS)
        alerts += [(rule, kind, others[kind]) for kind in EventKind if others[kind]]
    return Summary(tuple(counts), tuple(occupancy), tuple(dwells), tuple(alerts), interval_seconds)


def write_counts_csv(path: Path, summary: Summary) -> None:
    """Writes counts.csv. Where nobody looked and nothing was counted, the count is empty: missing is not zero.

    Raises:
        SinkError: If it cannot be written.
    """
    header = ("source", "rule", "type", "class", "direction", *_WHEN, "count", *CERTAINTIES, *_COVERAGE)
    rows = (
        (
            *(row.rule.stream, row.rule.name, row.rule.type, row.label, row.direction),
            *_when(row.interval),
            *(("",) * 4 if row.is_unknown else (row.count, *(row.certainties or ("", "", "")))),
            *_coverage(row.interval),
        )
        for row in summary.counts
    )
    _write_csv(path, header, rows)


def write_occupancy_csv(path: Path, summary: Summary) -> None:
    """Writes occupancy.csv.

    Raises:
        SinkError: If it cannot be written.
    """
    header = ("source", "rule", *_WHEN, "samples", "minimum", "mean", "maximum", *_COVERAGE)
    rows = (
        (
            *(row.rule.stream, row.rule.name),
            *_when(row.interval),
            *(row.samples, row.minimum, None if row.mean is None else round(row.mean, 4), row.maximum),
            *_coverage(row.interval),
        )
        for row in summary.occupancy
    )
    _write_csv(path, header, rows)


def _count_rows(rule: RuleInfo, events: Sequence[Event], timeline: Timeline) -> list[CountRow]:
    found: defaultdict[tuple[str, str, int], Counter[str]] = defaultdict(Counter)
    for event in events:
        if event.kind in COUNTED_KINDS:
            key = event.label or "", _direction(event), timeline.index(event.pts_seconds)
            found[key][str(event.details.get("certainty"))] += 1
    labels = dict.fromkeys((*rule.classes, *sorted({label for label, *_ in found})))
    directions = dict.fromkeys((*rule.directions, *sorted({direction for _, direction, _ in found})))
    rows = []
    for label, direction in product(labels, directions):
        for i, interval in enumerate(timeline.intervals):
            cell = found.get((label, direction, i), _NOTHING)
            seen, interpolated, bridged = (cell[certainty] for certainty in CERTAINTIES)
            certainties = (seen, interpolated, bridged) if rule.type == "line" else None
            rows.append(CountRow(rule, label, direction, interval, certainties, cell.total()))
    return rows


def _direction(event: Event) -> str:
    return ZONE_DIRECTIONS.get(event.kind) or str(event.details["direction"])


def _occupancy_rows(rule: RuleInfo, events: Sequence[Event], timeline: Timeline) -> list[OccupancyRow]:
    moments = _sample_moments(timeline.span, rule.every_seconds)
    arrivals = np.sort([event.pts_seconds for event in events if event.kind in _ARRIVALS])
    departures = np.sort(
        [event.pts_seconds for event in events if event.kind in ZONE_DIRECTIONS and event.kind not in _ARRIVALS]
    )
    inside = np.searchsorted(arrivals, moments, side="right") - np.searchsorted(departures, moments, side="right")
    bounds = np.searchsorted(moments, [interval.end for interval in timeline.intervals])
    rows = []
    for interval, sample in zip(timeline.intervals, np.split(inside, bounds[:-1]), strict=True):
        if len(sample):
            fewest, most = int(sample.min()), int(sample.max())
            rows.append(OccupancyRow(rule, interval, len(sample), fewest, float(sample.mean()), most))
        else:
            rows.append(OccupancyRow(rule, interval, 0, None, None, None))
    return rows


def _sample_moments(span: StreamSpan, every_seconds: float) -> NDArray[np.float64]:
    moments = np.round(np.arange(0.0, span.observed_seconds, every_seconds), 6)  # microseconds, as in Timeline
    for start, end, _ in span.gaps:
        moments = moments[(moments < start) | (moments >= end)]
    return moments


def _dwell(rule: RuleInfo, events: Sequence[Event]) -> Dwell:
    ended = [event for event in events if event.kind in (EventKind.ZONE_LEFT, EventKind.ZONE_VANISHED)]
    vanished = sum(event.kind is EventKind.ZONE_VANISHED for event in ended)
    return Dwell(rule, tuple(sorted(float(event.details["dwell"]) for event in ended)), vanished)


def _when(interval: Interval) -> tuple[float | str, ...]:
    utcs = (interval.start_utc, interval.end_utc)
    return interval.start, interval.end, *("" if utc is None else format_utc(utc) for utc in utcs)


def _coverage(interval: Interval) -> tuple[float | int | str, ...]:
    lost = "; ".join(f"{reason} {seconds:.3f} s" for reason, seconds in interval.lost_seconds)
    return round(interval.observed_seconds, 3), round(interval.expected_seconds, 3), interval.dropped_frames, lost


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)
    except OSError as error:
        raise cannot_write("the table", path, error) from error
