"""Event log -> counts by rule, class, direction and interval; dwell times; occupancy. The log is the truth: rules are
described here, never asked."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidan.pipeline.events import ALERT_KINDS, Event, EventKind
from vidan.pipeline.report.counts import CountRow, clocks_of, count_rows, timelines_of
from vidan.pipeline.report.csv_table import COVERAGE, WHEN, coverage, when, write_csv
from vidan.pipeline.report.intervals import Interval, StreamSpan, Timeline
from vidan.pipeline.report.measures import FlowRow, QueueRow, Speeds, extent, flow_rows, queue_rows, speeds_of
from vidan.pipeline.report.rule_events import RuleEvents
from vidan.pipeline.report.rule_info import RuleInfo


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
        alerts: Events that call for somebody (`ALERT_KINDS`), per rule and kind.
        interval_seconds: Length of the intervals.
        near_misses: How many were not counted, per rule and reason.
        flows: Zero-filled, by flow, origin, destination and class in this order.
        speeds: One per speed rule and stream.
        queues: By queue and interval.
        unseen: Rules for which nobody ever looked, and that have no event: all their numbers are missing, not zero.
    """

    counts: tuple[CountRow, ...]
    occupancy: tuple[OccupancyRow, ...]
    dwells: tuple[Dwell, ...]
    alerts: tuple[tuple[RuleInfo, EventKind, int], ...]
    interval_seconds: float
    near_misses: tuple[tuple[RuleInfo, str, int], ...] = ()
    flows: tuple[FlowRow, ...] = ()
    speeds: tuple[Speeds, ...] = ()
    queues: tuple[QueueRow, ...] = ()
    unseen: frozenset[RuleInfo] = frozenset()


def summarize(
    events: Iterable[Event],
    rules: Sequence[RuleInfo],
    spans: Sequence[StreamSpan],
    interval_seconds: float,
    *,
    near_misses: Iterable[Event] = (),
) -> Summary:
    """Counts a log.

    The sums hold: counts over classes, directions and intervals add up to the number of events of `COUNTED_KINDS`.

    Args:
        events: Of one run, in any order.
        rules: Every rule on every stream that it watches.
        spans: One per stream.
        interval_seconds: Length of an interval.
        near_misses: Of the same run, in any order.

    Raises:
        ValueError: If an event names a rule or a stream that is not described.
    """
    by_rule = {(rule.stream, rule.name): RuleEvents() for rule in rules}
    clocks = clocks_of(spans, interval_seconds)
    last_event: defaultdict[str, float] = defaultdict(float)
    for event in events:
        own = by_rule.get((event.stream, event.rule))
        if own is None:
            raise ValueError(f"event {event.id}: no rule {event.rule!r} on stream {event.stream!r} is described")
        own.add(event, clocks[event.stream].index(event.pts_seconds))
        last_event[event.stream] = max(last_event[event.stream], event.pts_seconds)
    timelines = timelines_of(rules, spans, interval_seconds, last_event)

    counts: list[CountRow] = []
    occupancy: list[OccupancyRow] = []
    dwells: list[Dwell] = []
    alerts: list[tuple[RuleInfo, EventKind, int]] = []
    flows: list[FlowRow] = []
    speeds: list[Speeds] = []
    queues: list[QueueRow] = []
    for rule in rules:
        own, timeline = by_rule[rule.stream, rule.name], timelines[rule.stream, rule.schedule]
        counts += count_rows(rule, own.counts, timeline)
        if rule.type == "zone":
            occupancy += _occupancy_rows(rule, own, timeline)
            dwells.append(Dwell(rule, tuple(sorted(own.dwells)), own.kinds[EventKind.ZONE_VANISHED]))
        elif rule.type == "flow":
            flows += flow_rows(rule, own)
        elif rule.type == "speed":
            speeds.append(speeds_of(rule, own))
        elif rule.type == "queue":
            queues += queue_rows(rule, own, timeline)
        alerts += [(rule, kind, own.kinds[kind]) for kind in ALERT_KINDS if own.kinds[kind]]
    return Summary(
        tuple(counts),
        tuple(occupancy),
        tuple(dwells),
        tuple(alerts),
        interval_seconds,
        _near_miss_counts(rules, near_misses),
        tuple(flows),
        tuple(speeds),
        tuple(queues),
        frozenset(
            rule
            for rule in rules
            if not by_rule[rule.stream, rule.name].kinds and not timelines[rule.stream, rule.schedule].is_observed
        ),
    )


def write_occupancy_csv(path: Path, summary: Summary) -> None:
    """Writes occupancy.csv.

    Raises:
        SinkError: If it cannot be written.
    """
    header = ("source", "rule", *WHEN, "samples", "minimum", "mean", "maximum", *COVERAGE)
    rows = (
        (
            *(row.rule.stream, row.rule.name),
            *when(row.interval),
            *(row.samples, row.minimum, None if row.mean is None else round(row.mean, 4), row.maximum),
            *coverage(row.interval),
        )
        for row in summary.occupancy
    )
    write_csv(path, header, rows)


def _occupancy_rows(rule: RuleInfo, events: RuleEvents, timeline: Timeline) -> list[OccupancyRow]:
    moments = timeline.moments(rule.every_seconds)
    arrivals, departures = (np.sort(np.array(seconds)) for seconds in (events.arrivals, events.departures))
    inside = np.searchsorted(arrivals, moments, side="right") - np.searchsorted(departures, moments, side="right")
    samples = zip(timeline.intervals, timeline.split(moments, inside), strict=True)
    return [OccupancyRow(rule, interval, len(sample), *extent(sample)) for interval, sample in samples]


def _near_miss_counts(rules: Sequence[RuleInfo], near_misses: Iterable[Event]) -> tuple[tuple[RuleInfo, str, int], ...]:
    """(rule, reason, how many), the rules in their order and the reasons by name."""
    found = Counter((event.stream, event.rule, str(event.details["reason"])) for event in near_misses)
    return tuple(
        (rule, reason, number)
        for rule in rules
        for (stream, name, reason), number in sorted(found.items())
        if (stream, name) == (rule.stream, rule.name)
    )
