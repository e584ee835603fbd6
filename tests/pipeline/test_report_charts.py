"""Plots: right about what they draw, and within their frame."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.pipeline.coverage import Gap, GapReason
from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.report.charts import (
    CHART_HEIGHT,
    CHART_WIDTH,
    MOST_BARS,
    MOST_TICKS,
    TimeAxis,
    band_chart,
    count_chart,
    coverage,
    coverage_chart,
    duration,
    histogram,
    nice_top,
)
from vidan.pipeline.report.intervals import Interval, StreamSpan
from vidan.pipeline.report.rule_info import RuleInfo
from vidan.pipeline.report.summary import Summary, summarize
from vidan.pipeline.schedule import WEEKDAYS, Schedule, Window

START = datetime(2024, 5, 1, 10, 0, 30, tzinfo=UTC)


def an_event(kind: EventKind, rule: str, seconds: float, **details: object) -> Event:
    return Event("0" * 16, kind, "door", rule, 1, "person", seconds, None, 0, details=details)


def a_summary(crossings: int = 3, seconds: float = 100.0) -> Summary:
    times = [seconds * i / (crossings + 1) for i in range(1, crossings + 1)]
    events = [an_event(EventKind.LINE_CROSSED, "gate", time, direction="in", certainty="seen") for time in times]
    events += [an_event(EventKind.ZONE_ENTERED, "yard", 1.0), an_event(EventKind.ZONE_LEFT, "yard", 31.0, dwell=30.0)]
    rules = [
        RuleInfo("door", "gate", "line", ("person",), ("in", "out")),
        RuleInfo("door", "yard", "zone", ("person",)),
    ]
    gaps = (Gap(40.0, 50.0, GapReason.MISSING),)
    return summarize(events, rules, [StreamSpan("door", seconds, seconds + 20, START, gaps)], 10.0)


@pytest.mark.parametrize("seconds", [5.0, 100.0, 5000.0])
def test_bars_stay_in_the_plot_and_their_heights_are_the_counts(seconds: float) -> None:
    summary = a_summary(crossings=40, seconds=seconds)
    counts = [row for row in summary.counts if row.rule.name == "gate"]
    chart = count_chart(counts)
    assert len({bar.x for bar in chart.bars}) <= MOST_BARS
    top = float(chart.y_ticks[-1][1])
    assert sum(bar.height for bar in chart.bars) / CHART_HEIGHT * top == pytest.approx(40)
    for bar in chart.bars:
        assert -1e-6 <= bar.x < bar.x + bar.width <= CHART_WIDTH + 1e-6
        assert -1e-6 <= bar.y < bar.y + bar.height <= CHART_HEIGHT + 1e-6


def test_unseen_time_is_marked_and_breaks_the_occupancy_curve() -> None:
    summary = a_summary()
    chart = band_chart(summary.occupancy, "Occupancy", "objects inside")
    # from 10:00:30: intervals at 0, 10, ... 110 s; nothing was seen from 40 to 50 s and after 100 s
    assert [round(x / CHART_WIDTH * 12) for x, _ in chart.unseen] == [4, 10, 11]
    assert [kind for _, kind in chart.paths] == ["band", "mean", "band", "mean"]
    counts = count_chart([row for row in summary.counts if row.rule.name == "gate"])
    assert [round(x / CHART_WIDTH * 12) for x, _ in counts.unseen] == [4, 10, 11]
    assert counts.partly == ()


def test_an_interval_seen_in_part_is_told_from_one_that_nobody_saw() -> None:
    rule = RuleInfo("door", "gate", "line", ("person",), ("in", "out"))
    minute = Schedule(ZoneInfo("UTC"), (Window(frozenset(WEEKDAYS), time(10, 1), time(10, 3)),))
    span = StreamSpan("door", 240.0, None, START.replace(second=0), (Gap(70.0, 90.0, GapReason.DARK),))
    chart = count_chart(summarize([], [replace(rule, schedule=minute)], [span], 60.0).counts)
    assert [round(x / CHART_WIDTH * 4) for x, _ in chart.partly] == [1]
    assert [round(x / CHART_WIDTH * 4) for x, _ in chart.unseen] == [0, 3], "closed: nobody looked, which is no zero"


def test_the_histogram_holds_every_stay_and_reaches_the_mark() -> None:
    stays = [0.0, 0.4, 3.0, 3.0, 11.0, 59.9, 60.0]
    chart = histogram(stays, "Stays", "stay, seconds", "stays", "s")
    assert sum(int(bar.tooltip.rsplit(" ", 1)[1]) for bar in chart.bars) == len(stays)
    assert chart.bars[0].tooltip == "0 to 6 s: 4"
    ((x, text),) = histogram([3.0, 30.0], "Speeds", "km/h", "passes", "km/h", mark=(50.0, "limit 50")).marks
    assert text == "limit 50"
    assert 0 < x <= CHART_WIDTH


def test_the_band_of_coverage_shows_each_gap_with_its_reason() -> None:
    stream = {
        "name": "door",
        "start_utc": None,
        "seconds": 100.0,
        "seconds_expected": 120.0,
        "seconds_observed": 80.0,
        "gaps": [
            {"start": 10.0, "end": 20.0, "reason": "frozen"},
            {"start": 40.0, "end": 50.0, "reason": "missing"},
            {"start": 100.0, "end": 120.0, "reason": "unread"},
        ],
    }
    assert coverage(stream) == (80.0, 120.0)
    chart = coverage_chart(stream)
    drawn = [(bar.style, round(bar.x / CHART_WIDTH * 120), round(bar.width / CHART_WIDTH * 120)) for bar in chart.bars]
    assert drawn == [("good", 0, 100), ("gap-frozen", 10, 10), ("gap-missing", 40, 10), ("gap-unread", 100, 20)]
    assert [name for _, name in chart.legend] == ["seen", "frozen", "missing", "unread"]
    assert chart.bars[1].tooltip == "0:10 to 0:20: frozen (a frozen picture)"


@settings(max_examples=80, deadline=None)
@given(
    st.floats(-1e5, 1e5),
    st.floats(1e-2, 4e6),
    st.one_of(st.none(), st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1))),
)
def test_ticks_are_few_and_stand_in_the_plot(start: float, length: float, utc: datetime | None) -> None:
    utc = utc and utc.replace(tzinfo=UTC)
    interval = Interval(start, start + length, utc, utc and utc + timedelta(seconds=length), length, length)
    ticks = TimeAxis([interval]).ticks()
    assert len(ticks) <= MOST_TICKS + 1
    assert all(-1e-3 <= x <= CHART_WIDTH + 1e-3 for x, _ in ticks)
    assert all(before < after for (before, _), (after, _) in pairwise(ticks))


def test_axes_end_at_round_numbers() -> None:
    assert [nice_top(value) for value in (0, 1, 2.5, 7, 11, 23, 60, 61, 0.03)] == [1, 1, 3, 8, 20, 30, 60, 80, 0.03]
    assert [duration(seconds) for seconds in (7.2, 750, 3723)] == ["0:07", "12:30", "1:02:03"]
