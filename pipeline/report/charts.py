"""Counts, samples and durations -> plots: bars, bands and ticks in units of the SVG. How they look is the page's."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from vidan.pipeline.coverage import Gap, GapReason
from vidan.pipeline.report.counts import CountRow
from vidan.pipeline.report.intervals import Interval

MOST_BARS = 120  # more intervals than this share a bar
CHART_WIDTH, CHART_HEIGHT = 640.0, 180.0  # of the plot itself, in units of the SVG
MOST_TICKS = 6
ROUND_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle of a plot.

    Attributes:
        x: Left side.
        y: Top, counted downwards.
        width: Of the bar.
        height: Of the bar.
        style: CSS class.
        tooltip: What it stands for.
    """

    x: float
    y: float
    width: float
    height: float
    style: str
    tooltip: str


@dataclass(frozen=True, slots=True)
class Chart:
    """An SVG plot in units of `CHART_WIDTH` x `height`, y down.

    Attributes:
        title: What it shows.
        x_label: Of the horizontal axis, with its unit.
        y_label: Of the vertical axis, with its unit; empty for none.
        bars: What is drawn as rectangles.
        unseen: (x, width) of the times at which nobody looked: there, no bar is no zero.
        partly: (x, width) of the times that were seen in part.
        paths: (d attribute, CSS class).
        marks: (x, text) of upright lines.
        x_ticks: (x, text).
        y_ticks: (y, text).
        legend: (CSS class, name).
        height: Of the plot.
    """

    title: str
    x_label: str
    y_label: str
    bars: tuple[Bar, ...] = ()
    unseen: tuple[tuple[float, float], ...] = ()
    partly: tuple[tuple[float, float], ...] = ()
    paths: tuple[tuple[str, str], ...] = ()
    marks: tuple[tuple[float, str], ...] = ()
    x_ticks: tuple[tuple[float, str], ...] = ()
    y_ticks: tuple[tuple[float, str], ...] = ()
    legend: tuple[tuple[str, str], ...] = ()
    height: float = CHART_HEIGHT


class Sampled(Protocol):
    """Samples of one interval, as occupancy and queues have them."""

    @property
    def interval(self) -> Interval: ...
    @property
    def samples(self) -> int: ...
    @property
    def minimum(self) -> int | None: ...
    @property
    def mean(self) -> float | None: ...
    @property
    def maximum(self) -> int | None: ...


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
    axis = TimeAxis(intervals)
    bars, unseen, partly = [], [], []
    for group, stack in zip(groups, stacks, strict=True):
        x, width = axis.x(group[0].start), axis.x(group[-1].end) - axis.x(group[0].start)
        expected = sum(interval.expected_seconds for interval in group)
        missing = 1 - sum(interval.observed_seconds for interval in group) / expected if expected else 0.0
        if not any(interval.is_observed for interval in group):
            unseen.append((x, width))
        elif missing > 0.01:
            partly.append((x, width))
        base = CHART_HEIGHT
        for series, count in enumerate(stack):
            height = count / top * CHART_HEIGHT
            base -= height
            if count:
                tooltip = f"{clock(group[0])} {directions[series]}: {count}"
                bars.append(Bar(x + width * 0.08, base, width * 0.84, height, f"s{series % 4}", tooltip))
    length = per_bar * (intervals[0].end - intervals[0].start)
    return Chart(
        title="Counts over time",
        x_label=axis.label,
        y_label=f"events per {length:g} s" if length < 120 else f"events per {length / 60:g} min",
        bars=tuple(bars),
        unseen=tuple(unseen),
        partly=tuple(partly),
        x_ticks=axis.ticks(),
        y_ticks=_y_ticks(top),
        legend=tuple((f"s{i % 4}", name) for i, name in enumerate(directions)),
    )


def band_chart(rows: Sequence[Sampled], title: str, y_label: str) -> Chart:
    """The mean per interval as a line in the band from minimum to maximum; it breaks where nobody looked."""
    top = nice_top(max((row.maximum or 0 for row in rows), default=0))
    axis = TimeAxis([row.interval for row in rows])
    runs: list[list[tuple[float, Sampled]]] = [[]]
    for row in rows:
        if row.samples:
            runs[-1] += [(axis.x(row.interval.start), row), (axis.x(row.interval.end), row)]
        else:
            runs.append([])
    paths = []
    for run in filter(None, runs):
        upper = [(x, _height_of(row.maximum, top)) for x, row in run]
        lower = [(x, _height_of(row.minimum, top)) for x, row in reversed(run)]
        paths.append((_path(upper + lower) + "Z", "band"))
        paths.append((_path([(x, _height_of(row.mean, top)) for x, row in run]), "mean"))
    spans = [(axis.x(row.interval.start), axis.x(row.interval.end)) for row in rows if not row.samples]
    return Chart(
        title=title,
        x_label=axis.label,
        y_label=y_label,
        unseen=tuple((start, end - start) for start, end in spans),
        paths=tuple(paths),
        x_ticks=axis.ticks(),
        y_ticks=_y_ticks(top),
        legend=(("mean", "mean"), ("band", "minimum to maximum")),
    )


def histogram(
    values: Sequence[float], title: str, x_label: str, y_label: str, unit: str, mark: tuple[float, str] | None = None
) -> Chart:
    """How often which values occur, in at most 24 bars of a round width.

    Args:
        values: Not negative, ascending, at least one.
        title: What it shows.
        x_label: Name of the value, with its unit.
        y_label: What is counted.
        unit: Of the values, for tooltips.
        mark: A value to mark, and its name; the axis reaches at least as far.
    """
    width = nice_top(values[-1] / 12) if values[-1] > 0 else 1.0
    bins = Counter(int(value / width + 1e-9) for value in values)
    number = max(max(bins) + 1, math.ceil(mark[0] / width) if mark else 0)
    top = nice_top(max(bins.values()))
    step = CHART_WIDTH / number
    bars = tuple(
        Bar(
            *(i * step + 1, CHART_HEIGHT - count / top * CHART_HEIGHT, step - 2, count / top * CHART_HEIGHT),
            "s0",
            f"{i * width:g} to {(i + 1) * width:g} {unit}: {count}",
        )
        for i, count in sorted(bins.items())
    )
    every = math.ceil(number / MOST_TICKS)
    return Chart(
        title=title,
        x_label=x_label,
        y_label=y_label,
        bars=bars,
        marks=((mark[0] / width * step, mark[1]),) if mark else (),
        x_ticks=tuple((i * step, f"{i * width:g}") for i in range(0, number + 1, every)),
        y_ticks=_y_ticks(top),
    )


def coverage_chart(stream: Mapping[str, Any]) -> Chart:
    """The time of a stream as a band, with what was not seen of it and why, from its record in run.json."""
    seen, promised = coverage(stream)
    start_utc = None if stream["start_utc"] is None else datetime.fromisoformat(stream["start_utc"])
    span = Interval(
        0.0,
        max(promised, 1e-3),
        start_utc,
        None if start_utc is None else start_utc + timedelta(seconds=promised),
        observed_seconds=seen,
        expected_seconds=promised,
    )
    axis = TimeAxis([span])
    bars = [Bar(0.0, 0.0, axis.x(stream["seconds"]), 18.0, "good", "seen")] if stream["seconds"] else []
    gaps = gaps_of(stream)
    for start, end, reason in gaps:
        tooltip = f"{duration(start)} to {duration(end)}: {reason} ({reason.words})"
        width = max(axis.x(end) - axis.x(start), 1.0)  # a short gap is seen, too
        bars.append(Bar(min(axis.x(start), CHART_WIDTH - 1), 0.0, width, 18.0, f"gap-{reason}", tooltip))
    reasons = dict.fromkeys(gap.reason for gap in gaps)
    return Chart(
        title=f"Coverage of {stream['name']}",
        x_label=axis.label,
        y_label="",
        bars=tuple(bars),
        x_ticks=axis.ticks(),
        legend=(("good", "seen"), *((f"gap-{reason}", reason.value) for reason in reasons)),
        height=18.0,
    )


def coverage(stream: Mapping[str, Any]) -> tuple[float, float]:
    """Seconds seen and seconds promised of a stream's record in run.json."""
    return stream["seconds_observed"], max(stream["seconds"], stream["seconds_expected"] or 0.0)


def gaps_of(stream: Mapping[str, Any]) -> list[Gap]:
    """What was not seen of a stream, and why, from its record in run.json."""
    return [Gap(gap["start"], gap["end"], GapReason(gap["reason"])) for gap in stream["gaps"]]


class TimeAxis:
    """Where moments of a stream lie in a plot: from the first interval's start to the last one's end."""

    def __init__(self, intervals: Sequence[Interval]) -> None:
        self._first = intervals[0]
        self._length = max(intervals[-1].end - intervals[0].start, 1e-6)

    @property
    def label(self) -> str:
        start = self._first.start_utc
        return "time since the start" if start is None else f"time of day, UTC, from {start:%Y-%m-%d}"

    def x(self, seconds: float) -> float:
        return (seconds - self._first.start) / self._length * CHART_WIDTH

    def ticks(self) -> tuple[tuple[float, str], ...]:
        """At round times, at most `MOST_TICKS` + 1 of them."""
        start, start_utc = self._first.start, self._first.start_utc
        wanted = self._length / MOST_TICKS
        step = next((step for step in ROUND_SECONDS if step >= wanted), math.ceil(wanted / 86400) * 86400)
        offset = start if start_utc is None else (start_utc - _EPOCH).total_seconds()
        first = math.ceil(offset / step - 1e-9) * step
        count = math.floor((offset + self._length - first) / step + 1e-9) + 1
        return tuple(
            (
                (first + i * step - offset) / self._length * CHART_WIDTH,
                duration(first + i * step) if start_utc is None else _time_of_day(first + i * step, step),
            )
            for i in range(count)
        )


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


def _time_of_day(seconds: float, step: float) -> str:
    moment = _EPOCH + timedelta(seconds=seconds)
    if step >= 86400 or (step >= 3600 and moment.hour == 0):
        return f"{moment:%m-%d}"
    return f"{moment:%H:%M:%S}" if step < 60 else f"{moment:%H:%M}"


def _y_ticks(top: float) -> tuple[tuple[float, str], ...]:
    middle = ((CHART_HEIGHT / 2, f"{top / 2:g}"),) if top % 2 == 0 else ()
    return (CHART_HEIGHT, "0"), *middle, (0.0, f"{top:g}")


def _height_of(value: float | None, top: float) -> float:
    return CHART_HEIGHT - (value or 0.0) / top * CHART_HEIGHT


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
