"""Summary, log and manifest -> one HTML page that needs nothing else: no script, no font, no network."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from vidan.pipeline.coverage import GapReason
from vidan.pipeline.errors import cannot_write
from vidan.pipeline.events import Event, to_record
from vidan.pipeline.report.intervals import Interval
from vidan.pipeline.report.summary import CERTAINTIES, CountRow, Dwell, OccupancyRow, RuleInfo, Summary

EVENTS_SHOWN = 200
MOST_BARS = 120  # more intervals than this share a bar
CHART_WIDTH, CHART_HEIGHT = 720.0, 170.0  # of the plot itself, in units of the SVG


def write_report(
    path: Path, summary: Summary, events: Sequence[Event], manifest: Mapping[str, Any], title: str
) -> None:
    """Writes report.html.

    Args:
        path: File to write.
        summary: Of the events.
        events: The log, in its order.
        manifest: As in run.json.
        title: Heading of the page.

    Raises:
        SinkError: If it cannot be written.
    """
    try:
        path.write_text(render_report(summary, events, manifest, title), encoding="utf-8")
    except OSError as error:
        raise cannot_write("the report", path, error) from error


def render_report(summary: Summary, events: Sequence[Event], manifest: Mapping[str, Any], title: str) -> str:
    """The page as text; see `write_report`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vidan.pipeline.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "clock": clock,
        "duration": duration,
        "percent": lambda share: f"{share:.1%}",
        "words": lambda reason: GapReason(reason).words,
    }
    return environment.get_template("report.html.j2").render(
        title=title,
        manifest=manifest,
        config=json.dumps(manifest["config"], ensure_ascii=False, indent=2),
        coverage=[_coverage(stream) for stream in manifest["streams"]],
        sections=_sections(summary),
        events=[to_record(event) for event in events[:EVENTS_SHOWN]],
        number_of_events=len(events),
    )


@dataclass(frozen=True, slots=True)
class RuleTable:
    """Totals of one rule.

    Attributes:
        directions: Heads of the columns.
        rows: (class, one count per direction, sum); the last row adds the others up.
        certainties: How many of all are seen, interpolated, bridged; empty for zones.
    """

    directions: tuple[str, ...]
    rows: tuple[tuple[str, tuple[int, ...], int], ...]
    certainties: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, counts: Sequence[CountRow]) -> RuleTable:
        cells: Counter[tuple[str, str]] = Counter()
        for row in counts:
            cells[row.label, row.direction] += row.count
        directions = tuple(dict.fromkeys(row.direction for row in counts))
        labels = dict.fromkeys(row.label for row in counts)
        rows = [(label, tuple(cells[label, direction] for direction in directions)) for label in labels]
        rows = [(label, numbers) for label, numbers in rows if any(numbers) or len(rows) <= 4]  # 80 classes, 3 seen
        totals = tuple(sum(row[1][i] for row in rows) for i in range(len(directions)))
        split = [row.certainties for row in counts if row.certainties is not None]
        return cls(
            directions=directions,
            rows=tuple((label, numbers, sum(numbers)) for label, numbers in [*rows, ("all", totals)]),
            certainties=tuple((name, sum(row[i] for row in split)) for i, name in enumerate(CERTAINTIES) if split),
        )


@dataclass(frozen=True, slots=True)
class Chart:
    """An SVG plot in units of `CHART_WIDTH` x `CHART_HEIGHT`, y down.

    Attributes:
        title: What it shows.
        bars: (x, y, width, height, series number, tooltip).
        unseen: (x, width) of the times that nobody saw.
        paths: (d attribute, CSS class).
        x_ticks: (x, text).
        y_ticks: (y, text).
        series: Names for the legend.
    """

    title: str
    bars: tuple[tuple[float, float, float, float, int, str], ...] = ()
    unseen: tuple[tuple[float, float], ...] = ()
    paths: tuple[tuple[str, str], ...] = ()
    x_ticks: tuple[tuple[float, str], ...] = ()
    y_ticks: tuple[tuple[float, str], ...] = ()
    series: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleSection:
    """What the page shows of one rule."""

    rule: RuleInfo
    table: RuleTable
    counts: Chart
    alerts: tuple[tuple[str, int], ...]
    dwell: Dwell | None
    dwell_chart: Chart | None
    occupancy: Chart | None


def _sections(summary: Summary) -> list[RuleSection]:
    sections = []
    dwells = {dwell.rule: dwell for dwell in summary.dwells}
    for rule in dict.fromkeys(row.rule for row in summary.counts):
        counts = [row for row in summary.counts if row.rule == rule]
        occupancy = [row for row in summary.occupancy if row.rule == rule]
        dwell = dwells.get(rule)
        sections.append(
            RuleSection(
                rule=rule,
                table=RuleTable.of(counts),
                counts=count_chart(counts),
                alerts=tuple((kind.value, count) for owner, kind, count in summary.alerts if owner == rule),
                dwell=dwell,
                dwell_chart=dwell_chart(dwell) if dwell and dwell.seconds else None,
                occupancy=occupancy_chart(occupancy) if occupancy else None,
            )
        )
    return sections


def count_chart(counts: Sequence[CountRow]) -> Chart:
    """Stacked bars per interval, one series per direction."""
    intervals = list(dict.fromkeys(row.interval for row in counts))
    directions = tuple(dict.fromkeys(row.direction for row in counts))
    cells: Counter[tuple[Interval, str]] = Counter()
    for row in counts:
        cells[row.interval, row.direction] += row.count
    per_bar = math.ceil(len(intervals) / MOST_BARS)
    groups = [intervals[i : i + per_bar] for i in range(0, len(intervals), per_bar)]
    stacks = [[sum(cells[interval, way] for interval in group) for way in directions] for group in groups]
    top = nice_top(max((sum(stack) for stack in stacks), default=0))
    step = CHART_WIDTH / max(1, len(groups))
    bars, unseen = [], []
    for i, (group, stack) in enumerate(zip(groups, stacks, strict=True)):
        expected = sum(interval.expected_seconds for interval in group)
        missing = 1 - sum(interval.observed_seconds for interval in group) / expected if expected else 0.0
        if missing > 0.01:
            unseen.append((i * step, step))
        base = CHART_HEIGHT
        for series, count in enumerate(stack):
            height = count / top * CHART_HEIGHT
            base -= height
            if count:
                tooltip = f"{clock(group[0])} {directions[series]}: {count}"
                bars.append((i * step + step * 0.08, base, step * 0.84, height, series, tooltip))
    return Chart(
        title=f"Events per {per_bar * (intervals[0].end - intervals[0].start):g} s",
        bars=tuple(bars),
        unseen=tuple(unseen),
        x_ticks=_time_ticks(intervals),
        y_ticks=_y_ticks(top),
        series=directions,
    )


def occupancy_chart(rows: Sequence[OccupancyRow]) -> Chart:
    """The mean per interval as a line in the band from minimum to maximum; it breaks where nobody looked."""
    top = nice_top(max((row.maximum or 0 for row in rows), default=0))
    step = CHART_WIDTH / max(1, len(rows))
    runs: list[list[tuple[float, OccupancyRow]]] = [[]]
    for i, row in enumerate(rows):
        if row.samples:
            runs[-1] += [(i * step, row), ((i + 1) * step, row)]
        else:
            runs.append([])
    paths = []
    for run in filter(None, runs):
        upper = [(x, _height_of(row.maximum, top)) for x, row in run]
        lower = [(x, _height_of(row.minimum, top)) for x, row in reversed(run)]
        paths.append((_path(upper + lower) + "Z", "band"))
        paths.append((_path([(x, _height_of(row.mean, top)) for x, row in run]), "mean"))
    return Chart(
        title="Occupancy: mean, in a band from minimum to maximum",
        unseen=tuple((i * step, step) for i, row in enumerate(rows) if not row.samples),
        paths=tuple(paths),
        x_ticks=_time_ticks([row.interval for row in rows]),
        y_ticks=_y_ticks(top),
    )


def dwell_chart(dwell: Dwell) -> Chart:
    """A histogram of stays with at most 24 bars of a round width."""
    width = nice_top(dwell.seconds[-1] / 12) if dwell.seconds[-1] > 0 else 1.0
    bins = Counter(int(seconds // width) for seconds in dwell.seconds)
    number = max(bins) + 1
    top = nice_top(max(bins.values()))
    step = CHART_WIDTH / number
    bars = tuple(
        (
            *(i * step + 1, CHART_HEIGHT - count / top * CHART_HEIGHT, step - 2, count / top * CHART_HEIGHT, 0),
            f"{i * width:g} to {(i + 1) * width:g} s: {count}",
        )
        for i, count in sorted(bins.items())
    )
    every = math.ceil(number / 6)
    ticks = tuple((i * step, f"{i * width:g} s") for i in range(0, number + 1, every))
    return Chart(title="Length of stays", bars=bars, x_ticks=ticks, y_ticks=_y_ticks(top))


def _coverage(stream: Mapping[str, Any]) -> tuple[float, float]:
    """Seconds seen and seconds promised of a stream's record in run.json."""
    return stream["seconds_observed"], max(stream["seconds"], stream["seconds_expected"] or 0.0)


def nice_top(value: float) -> float:
    """The smallest of 1, 2, 3, 4, 6, 8, 10, 20, 30, ... (also 0.8, 0.6, ...) not below a value; 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 3, 4, 6, 8, 10) if factor * power >= value * (1 - 1e-9))


def clock(interval: Interval) -> str:
    """When an interval begins: time of day in UTC where it is known, else time since the start."""
    if interval.start_utc is not None:
        return f"{interval.start_utc:%H:%M:%S}" if interval.start_utc.second else f"{interval.start_utc:%H:%M}"
    return duration(interval.start)


def duration(seconds: float) -> str:
    """As people write it: 0:07, 12:30, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _time_ticks(intervals: Sequence[Interval]) -> tuple[tuple[float, str], ...]:
    every = max(1, math.ceil(len(intervals) / 6))
    step = CHART_WIDTH / max(1, len(intervals))
    return tuple((i * step, clock(intervals[i])) for i in range(0, len(intervals), every))


def _y_ticks(top: float) -> tuple[tuple[float, str], ...]:
    middle = ((CHART_HEIGHT / 2, f"{top / 2:g}"),) if top % 2 == 0 else ()
    return (CHART_HEIGHT, "0"), *middle, (0.0, f"{top:g}")


def _height_of(value: float | None, top: float) -> float:
    return CHART_HEIGHT - (value or 0.0) / top * CHART_HEIGHT


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
