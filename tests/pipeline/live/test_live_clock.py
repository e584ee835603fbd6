"""Stream time of cameras: their own times while they can be true, arrivals and the clock on the wall where not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.pipeline.sources.live_clock import LiveClock

START = datetime(2026, 5, 1, 8, tzinfo=UTC)
TICKS = 90_000  # per second
STEP = 3_600  # ticks per picture of 25 fps


class Wall:
    """A machine's two clocks, turned by hand."""

    def __init__(self) -> None:
        self.monotonic = 1000.0
        self.utc = START

    def pass_by(self, seconds: float) -> None:
        self.monotonic += seconds
        self.utc += timedelta(seconds=seconds)


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def clock(wall: Wall) -> LiveClock:
    clock = LiveClock(lambda: wall.monotonic, lambda: wall.utc)
    clock.begin(1 / TICKS, 0.04)
    return clock


def play(clock: LiveClock, wall: Wall, ticks: list[int | None], delays: list[float] | None = None) -> list[float]:
    """The times of pictures that are filmed each 0.04 s, and arrive so late."""
    times = []
    for pts, delay in zip(ticks, delays or [0.0] * len(ticks), strict=True):
        times.append(clock.advance(pts, wall.monotonic + delay))
        wall.pass_by(0.04)
    return times


def test_pictures_that_arrive_in_bunches_keep_their_own_times(clock: LiveClock, wall: Wall) -> None:
    delays = [0.3, 0.26, 0.22, 0.0, 0.1, 0.06, 0.02, 0.0]
    times = play(clock, wall, [i * STEP for i in range(8)], delays)
    assert times == pytest.approx(np.arange(8) * 0.04)
    assert clock.utc(0.0) == START + timedelta(seconds=0.3)


def test_an_outage_lasts_as_long_as_the_camera_was_away(clock: LiveClock, wall: Wall) -> None:
    play(clock, wall, [i * STEP for i in range(10)])
    wall.pass_by(30.0)
    clock.begin(1 / TICKS, 0.04)
    times = play(clock, wall, [777 + i * STEP for i in range(10)])  # a new connection counts from anywhere
    assert times == pytest.approx(30.4 + np.arange(10) * 0.04)
    assert clock.gaps == [pytest.approx((0.4, 30.4))]
    assert clock.utc(30.4) == START + timedelta(seconds=30.4)
    assert clock.discontinuities == 0


@pytest.mark.parametrize("bits", [32, 33])
def test_a_counter_that_begins_anew_is_no_jump(bits: int, clock: LiveClock, wall: Wall) -> None:
    first = 2**bits - 5 * STEP
    times = play(clock, wall, [(first + i * STEP) % 2**bits for i in range(12)])
    assert times == pytest.approx(np.arange(12) * 0.04)
    assert (clock.discontinuities, clock.repaired, clock.gaps) == (0, 1, [])


@pytest.mark.parametrize("jump", [-3600, -100, 50, 3600])
def test_a_camera_whose_clock_is_set_jumps_once_and_time_runs_on(jump: int, clock: LiveClock, wall: Wall) -> None:
    ticks = [i * STEP + (jump * TICKS if i >= 6 else 0) for i in range(12)]
    times = play(clock, wall, [tick + 10**9 for tick in ticks])
    assert times == pytest.approx(np.arange(12) * 0.04)
    assert clock.discontinuities == 1
    assert clock.gaps == []


def test_pictures_that_lack_are_a_gap_where_real_time_has_passed(clock: LiveClock, wall: Wall) -> None:
    play(clock, wall, [0, STEP])
    wall.pass_by(8.0)
    times = play(clock, wall, [202 * STEP, 203 * STEP])
    assert times == pytest.approx([8.08, 8.12])
    assert clock.gaps == [pytest.approx((0.08, 8.08))]
    assert clock.discontinuities == 0


def test_missing_and_repeated_times_are_repaired(clock: LiveClock, wall: Wall) -> None:
    times = play(clock, wall, [None, STEP, 2 * STEP, None, 4 * STEP, 4 * STEP, 6 * STEP])
    assert times == pytest.approx([0.0, 0.04, 0.08, 0.12, 0.16, 0.18, 0.24], abs=0.003)
    assert clock.repaired == 2  # that the first has none is the manner of RTSP
    assert clock.discontinuities == 0


def test_without_any_times_arrivals_count(clock: LiveClock, wall: Wall) -> None:
    clock.begin(1 / 25, 0.04, is_timed=False)
    times = []
    for i in range(10):
        times.append(clock.advance(i, wall.monotonic))
        wall.pass_by(0.1)  # the made-up times say 0.04
    assert times == pytest.approx(np.arange(10) * 0.1)


def test_a_camera_clock_that_runs_wrong_is_led_to_the_time_of_this_machine(clock: LiveClock, wall: Wall) -> None:
    """100 ppm are 8.6 s a day; seen here as 0.1 % for ten minutes."""
    times = np.array(play(clock, wall, [round(i * STEP * 1.001) for i in range(15_000)]))
    real = np.arange(15_000) * 0.04
    assert np.abs(times - real).max() < 0.1
    assert (np.diff(times) > 0).all()
    assert clock.discontinuities == 0


@pytest.mark.parametrize("rate", [0.5, 2.0])
def test_times_at_a_wrong_rate_give_way_to_arrivals(rate: float, clock: LiveClock, wall: Wall) -> None:
    times = np.array(play(clock, wall, [round(i * STEP * rate) for i in range(4_000)]))
    assert (np.diff(times) > 0).all()
    assert times[-1] == pytest.approx(160.0, abs=32.0)
    assert clock.discontinuities >= 1


def test_a_stream_that_ends_during_an_outage_has_a_gap_to_its_end(clock: LiveClock, wall: Wall) -> None:
    play(clock, wall, [0, STEP])
    wall.pass_by(5.0)
    assert clock.finish() == pytest.approx(5.08)
    assert clock.gaps == [pytest.approx((0.08, 5.08))]


def test_the_clock_on_the_wall_may_be_set_and_is_told_once(clock: LiveClock, wall: Wall) -> None:
    play(clock, wall, [0, STEP])
    assert clock.wall_step() == 0.0
    wall.utc += timedelta(hours=1)
    assert clock.wall_step() == pytest.approx(3600.0)
    assert clock.wall_step() == 0.0
    assert play(clock, wall, [2 * STEP]) == pytest.approx([0.08])
    assert clock.utc(0.08) == START + timedelta(seconds=0.08)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.integers(-(2**33), 2**33)), st.floats(0.0, 40.0)), min_size=1, max_size=60
    )
)
def test_time_only_grows_and_gaps_lie_in_order_whatever_a_camera_says(pictures: list[tuple[int | None, float]]) -> None:
    wall = Wall()
    clock = LiveClock(lambda: wall.monotonic, lambda: wall.utc)
    clock.begin(1 / TICKS, 0.04)
    times = []
    for pts, wait in pictures:
        wall.pass_by(wait)
        times.append(clock.advance(pts, wall.monotonic))
    assert all(earlier < later for earlier, later in pairwise(times))
    edges = [edge for gap in clock.gaps for edge in gap]
    assert edges == sorted(edges)
    assert times[-1] <= wall.monotonic - 1000.0 + 60.0


def test_time_begins_before_the_first_picture_where_that_is_said(clock: LiveClock, wall: Wall) -> None:
    clock.begin_at(wall.monotonic)
    wall.pass_by(12.0)
    clock.begin(1 / TICKS, 0.04)
    assert clock.end_seconds == 0.0
    assert clock.advance(77, wall.monotonic) == 12.0
    clock.begin_at(wall.monotonic)
    wall.pass_by(0.04)
    assert clock.advance(77 + STEP, wall.monotonic) == pytest.approx(12.04), "later words change nothing"
    assert clock.start_time == START
    assert clock.utc(12.0) == START + timedelta(seconds=12)
    assert clock.gaps == [(0.0, 12.0)]
