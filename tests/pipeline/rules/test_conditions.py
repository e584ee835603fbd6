"""When, how often and which way events count: the rest are near misses, and the sums hold in spite of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import box

from vidan.pipeline.events import EventKind
from vidan.pipeline.rules.conditions import CoolingRule, OneWayRule, ScheduledRule
from vidan.pipeline.rules.line import LineRule
from vidan.pipeline.rules.zone import ZoneRule
from vidan.pipeline.schedule import WEEKDAYS, Schedule, Window

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)  # when all walks begin
ALWAYS = Window(frozenset(WEEKDAYS), time(0), time(0))
YARD = box(0, 0, 100, 100)


def clock(seconds: float) -> time:
    return (NOON + timedelta(seconds=seconds)).time()


def opened(*spans: tuple[float, float]) -> Schedule:
    """Open between these seconds of the walks."""
    windows = (Window(frozenset(WEEKDAYS), clock(start), clock(end)) for start, end in spans)
    return Schedule(ZoneInfo("UTC"), tuple(windows))


def zone(**options) -> ZoneRule:
    return ZoneRule(name="yard", polygon=YARD, class_names=["person"], **options)


def gate() -> LineRule:
    return LineRule(name="gate", points=[(50, 100), (50, 0)], class_names=["person"])


def row(*xs):
    return [None if x is None else (x, 50) for x in xs]


def story(events):
    """(what, when) of each event, near misses with their reason."""
    return [(e.details.get("reason") or e.kind.removeprefix("zone_"), round(e.pts_seconds, 3)) for e in events]


# --- schedules --------------------------------------------------------------------------------------------------------


def test_who_stays_over_night_vanishes_in_the_evening_and_appears_in_the_morning(walk, notice) -> None:
    rule = ScheduledRule(zone, opened((0, 2), (4, 20)))
    events = [e for e in notice(rule, walk({1: row(-50, *[50] * 59)})) if e.kind is not EventKind.NEAR_MISS]
    assert story(events) == [("entered", 0.05), ("vanished", 1.9), ("appeared", 4.0), ("vanished", 5.9)]
    assert [e.details.get("dwell") for e in events] == [None, pytest.approx(1.85), None, pytest.approx(1.9)]


def test_what_happens_outside_of_the_schedule_is_a_near_miss(walk, notice) -> None:
    scenes = walk({1: [(0, 50)] * 5 + [(100, 50)] * 20, 2: [(0, 50)] * 35 + [(100, 50)] * 20})
    early, late = (
        event
        for event in notice(ScheduledRule(gate, opened((2, 20))), scenes)
        if event.details.get("reason") != "broke"
    )
    assert (early.kind, early.track_id) == (EventKind.NEAR_MISS, 1)
    assert early.details["reason"] == "schedule"
    assert early.details["missed"] == "line_crossed"
    assert (late.kind, late.track_id) == (EventKind.LINE_CROSSED, 2)


def test_a_stream_without_a_clock_has_no_schedule(walk) -> None:
    stamp, tracks = walk({1: row(50)})[0]
    with pytest.raises(ValueError, match="nobody knows when stream 'camera' was taken"):
        ScheduledRule(zone, opened((0, 1))).update(replace(stamp, utc=None), tracks)


places = st.none() | st.tuples(st.integers(-60, 160), st.integers(-60, 160))
walks = st.dictionaries(st.integers(1, 4), st.lists(places, min_size=2, max_size=50).filter(any), min_size=1)
spans = st.lists(st.integers(0, 50), min_size=2, max_size=6, unique=True).map(
    lambda tenths: [(a / 10, b / 10) for a, b in zip(*[iter(sorted(tenths))] * 2, strict=False)]
)


@settings(max_examples=100, deadline=None)
@given(paths=walks, spans=spans)
def test_nothing_counts_outside_and_the_sums_hold(walk, notice, paths, spans) -> None:
    schedule, scenes = opened(*spans), walk(paths)
    make = partial(zone, capacity_max=1, loiter_after=0.5)
    events = notice(ScheduledRule(make, schedule), scenes)
    assert len({event.id for event in events}) == len(events)
    counted = [event for event in events if event.kind is not EventKind.NEAR_MISS]
    for event in counted:
        assert event.utc is not None
        nearest = schedule.is_open(event.utc) or schedule.is_open(event.utc + timedelta(microseconds=2))
        assert nearest, event  # times are sums of floats, and the clock counts microseconds
    kinds = Counter(event.kind for event in counted)
    came = kinds[EventKind.ZONE_ENTERED] + kinds[EventKind.ZONE_APPEARED]
    assert came == kinds[EventKind.ZONE_LEFT] + kinds[EventKind.ZONE_VANISHED]
    assert kinds[EventKind.CAPACITY_EXCEEDED] == kinds[EventKind.CAPACITY_CLEARED]


@settings(max_examples=50, deadline=None)
@given(paths=walks)
def test_an_open_schedule_changes_nothing_and_a_closed_one_counts_nothing(walk, notice, paths) -> None:
    scenes = walk(paths)
    plain = notice(zone(), scenes)
    assert notice(ScheduledRule(zone, Schedule(ZoneInfo("UTC"), (ALWAYS,))), scenes) == plain
    missed = notice(ScheduledRule(zone, opened((3000, 3001))), scenes)
    counted = [event.kind for event in plain if event.kind is not EventKind.NEAR_MISS]
    assert [event.details["missed"] for event in missed] == counted
    assert all(event.kind is EventKind.NEAR_MISS for event in missed)


# --- cool-downs -------------------------------------------------------------------------------------------------------


def visits(times: int) -> list:
    """Stays of one second in the yard, with a second between."""
    return row(*([50] * 10 + [250] * 10) * times)


def test_a_track_raises_the_same_alert_again_only_after_the_cooldown(walk, notice) -> None:
    make = partial(zone, loiter_after=0.5)
    for cooldown, expected in ((0, 4), (1.5, 4), (2.5, 2), (60, 1)):
        events = notice(CoolingRule(make(), cooldown), walk({1: visits(4)}))
        kinds = Counter(event.kind for event in events)
        assert kinds[EventKind.LOITERING] == expected
        assert sum(event.details.get("reason") == "cooldown" for event in events) == 4 - expected
        assert kinds[EventKind.ZONE_LEFT] == 4


def test_another_track_is_not_spared(walk, notice) -> None:
    events = notice(CoolingRule(zone(loiter_after=0.5), 60), walk({1: visits(2), 2: visits(2)}))
    assert [e.track_id for e in events if e.kind is EventKind.LOITERING] == [1, 2]


def test_the_return_of_a_crowd_is_told_only_if_its_rise_was(walk, notice) -> None:
    events = notice(CoolingRule(zone(capacity_max=0), 3.5), walk({1: visits(3), 2: visits(3)}))
    told = [e.kind.value for e in events if e.kind in (EventKind.CAPACITY_EXCEEDED, EventKind.CAPACITY_CLEARED)]
    assert told == ["capacity_exceeded", "capacity_cleared"] * 2
    assert sum(e.details.get("reason") == "cooldown" for e in events) == 2


# --- directions -------------------------------------------------------------------------------------------------------


def test_only_one_direction_counts(walk, notice) -> None:
    to_and_fro = walk({1: row(*[0] * 5, *[100] * 15, *[0] * 15)})
    both = notice(gate(), to_and_fro)
    assert len(both) == 2
    for wanted in both:
        direction = wanted.details["direction"]
        events = notice(OneWayRule(gate(), direction), to_and_fro)
        assert [e for e in events if e.kind is not EventKind.NEAR_MISS] == [wanted]
        [other] = [e for e in events if e.kind is EventKind.NEAR_MISS]
        assert (other.details["reason"], other.details["missed"]) == ("direction", "line_crossed")


def test_conditions_carry_the_name_of_their_rule() -> None:
    rules = [OneWayRule(gate(), "in"), CoolingRule(gate(), 1), ScheduledRule(gate, opened((0, 1)))]
    assert [rule.name for rule in rules] == ["gate"] * 3
