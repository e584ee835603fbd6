"""Time that nobody saw has a reason, and numbers per interval add up to those of the stream."""

from __future__ import annotations

import csv
import math
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.pipeline.coverage import DropLedger, Drops, Gap, GapReason, merge, overlap, spans_by_reason
from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.report.counts import write_counts_csv
from vidan.pipeline.report.intervals import StreamSpan, Timeline
from vidan.pipeline.report.rule_info import RuleInfo
from vidan.pipeline.report.summary import summarize, write_occupancy_csv
from vidan.pipeline.stages import SourceHealth
from vidan.pipeline.stream_record import StreamRecord

GATE = RuleInfo("door", "gate", "line", ("person",), ("in", "out"))
YARD = RuleInfo("door", "yard", "zone", ("person",))

moments = st.floats(0, 100).map(lambda seconds: round(seconds, 3))
spans = st.tuples(moments, moments).map(lambda pair: (min(pair), max(pair)))
gaps = st.builds(lambda span, reason: Gap(span[0], span[1], reason), spans, st.sampled_from(GapReason))


def ledger_of(kinds: str) -> DropLedger:
    """Frames ten a second: `d` was dropped, `a` was analysed."""
    ledger = DropLedger()
    for number, kind in enumerate(kinds):
        (ledger.note_dropped if kind == "d" else ledger.note_analysed)(number / 10)
    ledger.finish(len(kinds) / 10)
    return ledger


@settings(max_examples=60, deadline=None)
@given(kinds=st.text("aaddd", min_size=1, max_size=300), interval_seconds=st.sampled_from([0.7, 1.0, 5.0]))
def test_every_dropped_frame_is_in_one_interval(kinds: str, interval_seconds: float) -> None:
    ledger = ledger_of(kinds)
    assert ledger.frames == kinds.count("d")
    assert all(one.end <= after.start for one, after in pairwise(ledger.drops))
    span = StreamSpan("door", len(kinds) / 10, drops=tuple(ledger.drops), gaps=tuple(ledger.gaps))
    intervals = Timeline(span, interval_seconds).intervals
    assert sum(interval.dropped_frames for interval in intervals) == kinds.count("d")
    assert all(interval.dropped_frames >= 0 for interval in intervals)


@pytest.mark.parametrize(
    ("kinds", "gaps", "remark"),
    [
        ("aaddaaddaa", [], "every other two: only a lower frame rate"),
        ("aa" + "d" * 10 + "aa", [], "a second is no gap yet"),
        ("aa" + "d" * 11 + "aa", [(0.2, 1.3)], "a gap from the first dropped frame to the next analysed one"),
        ("aa" + "d" * 20, [(0.2, 2.2)], "to the end"),
    ],
)
def test_frames_dropped_in_a_row_are_a_gap(kinds: str, gaps: list[tuple[float, float]], remark: str) -> None:
    found = ledger_of(kinds).gaps
    assert [gap[:2] for gap in found] == [pytest.approx(gap) for gap in gaps], remark
    assert all(gap.reason is GapReason.DROPPED for gap in found)


def test_a_day_of_dropped_frames_is_a_short_list() -> None:
    drops = ledger_of("ad" * 10_000).drops
    assert len(drops) <= 2000 / 9
    assert sum(one.frames for one in drops) == 10_000


@settings(max_examples=80, deadline=None)
@given(found=st.lists(spans, max_size=12), cuts=st.lists(moments, min_size=2, max_size=6))
def test_merged_spans_are_the_same_time_without_overlap(found: list[tuple[float, float]], cuts: list[float]) -> None:
    merged = merge(found)
    assert all(one[1] < after[0] for one, after in pairwise(merged))
    for moment in (0.0005 + n * 1.7 for n in range(60)):
        assert any(a <= moment < b for a, b in found) == any(a <= moment < b for a, b in merged)
    edges = sorted(cuts)
    parts = sum(overlap(merged, one, after) for one, after in pairwise(edges))
    assert parts == pytest.approx(overlap(merged, edges[0], edges[-1]))


@settings(max_examples=80, deadline=None)
@given(found=st.lists(gaps, max_size=8), interval_seconds=st.sampled_from([0.9, 10.0, 60.0]))
def test_what_was_seen_and_what_was_lost_is_all_there_was(found: list[Gap], interval_seconds: float) -> None:
    span = StreamSpan("door", 90.0, 100.0, gaps=(*found, Gap(90.0, 100.0, GapReason.UNREAD)))
    intervals = Timeline(span, interval_seconds).intervals
    unseen = merge(gap[:2] for gap in span.gaps)
    assert sum(one.observed_seconds for one in intervals) == pytest.approx(100 - overlap(unseen, 0, 100))
    for interval in intervals:
        lost = interval.expected_seconds - interval.observed_seconds
        assert lost <= sum(seconds for _, seconds in interval.lost_seconds) + 0.01, "every second has a reason"
        assert all(seconds <= lost + 1e-6 for _, seconds in interval.lost_seconds)
    assert list(spans_by_reason(span.gaps)) == sorted({gap.reason for gap in span.gaps})


def test_a_record_knows_all_gaps_of_its_stream() -> None:
    health = SourceHealth(duration_seconds=60.0, gaps=[(3.0, 4.0)])
    frozen = Gap(3.5, 10.0, GapReason.FROZEN)
    record = StreamRecord("door", "door.mp4", health, seconds=50.0, idle=(frozen,))
    assert record.gaps == (Gap(3.0, 4.0, GapReason.MISSING), frozen, Gap(50.0, 60.0, GapReason.UNREAD))
    assert record.seconds_observed == pytest.approx(50 - 7)
    health.duration_seconds = 50.4
    assert len(record.gaps) == 2, "headers round: a trifle is no gap"


def test_an_interval_that_nobody_saw_has_no_count_and_says_why(tmp_path: Path) -> None:
    gaps = (Gap(10.0, 20.0, GapReason.FROZEN), Gap(20.0, 25.0, GapReason.DARK), Gap(24.0, 31.0, GapReason.MISSING))
    span = StreamSpan("door", 40.0, gaps=gaps, drops=(Drops(32.0, 34.0, 9),))
    details = {"direction": "in", "certainty": "interpolated"}
    crossing = Event("1", EventKind.LINE_CROSSED, "door", "gate", 1, "person", 22.0, None, 0, details=details)
    summary = summarize([crossing], [GATE, YARD], [span], 10.0)
    write_counts_csv(tmp_path / "counts.csv", summary.counts)
    write_occupancy_csv(tmp_path / "occupancy.csv", summary)
    with (tmp_path / "counts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    gate = [row for row in rows if (row["rule"], row["direction"]) == ("gate", "in")]
    assert [row["count"] for row in gate] == ["0", "", "1", "0"], "an event in a gap still counts: the sums hold"
    assert [row["seen"] for row in gate] == ["0", "", "0", "0"]
    assert [row["observed_seconds"] for row in gate] == ["10.0", "0.0", "0.0", "9.0"]
    assert [row["dropped_frames"] for row in gate] == ["0", "0", "0", "9"]
    assert [row["gap_reasons"] for row in gate] == [
        "",
        "frozen 10.000 s",
        "dark 5.000 s; missing 6.000 s",
        "missing 1.000 s",
    ]
    assert sum(int(row["count"] or 0) for row in rows) == 1
    with (tmp_path / "occupancy.csv").open(encoding="utf-8", newline="") as file:
        yard = list(csv.DictReader(file))
    assert [row["samples"] for row in yard] == ["10", "0", "0", "9"]
    assert [row["mean"] for row in yard] == ["0.0", "", "", "0.0"]
    assert yard[1]["gap_reasons"] == "frozen 10.000 s"


def test_drops_are_spread_over_their_time() -> None:
    drops = Drops(10.0, 20.0, 9)
    assert [drops.before(moment) for moment in (0.0, 10.0, 15.0, 20.0, math.inf)] == [0, 0, 4, 9, 9]
