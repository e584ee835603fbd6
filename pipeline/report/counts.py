"""Events of lines and zones, counted by rule, class, direction and interval: of a whole log, or of one that grows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from pathlib import Path

from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.report.csv_table import COVERAGE, WHEN, coverage, when, write_csv
from vidan.pipeline.report.intervals import Interval, StreamSpan, Timeline
from vidan.pipeline.report.rule_info import ZONE_DIRECTIONS, RuleInfo
from vidan.pipeline.schedule import Schedule
from vidan.pipeline.sinks.files import GrowingLog

CERTAINTIES = ("seen", "interpolated", "bridged")
COUNTED_KINDS = frozenset({EventKind.LINE_CROSSED, *ZONE_DIRECTIONS})
_NOTHING: Counter[str] = Counter()


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


class CountCells:
    """Events of `COUNTED_KINDS` of one rule, counted by class, direction, interval and certainty."""

    def __init__(self) -> None:
        self._found: defaultdict[tuple[str, str, int], Counter[str]] = defaultdict(Counter)

    def add(self, event: Event, interval: int) -> None:
        key = event.label or "", direction_of(event), interval
        self._found[key][str(event.details.get("certainty"))] += 1

    def of(self, label: str, direction: str, interval: int) -> Counter[str]:
        """Events per certainty."""
        return self._found.get((label, direction, interval), _NOTHING)

    @property
    def labels(self) -> list[str]:
        return sorted({label for label, *_ in self._found})

    @property
    def directions(self) -> list[str]:
        return sorted({direction for _, direction, _ in self._found})


def count_rows(rule: RuleInfo, cells: CountCells, timeline: Timeline) -> list[CountRow]:
    """The rows of a rule, those without an event included."""
    labels = dict.fromkeys((*rule.classes, *cells.labels))
    directions = dict.fromkeys((*rule.directions, *cells.directions))
    rows = []
    for label, direction in product(labels, directions):
        for i, interval in enumerate(timeline.intervals):
            cell = cells.of(label, direction, i)
            seen, interpolated, bridged = (cell[certainty] for certainty in CERTAINTIES)
            certainties = (seen, interpolated, bridged) if rule.type == "line" else None
            rows.append(CountRow(rule, label, direction, interval, certainties, cell.total()))
    return rows


class RunningCounts:
    """Counts of a log that is still written. What is new in it is read and added: sums are kept, events are not, so
    that a log of months costs no more time and memory than one of minutes.

    Args:
        log: Of one run; it is only appended to, or begins anew.
        interval_seconds: Length of an interval.
    """

    def __init__(self, log: Path, interval_seconds: float) -> None:
        self._log = GrowingLog(log)
        self._interval_seconds = interval_seconds
        self._starts: dict[str, datetime | None] = {}
        self._forget()

    def rows(self, rules: Sequence[RuleInfo], spans: Sequence[StreamSpan]) -> list[CountRow]:
        """The rows of all rules as of now, as `summarize` would have them.

        Args:
            rules: Every rule on every stream that it watches.
            spans: One per stream. Where the time of day of one's second 0 is another than at the last call, intervals
                begin elsewhere, and the log is read again.

        Raises:
            SourceError: If the log cannot be read.
        """
        starts = {span.name: span.start_utc for span in spans}
        if starts != self._starts or self._log.is_shorter:
            self._starts = starts
            self._forget()
        clocks = clocks_of(spans, self._interval_seconds)
        for event in self._log.new_events():
            if event.kind in COUNTED_KINDS:
                self._cells[event.stream, event.rule].add(event, clocks[event.stream].index(event.pts_seconds))
                self._last_event[event.stream] = max(self._last_event[event.stream], event.pts_seconds)
        timelines = timelines_of(rules, spans, self._interval_seconds, self._last_event)
        return [
            row
            for rule in rules
            for row in count_rows(rule, self._cells[rule.stream, rule.name], timelines[rule.stream, rule.schedule])
        ]

    def _forget(self) -> None:
        self._log.rewind()
        self._cells: defaultdict[tuple[str, str], CountCells] = defaultdict(CountCells)
        self._last_event: defaultdict[str, float] = defaultdict(float)


def clocks_of(spans: Sequence[StreamSpan], interval_seconds: float) -> dict[str, Timeline]:
    """For each stream what tells the interval of a moment, before it is known how many there are."""
    return {span.name: Timeline(StreamSpan(span.name, 0.0, None, span.start_utc), interval_seconds) for span in spans}


def timelines_of(
    rules: Sequence[RuleInfo],
    spans: Sequence[StreamSpan],
    interval_seconds: float,
    last_event: Mapping[str, float],
) -> dict[tuple[str, Schedule | None], Timeline]:
    """The time in which rules looked, per stream and schedule; it reaches to the last event of the stream."""
    span_of = {span.name: span for span in spans}
    return {
        (stream, schedule): Timeline(span_of[stream], interval_seconds, last_event.get(stream, 0.0), schedule)
        for stream, schedule in dict.fromkeys((rule.stream, rule.schedule) for rule in rules)
    }


def write_counts_csv(path: Path, counts: Iterable[CountRow]) -> None:
    """Writes counts.csv. Where nobody looked and nothing was counted, the count is empty: missing is not zero.

    Raises:
        SinkError: If it cannot be written.
    """
    header = ("source", "rule", "type", "class", "direction", *WHEN, "count", *CERTAINTIES, *COVERAGE)
    rows = (
        (
            *(row.rule.stream, row.rule.name, row.rule.type, row.label, row.direction),
            *when(row.interval),
            *(("",) * 4 if row.is_unknown else (row.count, *(row.certainties or ("", "", "")))),
            *coverage(row.interval),
        )
        for row in counts
    )
    write_csv(path, header, rows)


def direction_of(event: Event) -> str:
    """Under which direction an event of `COUNTED_KINDS` is counted."""
    return ZONE_DIRECTIONS.get(event.kind) or str(event.details["direction"])
