"""Presentation times become seconds that only grow, whatever the container says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.pipeline.errors import SourceError
from vidan.pipeline.sources.clock import StreamClock, creation_time

TENTH = Fraction(1, 10)


def run(clock: StreamClock, times: list[int | None], time_base: Fraction = TENTH) -> list[float]:
    """One file of ten pictures a second through the clock; rounded for comparison."""
    clock.begin(time_base, 0.1)
    following = [*times[1:], None]
    return [round(clock.advance(pts, after), 6) for pts, after in zip(times, following, strict=True)]


@pytest.mark.parametrize(
    ("times", "seconds", "repaired", "remark"),
    [
        ([0, 1, 2, 3], [0.0, 0.1, 0.2, 0.3], 0, "as it should be"),
        ([7, 8, 9], [0.0, 0.1, 0.2], 0, "the first picture is at zero"),
        ([-2, -1, 0], [0.0, 0.1, 0.2], 0, "negative times are times"),
        ([0, 1, 4, 5], [0.0, 0.1, 0.4, 0.5], 0, "variable frame rate"),
        ([None, None, None], [0.0, 0.1, 0.2], 3, "a raw stream has no times"),
        ([0, None, 2, 3], [0.0, 0.1, 0.2, 0.3], 1, "one is missing"),
        ([None, 6, 7], [0.0, 0.1, 0.2], 1, "the first is missing"),
        ([0, 0, 1, 2], [0.0, 0.05, 0.1, 0.2], 1, "a repeated one does not push the next"),
        ([0, 1, 1, 1, 2, 3, 4], [0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4], 3, "three times the same: caught up soon"),
        ([0, 2, 1, 3], [0.0, 0.2, 0.25, 0.3], 1, "two changed places"),
        ([50, 51, 0, 1, 2], [0.0, 0.1, 0.2, 0.3, 0.4], 1, "the camera's clock was set anew"),
        ([50, 51, 0, 53, 54], [0.0, 0.1, 0.2, 0.3, 0.4], 1, "one damaged number, too small"),
        ([0, 1, 90000, 3, 4], [0.0, 0.1, 0.2, 0.3, 0.4], 1, "one damaged number, too large"),
        ([0, 1, 900, 901], [0.0, 0.1, 90.0, 90.1], 0, "a long pause that the next picture confirms"),
        ([0, 1, 900], [0.0, 0.1, 0.2], 1, "a leap that nobody confirms"),
    ],
)
def test_times_are_believed_as_far_as_they_can_be_true(
    times: list[int | None], seconds: list[float], repaired: int, remark: str
) -> None:
    clock = StreamClock()
    assert run(clock, times) == seconds, remark
    assert clock.repaired == repaired, remark


def test_long_waits_are_gaps_and_short_ones_only_after_a_loss() -> None:
    clock = StreamClock()
    run(clock, [0, 1, 31, 32, 36, 37])
    assert [tuple(round(moment, 6) for moment in gap) for gap in clock.gaps] == [(0.2, 3.1)]

    clock = StreamClock()
    clock.begin(TENTH, 0.1)
    for pts, after_loss in [(0, False), (1, False), (2, True), (4, True), (7, False)]:
        clock.advance(pts, pts + 1, after_loss=after_loss)
    assert [tuple(round(moment, 6) for moment in gap) for gap in clock.gaps] == [(0.3, 0.4)]


def test_the_next_file_begins_where_the_last_picture_ends() -> None:
    clock = StreamClock()
    clock.begin(Fraction(1, 1000), 0.1)
    clock.advance(5000, 5100, duration=100)
    clock.advance(5100, None, duration=400)  # a picture that stood longer
    assert run(clock, [70, 71, 72]) == [0.5, 0.6, 0.7]
    assert clock.gaps == []
    assert clock.repaired == 0


def test_a_missing_tail_moves_the_next_file_and_is_a_gap() -> None:
    clock = StreamClock()
    run(clock, [0, 1])
    clock.skip(2.0)
    assert run(clock, [0, 1]) == [2.2, 2.3]
    assert clock.gaps == [(pytest.approx(0.2), pytest.approx(2.2))]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(-(10**6), 10**6)), min_size=1, max_size=40))
def test_times_only_grow_whatever_comes(times: list[int | None]) -> None:
    seconds = run(StreamClock(), times)
    assert seconds[0] == 0.0
    assert all(later > earlier for earlier, later in pairwise(seconds))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=30), st.integers(-(10**9), 10**9))
def test_good_times_are_kept_to_the_tick(steps: list[int], start: int) -> None:
    times = [start]
    for step in steps:
        times.append(times[-1] + step)
    clock = StreamClock()
    clock.begin(TENTH, 0.1)
    seconds = [clock.advance(pts, after) for pts, after in zip(times, [*times[1:], None], strict=True)]
    assert seconds == [float((pts - start) * TENTH) for pts in times]
    assert clock.repaired == 0


def test_utc_is_start_plus_seconds_or_unknown() -> None:
    clock = StreamClock(datetime(2024, 5, 6, 9, 0, tzinfo=timezone(timedelta(hours=2))))
    assert clock.utc(1.5) == datetime(2024, 5, 6, 7, 0, 1, 500_000, tzinfo=UTC)
    assert clock.utc(1.5).tzinfo is UTC  # type: ignore[union-attr]
    assert StreamClock().utc(1.5) is None


def test_a_start_without_time_zone_is_refused_with_the_remedy() -> None:
    with pytest.raises(SourceError, match=r"no time zone: write 2024-05-06T09:00:00Z for UTC"):
        StreamClock(datetime(2024, 5, 6, 9, 0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-05-06T07:08:09.000000Z", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("2024-05-06T09:08:09+02:00", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("2024-05-06 07:08:09", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("1904-01-01T00:00:00Z", None),
        ("1970-01-01T00:00:00Z", None),
        ("yesterday", None),
        ("0001-01-01T00:00:00+02:00", None),
    ],
)
def test_creation_times_of_containers_are_read_and_unset_clocks_are_not_believed(
    text: str, expected: datetime | None
) -> None:
    assert creation_time({"creation_time": text}) == expected
    assert creation_time({}) is None
