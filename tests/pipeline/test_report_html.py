"""The page: complete, self-contained, safe against names, and right about what it draws."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from vidan.pipeline.coverage import Gap, GapReason
from vidan.pipeline.errors import SinkError
from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.manifest import Manifest, RunStatus, StreamRecord
from vidan.pipeline.report.html import (
    CHART_HEIGHT,
    CHART_WIDTH,
    EVENTS_SHOWN,
    MOST_BARS,
    count_chart,
    duration,
    dwell_chart,
    nice_top,
    occupancy_chart,
    render_report,
    write_report,
)
from vidan.pipeline.report.intervals import StreamSpan
from vidan.pipeline.report.summary import RuleInfo, Summary, summarize
from vidan.pipeline.stages import SourceHealth

NASTY = '<script>alert("x")</script>'
START = datetime(2024, 5, 1, 10, 0, 30, tzinfo=UTC)


def an_event(kind: EventKind, rule: str, seconds: float, label: str = "person", **details: object) -> Event:
    return Event("0" * 16, kind, "door", rule, 1, label, seconds, None, 0, details=details)


def a_run(crossings: int = 3, seconds: float = 100.0) -> tuple[Summary, list[Event], Manifest]:
    events = [
        *(
            an_event(EventKind.LINE_CROSSED, "gate", seconds * i / (crossings + 1), direction="in", certainty="seen")
            for i in range(1, crossings + 1)
        ),
        an_event(EventKind.ZONE_ENTERED, "yard", 1.0),
        an_event(EventKind.LOITERING, "yard", 21.0, dwell=20.0),
        an_event(EventKind.ZONE_LEFT, "yard", 31.0, dwell=30.0),
    ]
    rules = [
        RuleInfo("door", "gate", "line", ("person", NASTY), ("in", "out")),
        RuleInfo("door", "yard", "zone", ("person",)),
    ]
    gaps = (Gap(40.0, 50.0, GapReason.MISSING),)
    summary = summarize(events, rules, [StreamSpan("door", seconds, seconds + 20, START, gaps)], 10.0)
    health = SourceHealth(decoded=100, duration_seconds=seconds + 20, problems=[NASTY], gaps=[gap[:2] for gap in gaps])
    manifest = Manifest(
        config={"note": NASTY},
        detector={"model": "yolov9-t", "class_names": ["person", NASTY]},
        inputs={"door.mp4": "ab" * 32},
        streams=[StreamRecord("door", "door.mp4", health, 100, seconds, START)],
        stage_seconds={"decode": 1.0},
    )
    manifest.finish(RunStatus.INTERRUPTED)
    return summary, events, manifest


class Outline(HTMLParser):
    """Checks that every element is closed, and keeps what the page would load and what it says."""

    VOID = frozenset({"meta", "br", "line", "rect", "path"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text = " ".join((self.text + " " + data).split())


def test_the_page_is_well_formed_and_loads_nothing() -> None:
    summary, events, manifest = a_run()
    page = render_report(summary, events, manifest.to_record(), "Night shift")
    outline = Outline(page)
    assert outline.open == []
    assert outline.loads == []
    assert not re.search(r"url\(|@import|<script|<link|https?://", page)
    for words in ("Night shift", "interrupted", "gate", "yard", "loitering: 1", "seen 1:30 of 2:00 (75.0%)"):
        assert words in outline.text
    assert "no pictures from 0:40 to 0:50" in outline.text


def test_names_cannot_inject_anything() -> None:
    summary, events, manifest = a_run()
    page = render_report(summary, events, manifest.to_record(), NASTY)
    assert NASTY not in page
    assert "&lt;script&gt;" in page


def test_the_totals_stand_in_the_table() -> None:
    summary, events, manifest = a_run(crossings=7)
    text = Outline(render_report(summary, events, manifest.to_record(), "x")).text
    assert "person 7 0 7" in text
    assert "all 7 0 7" in text
    assert "Certainty: 7 seen, 0 interpolated, 0 bridged." in text
    assert "1 stays, mean 30.0 s" in text


def test_a_long_log_is_cut_with_a_note() -> None:
    summary, events, manifest = a_run(crossings=EVENTS_SHOWN)
    page = render_report(summary, events, manifest.to_record(), "x")
    assert f"The first {EVENTS_SHOWN} of {EVENTS_SHOWN + 3}; all are in events.jsonl." in page
    assert page.count("<td>line crossed</td>") == EVENTS_SHOWN


def test_a_run_without_rules_or_streams_still_has_a_page(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", summarize([], [], [], 60.0), [], Manifest(config={}).to_record(), "Leer")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "This run has no rules." in page
    assert "Nothing happened." in page
    with pytest.raises(SinkError, match="cannot write the report"):
        write_report(tmp_path / "no" / "r.html", summarize([], [], [], 60.0), [], Manifest({}).to_record(), "x")


@pytest.mark.parametrize("seconds", [5.0, 100.0, 5000.0])
def test_bars_stay_in_the_plot_and_their_heights_are_the_counts(seconds: float) -> None:
    summary, _, _ = a_run(crossings=40, seconds=seconds)
    counts = [row for row in summary.counts if row.rule.name == "gate"]
    chart = count_chart(counts)
    assert len({bar[0] for bar in chart.bars}) <= MOST_BARS
    top = float(chart.y_ticks[-1][1])
    assert sum(height for _, _, _, height, *_ in chart.bars) / CHART_HEIGHT * top == pytest.approx(40)
    for x, y, width, height, *_ in chart.bars:
        assert -1e-6 <= x < x + width <= CHART_WIDTH + 1e-6
        assert -1e-6 <= y < y + height <= CHART_HEIGHT + 1e-6


def test_unseen_time_is_marked_and_breaks_the_occupancy_curve() -> None:
    summary, _, _ = a_run()
    chart = occupancy_chart(summary.occupancy)
    # from 10:00:30: intervals at 0, 10, ... 110 s; nothing was seen from 40 to 50 s and after 100 s
    assert [round(x / CHART_WIDTH * 12) for x, _ in chart.unseen] == [4, 10, 11]
    assert [kind for _, kind in chart.paths] == ["band", "mean", "band", "mean"]
    counts = count_chart([row for row in summary.counts if row.rule.name == "gate"])
    assert [round(x / CHART_WIDTH * 12) for x, _ in counts.unseen] == [4, 10, 11]


def test_the_histogram_holds_every_stay() -> None:
    rule = RuleInfo("door", "yard", "zone", ("person",))
    stays = [0.0, 0.4, 3.0, 3.0, 11.0, 59.9, 60.0]
    events = [an_event(EventKind.ZONE_LEFT, "yard", 60.0 + i, dwell=stay) for i, stay in enumerate(stays)]
    (dwell,) = summarize(events, [rule], [StreamSpan("door", 90.0)], 60.0).dwells
    chart = dwell_chart(dwell)
    assert sum(int(tooltip.rsplit(" ", 1)[1]) for *_, tooltip in chart.bars) == len(stays)
    assert chart.bars[0][-1] == "0 to 6 s: 4"


def test_axes_end_at_round_numbers() -> None:
    assert [nice_top(value) for value in (0, 1, 2.5, 7, 11, 23, 60, 61, 0.03)] == [1, 1, 3, 8, 20, 30, 60, 80, 0.03]
    assert [duration(seconds) for seconds in (7.2, 750, 3723)] == ["0:07", "12:30", "1:02:03"]
