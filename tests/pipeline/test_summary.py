"""Counts from the log: the sums hold, intervals follow the clock, missing is not zero."""

from __future__ import annotations

import csv
import math
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vidan.pipeline.coverage import Drops, Gap, GapReason
from vidan.pipeline.errors import SinkError, SourceError
from vidan.pipeline.events import Event, EventKind, event_id
from vidan.pipeline.report.counts import CERTAINTIES, COUNTED_KINDS, RunningCounts, write_counts_csv
from vidan.pipeline.report.intervals import StreamSpan, Timeline
from vidan.pipeline.report.rule_info import ZONE_DIRECTIONS, RuleInfo
from vidan.pipeline.report.summary import summarize, write_occupancy_csv
from vidan.pipeline.schedule import WEEKDAYS, Schedule, Window
from vidan.pipeline.sinks.files import JsonlSink

GATE = RuleInfo("door", "gate", "line", ("person", "car"), ("in", "out"))
YARD = RuleInfo("door", "yard", "zone", ("person",))
NOON = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)


def crossing(seconds: float, direction: str = "in", label: str = "person", certainty: str = "seen") -> Event:
    return _event(EventKind.LINE_CROSSED, "gate", seconds, label, direction=direction, certainty=certainty)


def zone_event(kind: EventKind, seconds: float, dwell: float | None = None) -> Event:
    return _event(kind, "yard", seconds, "person", **({} if dwell is None else {"dwell": dwell}))


def _event(kind: EventKind, rule: str, seconds: float, label: str | None, **details: object) -> Event:
    name = event_id("door", rule, kind, 1, round(seconds * 1e6))
    return Event(name, kind, "door", rule, 1, label, seconds, None, 0, details=details)


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


times = st.floats(0, 300).map(lambda seconds: round(seconds, 6))
labels = st.sampled_from(["person", "car", "dog", None])
crossings = st.builds(crossing, times, st.sampled_from(["in", "out", "up"]), labels, st.sampled_from(CERTAINTIES))
zone_events = st.builds(zone_event, st.sampled_from([*ZONE_DIRECTIONS, EventKind.LOITERING]), times, st.just(1.0))


@settings(max_examples=60, deadline=None)
@given(
    events=st.lists(crossings | zone_events, max_size=30),
    interval_seconds=st.sampled_from([0.7, 10.0, 60.0, 900.0]),
    start_utc=st.none() | st.datetimes(NOON.replace(tzinfo=None), timezones=st.just(UTC)),
    observed=st.floats(0, 200),
)
def test_the_sums_hold(
    events: list[Event], interval_seconds: float, start_utc: datetime | None, observed: float
) -> None:
    summary = summarize(events, [GATE, YARD], [StreamSpan("door", observed, None, start_utc)], interval_seconds)
    counted = [event for event in events if event.kind in COUNTED_KINDS]
    assert sum(row.count for row in summary.counts) == len(counted)
    for rule in (GATE, YARD):
        per_class = Counter[str]()
        for row in summary.counts:
            if row.rule == rule:
                per_class[row.label] += row.count
        assert +per_class == Counter(event.label or "" for event in counted if event.rule == rule.name)
    for row in summary.counts:
        if row.certainties is not None:
            assert sum(row.certainties) == row.count
    assert sum(number for *_, number in summary.alerts) == len(events) - len(counted)


@settings(max_examples=60, deadline=None)
@given(
    moments=st.lists(times, min_size=1, max_size=20),
    interval_seconds=st.sampled_from([0.7, 1.0, 60.0, 3600.0]),
    start_utc=st.none() | st.datetimes(NOON.replace(tzinfo=None), timezones=st.just(UTC)),
)
def test_intervals_follow_each_other_and_each_moment_has_one(
    moments: list[float], interval_seconds: float, start_utc: datetime | None
) -> None:
    timeline = Timeline(StreamSpan("door", 100.0, 120.0, start_utc), interval_seconds, max(moments))
    for one, next_one in zip(timeline.intervals, timeline.intervals[1:], strict=False):
        assert one.end == next_one.start
        assert one.end_utc == next_one.start_utc
    for moment in moments:
        interval = timeline.intervals[timeline.index(moment)]
        assert interval.start <= moment < interval.end
    if start_utc is not None:
        first = timeline.intervals[0].start_utc
        assert first is not None
        assert first <= start_utc < first + timedelta(seconds=interval_seconds)
        assert (first - datetime(1970, 1, 1, tzinfo=UTC)) % timedelta(seconds=interval_seconds) == timedelta(0)
    assert sum(interval.expected_seconds for interval in timeline.intervals) == pytest.approx(120.0)
    assert sum(interval.observed_seconds for interval in timeline.intervals) == pytest.approx(100.0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(st.lists(crossings | zone_events, max_size=8), min_size=1, max_size=5),
    interval_seconds=st.sampled_from([0.7, 10.0, 60.0]),
    starts=st.lists(st.sampled_from([None, NOON, NOON + timedelta(seconds=7)]), min_size=5, max_size=5),
)
def test_a_log_counted_while_it_grows_comes_to_the_same(
    tmp_path: Path, pieces: list[list[Event]], interval_seconds: float, starts: list[datetime | None]
) -> None:
    (tmp_path / "events.jsonl").unlink(missing_ok=True)
    log = JsonlSink(tmp_path / "events.jsonl")
    growing = RunningCounts(log.path, interval_seconds)
    events: list[Event] = []
    for seconds, (piece, start_utc) in enumerate(zip(pieces, starts, strict=False)):
        log.append(piece)
        events += [event for event in piece if event.kind in COUNTED_KINDS]
        spans = [StreamSpan("door", 40.0 * seconds, None, start_utc)]
        assert (
            tuple(growing.rows([GATE, YARD], spans)) == summarize(events, [GATE, YARD], spans, interval_seconds).counts
        )
    log.close()


def test_lines_that_were_taken_back_are_not_counted(tmp_path: Path) -> None:
    path, spans = tmp_path / "events.jsonl", [StreamSpan("door", 10.0)]
    log = JsonlSink(path)
    log.append([crossing(1.0), crossing(2.0)])
    log.close()
    growing = RunningCounts(path, 60.0)
    assert sum(row.count for row in growing.rows([GATE], spans)) == 2
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"\n") + 1])
    assert sum(row.count for row in growing.rows([GATE], spans)) == 1
    path.write_bytes(whole[:-5])  # the last line is being written
    assert sum(row.count for row in growing.rows([GATE], spans)) == 1
    path.write_bytes(whole)
    assert sum(row.count for row in growing.rows([GATE], spans)) == 2
    with path.open("ab") as file:
        file.write(b"nonsense\n")
    with pytest.raises(SourceError, match=r"events\.jsonl:3: not an event"):
        growing.rows([GATE], spans)


def test_a_file_that_starts_in_the_middle_of_an_interval_is_aligned_to_the_clock(tmp_path: Path) -> None:
    span = StreamSpan("door", 100.0, 100.0, NOON + timedelta(seconds=45))
    summary = summarize([crossing(14.9), crossing(15.0)], [GATE], [span], 60.0)
    write_counts_csv(tmp_path / "counts.csv", summary.counts)
    rows = [row for row in read_csv(tmp_path / "counts.csv") if (row["class"], row["direction"]) == ("person", "in")]
    assert [(row["start"], row["end"], row["start_utc"], row["count"]) for row in rows] == [
        ("-45.0", "15.0", "2024-05-01T12:00:00.000Z", "1"),
        ("15.0", "75.0", "2024-05-01T12:01:00.000Z", "1"),
        ("75.0", "135.0", "2024-05-01T12:02:00.000Z", "0"),
    ]
    assert [(row["observed_seconds"], row["expected_seconds"]) for row in rows] == [
        ("15.0", "15.0"),
        ("60.0", "60.0"),
        ("25.0", "25.0"),
    ]


def test_missing_is_not_zero() -> None:
    span = StreamSpan("door", 90.0, 180.0, None, gaps=(Gap(50.0, 70.0, GapReason.MISSING),))
    summary = summarize([], [GATE], [span], 60.0)
    seen = [row.interval for row in summary.counts if (row.label, row.direction) == ("car", "out")]
    assert [(one.observed_seconds, one.expected_seconds) for one in seen] == [(50.0, 60.0), (20.0, 60.0), (0.0, 60.0)]


def test_every_class_direction_and_interval_has_a_row(tmp_path: Path) -> None:
    summary = summarize([crossing(70.0, label="dog")], [GATE, YARD], [StreamSpan("door", 100.0)], 60.0)
    write_counts_csv(tmp_path / "counts.csv", summary.counts)
    rows = read_csv(tmp_path / "counts.csv")
    assert len(rows) == 3 * 2 * 2 + 1 * 4 * 2  # dog is no class of the gate, but the log has one
    assert ",".join(rows[0]) == (
        "source,rule,type,class,direction,start,end,start_utc,end_utc,count,seen,interpolated,bridged,"
        "observed_seconds,expected_seconds,dropped_frames,gap_reasons"
    )
    assert {row["direction"] for row in rows if row["type"] == "zone"} == {"entered", "left", "appeared", "vanished"}
    assert {row["seen"] for row in rows if row["type"] == "zone"} == {""}
    assert [row["count"] for row in rows if row["class"] == "dog"] == ["0", "1", "0", "0"]


def test_certainty_is_told_apart() -> None:
    events = [crossing(1.0), crossing(2.0, certainty="interpolated"), crossing(3.0, certainty="bridged"), crossing(4.0)]
    row = summarize(events, [GATE], [StreamSpan("door", 10.0)], 60.0).counts[0]
    assert (row.count, row.certainties) == (4, (2, 1, 1))


def test_occupancy_is_sampled_in_the_time_that_was_seen(tmp_path: Path) -> None:
    events = [
        zone_event(EventKind.ZONE_APPEARED, 0.0),
        zone_event(EventKind.ZONE_ENTERED, 2.5),
        zone_event(EventKind.ZONE_LEFT, 7.5, 5.0),
        zone_event(EventKind.ZONE_VANISHED, 8.0, 8.0),
    ]
    span = StreamSpan("door", 20.0, 30.0, None, gaps=(Gap(3.0, 5.0, GapReason.MISSING),))
    summary = summarize(events, [YARD], [span], 10.0)
    # inside at 0 1 2 | 3 and 4 are in the gap | 5 6 7 8 9 s: 1 1 1 | 2 2 2 0 0
    first, second, third = summary.occupancy
    assert (first.samples, first.minimum, first.maximum) == (8, 0, 2)
    assert first.mean == pytest.approx(9 / 8)
    assert (second.samples, second.minimum, second.mean, second.maximum) == (10, 0, 0.0, 0)
    assert (third.samples, third.minimum, third.mean, third.maximum) == (0, None, None, None)
    write_occupancy_csv(tmp_path / "occupancy.csv", summary)
    rows = read_csv(tmp_path / "occupancy.csv")
    assert [(row["samples"], row["mean"]) for row in rows] == [("8", "1.125"), ("10", "0.0"), ("0", "")]


def test_dwell_tells_mean_quantiles_and_stays_that_were_cut_off() -> None:
    left = [zone_event(EventKind.ZONE_LEFT, 10.0 + dwell, dwell) for dwell in (4.0, 1.0, 3.0)]
    events = [*left, zone_event(EventKind.ZONE_VANISHED, 14.0, 2.0)]
    (dwell,) = summarize(events, [YARD], [StreamSpan("door", 20.0)], 60.0).dwells
    assert (dwell.seconds, dwell.vanished) == ((1.0, 2.0, 3.0, 4.0), 1)
    assert (dwell.mean, dwell.quantile(0.5)) == (2.5, 2.5)
    (nobody,) = summarize([], [YARD], [StreamSpan("door", 20.0)], 60.0).dwells
    assert math.isnan(nobody.mean)
    assert math.isnan(nobody.quantile(0.9))


def test_streams_are_counted_each_for_itself() -> None:
    there = RuleInfo("back", "gate", "line", ("person",), ("in", "out"))
    spans = [StreamSpan("door", 30.0), StreamSpan("back", 130.0)]
    summary = summarize([crossing(5.0)], [GATE, there], spans, 60.0)
    per_stream = Counter[str]()
    for row in summary.counts:
        per_stream[row.rule.stream] += row.count
    assert (per_stream["door"], per_stream["back"]) == (1, 0)
    assert len({row.interval for row in summary.counts if row.rule == there}) == 3


def test_an_event_of_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="no rule 'gate' on stream 'door' is described"):
        summarize([crossing(1.0)], [YARD], [StreamSpan("door", 10.0)], 60.0)


def test_a_table_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"cannot write the table .*counts\.csv: No such file"):
        write_counts_csv(tmp_path / "no" / "counts.csv", summarize([], [], [], 60.0).counts)


def test_an_empty_recording_has_no_intervals_of_the_past() -> None:
    assert len(Timeline(StreamSpan("door", 0.0), 60.0).intervals) == 1
    with pytest.raises(ValueError, match="longer than 0 s, got 0"):
        Timeline(StreamSpan("door", 0.0), 0.0)


def test_near_misses_are_counted_by_rule_and_reason_and_are_no_counts() -> None:
    misses = [_event(EventKind.NEAR_MISS, rule, seconds, "person", reason=reason) for rule, seconds, reason in (
        ("yard", 1.0, "settle"), ("gate", 2.0, "turned"), ("gate", 3.0, "broke"), ("gate", 4.0, "turned"),
    )]  # fmt: skip
    summary = summarize([crossing(1.0)], [GATE, YARD], [StreamSpan("door", 10.0)], 60.0, near_misses=misses)
    assert summary.near_misses == ((GATE, "broke", 1), (GATE, "turned", 2), (YARD, "settle", 1))
    assert sum(row.count for row in summary.counts) == 1
    assert not summary.alerts


def test_a_rule_with_a_schedule_is_expected_to_look_only_while_it_is_open() -> None:
    hour = Window(frozenset(WEEKDAYS), time(10, 1), time(10, 3))
    night = replace(GATE, name="night", schedule=Schedule(ZoneInfo("UTC"), (hour,)))
    gaps = (Gap(80.0, 100.0, GapReason.DARK), Gap(240.0, 250.0, GapReason.FROZEN))
    drops = (Drops(20.0, 30.0, 10), Drops(28.0, 34.0, 9), Drops(145.0, 155.0, 20), Drops(200.0, 210.0, 7))
    span = StreamSpan("door", 250.0, 250.0, datetime(2026, 5, 4, 10, 0, 30, tzinfo=UTC), gaps, drops)
    summary = summarize([], [GATE, night], [span], 60.0)
    seen = [row for row in summary.counts if (row.rule, row.label, row.direction) == (night, "car", "in")]
    assert [(row.interval.observed_seconds, row.interval.expected_seconds) for row in seen] == [
        *((0.0, 0.0), (50.0, 60.0), (50.0, 60.0), (0.0, 0.0), (0.0, 0.0)),
    ]
    assert [row.is_unknown for row in seen] == [True, False, False, True, True]
    assert [row.interval.lost_seconds for row in seen] == [
        *((), ((GapReason.DARK, 10.0),), ((GapReason.DARK, 10.0),), (), ()),
    ]
    assert [row.interval.dropped_frames for row in seen] == [0, 6, 10, 0, 0]
    always = [row.interval for row in summary.counts if (row.rule, row.label, row.direction) == (GATE, "car", "in")]
    assert [one.expected_seconds for one in always] == [30.0, 60.0, 60.0, 60.0, 40.0]
    assert [one.dropped_frames for one in always] == [13, 6, 10, 17, 0]


def test_frames_dropped_in_an_interval_that_opens_and_closes_within_are_those_in_between() -> None:
    windows = tuple(Window(frozenset(WEEKDAYS), time(10, a), time(10, b)) for a, b in ((2, 4), (6, 8)))
    rule = replace(GATE, schedule=Schedule(ZoneInfo("UTC"), windows))
    start = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
    span = StreamSpan("door", 600.0, 600.0, start, drops=(Drops(0.0, 600.0, 600),))
    summary = summarize([], [rule], [span], 600.0)
    assert {row.interval.dropped_frames for row in summary.counts} == {240}
