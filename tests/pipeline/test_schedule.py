"""Schedules: what the clock on the wall shows decides, also on the days on which it is changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.pipeline.config.rules import ScheduleConfig
from vidan.pipeline.schedule import WEEKDAYS, Schedule, Weekday, Window

ALL_DAYS = frozenset(WEEKDAYS)
BERLIN = ZoneInfo("Europe/Berlin")
SPRING, AUTUMN = (
    datetime(2026, 3, 29, tzinfo=BERLIN),
    datetime(2026, 10, 25, tzinfo=BERLIN),
)  # clocks change at 1:00 UTC


def schedule(start: str, end: str, days=ALL_DAYS, zone: ZoneInfo = BERLIN) -> Schedule:
    return Schedule(zone, (Window(frozenset(days), time.fromisoformat(start), time.fromisoformat(end)),))


def open_minutes(opened: Schedule, start: datetime, hours: int) -> list[int]:
    """Minutes after `start` at which it is open."""
    begin = start.astimezone(UTC)
    return [minute for minute in range(hours * 60) if opened.is_open(begin + timedelta(minutes=minute))]


@pytest.mark.parametrize(
    ("window", "moment", "expected"),
    [
        (("07:00", "19:00"), "2026-05-04T07:00:00+02:00", True),
        (("07:00", "19:00"), "2026-05-04T06:59:59.999+02:00", False),
        (("07:00", "19:00"), "2026-05-04T19:00:00+02:00", False),
        (("07:00", "19:00"), "2026-05-04T05:00:00+00:00", True),
        (("07:00", "19:00", ["tue"]), "2026-05-04T12:00:00+02:00", False),  # it is a Monday
        (("22:00", "06:00", ["mon"]), "2026-05-05T05:59:00+02:00", True),  # a night belongs to the day it begins on
        (("22:00", "06:00", ["mon"]), "2026-05-04T05:59:00+02:00", False),
        (("09:00", "00:00"), "2026-05-04T23:59:59+02:00", True),
        (("00:00", "00:00"), "2026-05-04T00:00:00+02:00", True),
    ],
)
def test_a_window_begins_and_ends_by_the_clock(window, moment: str, expected: bool) -> None:
    assert schedule(*window).is_open(datetime.fromisoformat(moment)) is expected


@pytest.mark.parametrize(("day", "hours"), [(SPRING, 7), (AUTUMN, 9), (SPRING - timedelta(days=7), 8)])
def test_a_night_lasts_as_long_as_the_clock_says(day: datetime, hours: int) -> None:
    evening = day - timedelta(hours=12)
    assert len(open_minutes(schedule("22:00", "06:00"), evening, 24)) == hours * 60


def test_a_window_in_the_hour_that_is_skipped_is_not_missed_and_in_the_hour_that_comes_twice_is_open_twice() -> None:
    window = schedule("02:15", "02:45")
    assert open_minutes(window, SPRING, 23) == []
    assert open_minutes(window, AUTUMN, 25) == [*range(135, 165), *range(195, 225)]


clocks = st.times().map(lambda moment: moment.replace(microsecond=0))
windows = st.lists(
    st.builds(Window, st.sets(st.sampled_from(WEEKDAYS), min_size=1).map(frozenset), clocks, clocks),
    min_size=1,
    max_size=3,
).map(tuple)
zones = st.sampled_from(
    ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "UTC"]
).map(ZoneInfo)
changes = st.sampled_from(
    [SPRING, AUTUMN, datetime(2026, 4, 4, 15, tzinfo=UTC), datetime(2011, 12, 30, 10, tzinfo=UTC)]
)
moments = st.builds(
    lambda change, seconds: (change + timedelta(seconds=seconds)).astimezone(UTC),
    changes,
    st.integers(-200_000, 200_000),
)


@settings(max_examples=300, deadline=None)
@given(windows=windows, zone=zones, moment=moments)
def test_a_schedule_is_open_where_some_day_opened_a_window_on_the_wall(
    windows, zone: ZoneInfo, moment: datetime
) -> None:
    """Also around changes of the clock, by half an hour (Lord Howe) and by a whole day (Apia)."""
    wall = moment.astimezone(zone).replace(tzinfo=None)
    expected = False
    for window in windows:
        for days_ago in (0, 1):
            day = wall.date() - timedelta(days=days_ago)
            begins, ends = datetime.combine(day, window.start), datetime.combine(day, window.end)
            ends += timedelta(days=window.end <= window.start)
            expected |= WEEKDAYS[day.weekday()] in window.days and begins <= wall < ends
    assert Schedule(zone, windows).is_open(moment) is expected


@settings(max_examples=60, deadline=None)
@given(windows=windows, zone=zones, moment=moments, seconds=st.floats(0.5, 7000))
def test_what_is_closed_is_what_is_not_open(windows, zone: ZoneInfo, moment: datetime, seconds: float) -> None:
    planned = Schedule(zone, windows)
    closed = list(planned.closed(moment, seconds))
    assert all(0 <= start < end <= seconds + 1e-6 for start, end in closed)
    for share in (0.0, 0.2, 0.5, 0.9):
        after = round(seconds * share, 6)
        within = any(start <= after < end for start, end in closed)
        assert within is not planned.is_open(moment + timedelta(seconds=after))


def test_a_schedule_survives_the_manifest() -> None:
    night = schedule("22:00", "06:00:30", frozenset[Weekday](("fri", "sat")))
    assert ScheduleConfig.model_validate(json.loads(json.dumps(night.to_record()))).build() == night
