"""Whose frame is next: strict turns among files, the newest of each camera, and to each its part when time is short."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.pipeline.engine.batcher import Batcher
from vidan.pipeline.frame import Frame, Stamp


class FakeClock:
    """Time that passes only while somebody waits for the bell."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def clear(self) -> None:
        pass

    def wait(self, timeout: float | None = None) -> bool:
        self.now += max(1e-6, min(timeout or 0.01, 0.01))
        return False


class FakeQueue:
    """A stream whose frames come in at given times; a camera's frame takes the place of one that nobody has taken."""

    def __init__(
        self, name: str, arrivals: Sequence[float], clock: FakeClock, *, live: bool = False, priority: float = 1.0
    ) -> None:
        self.live = live
        self.priority = priority
        self.arrivals = 0
        self.taken = 0
        self._frames = [Frame.from_array(Stamp(name, i, at), _PICTURE) for i, at in enumerate(arrivals)]
        self._arrivals = list(arrivals)
        self._clock = clock

    @property
    def finished(self) -> bool:
        return not self._frames

    @property
    def waiting(self) -> int:
        waiting = sum(at <= self._clock.now for at in self._arrivals)
        self.arrivals = self.taken + waiting
        return waiting

    def take(self) -> Frame | None:
        if not self._frames or self._arrivals[0] > self._clock.now:
            return None
        self.taken += 1
        self._arrivals.pop(0)
        return self._frames.pop(0)


_PICTURE = np.zeros((1, 1, 3), np.uint8)
MakeBatcher = Callable[..., Batcher]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def _all_frames(batcher: Batcher) -> list[str]:
    names = []
    while batch := batcher.next_batch():
        names += [f"{frame.stamp.stream}{frame.stamp.index}" for frame in batch]
    return names


def _batch(batcher: Batcher) -> str:
    return " ".join(f"{frame.stamp.stream}{frame.stamp.index}" for frame in batcher.next_batch())


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    delays=st.lists(st.floats(0, 0.2), min_size=20, max_size=20),
    size=st.integers(1, 9),
)
def test_files_take_strict_turns_whatever_their_speed_and_the_batch_size(
    lengths: list[int], delays: list[float], size: int
) -> None:
    clock = FakeClock()
    queues = [
        FakeQueue("abcd"[i], np.cumsum(delays[i * 5 : i * 5 + length]).tolist(), clock)
        for i, length in enumerate(lengths)
    ]
    expected = [f"{'abcd'[i]}{turn}" for turn in range(5) for i, length in enumerate(lengths) if turn < length]
    assert _all_frames(Batcher(queues, size, clock, clock=clock)) == expected


def test_a_full_batch_is_given_out_at_once(clock: FakeClock) -> None:
    batcher = Batcher([FakeQueue("a", [0.0] * 5, clock)], 4, clock, clock=clock)
    assert _batch(batcher) == "a0 a1 a2 a3"
    assert clock.now == 0.0


def test_the_budget_counts_from_the_first_frame_of_a_batch(clock: FakeClock) -> None:
    batcher = Batcher([FakeQueue("a", [1.0, 1.04, 1.20], clock)], 8, clock, budget_seconds=0.1, clock=clock)
    assert _batch(batcher) == "a0 a1"
    assert clock.now == pytest.approx(1.1)
    assert _batch(batcher) == "a2"


def test_a_batch_waits_for_a_camera_without_a_frame_as_long_as_the_budget_lasts(clock: FakeClock) -> None:
    queues = [FakeQueue("a", [0.0], clock, live=True), FakeQueue("b", [0.02, 9.0], clock, live=True)]
    assert _batch(Batcher(queues, 4, clock, budget_seconds=0.05, clock=clock)) == "a0 b0"
    assert clock.now == pytest.approx(0.02)
    assert _batch(Batcher(queues[1:], 4, clock, budget_seconds=0.05, clock=clock)) == ""
    assert clock.now < 1


def test_a_batch_waits_for_nobody_once_a_camera_in_it_has_its_next_frame(clock: FakeClock) -> None:
    queues = [FakeQueue("a", [0.0, 0.02], clock, live=True), FakeQueue("b", [9.0], clock, live=True)]
    assert _batch(Batcher(queues, 4, clock, budget_seconds=0.05, clock=clock)) == "a0"
    assert clock.now == pytest.approx(0.02)


def test_a_batch_that_does_not_wait_has_what_is_there(clock: FakeClock) -> None:
    queues = [FakeQueue("a", [0.0], clock, live=True), FakeQueue("b", [0.01], clock, live=True)]
    batcher = Batcher(queues, 4, clock, clock=clock)
    names = [[frame.stamp.stream for frame in batcher.next_batch(wait=False)] for _ in range(2)]
    assert names == [["a"], []]
    assert clock.now == 0


def test_cameras_leave_one_place_of_a_batch_to_a_file(clock: FakeClock) -> None:
    cameras = [FakeQueue(name, [0.0] * 9, clock, live=True) for name in "abc"]
    batcher = Batcher([*cameras, FakeQueue("f", [0.0] * 9, clock)], 3, clock, clock=clock)
    assert [_batch(batcher)[-2:] for _ in range(3)] == ["f0", "f1", "f2"]
    alone = Batcher([cameras[0], FakeQueue("f", [0.0] * 9, clock)], 1, clock, clock=clock)
    assert sorted(_batch(alone)[0] for _ in range(4)) == ["a", "a", "f", "f"], "they take turns at the only place"


def test_a_camera_goes_on_while_a_file_is_late_and_other_files_wait_with_it(clock: FakeClock) -> None:
    queues = [
        FakeQueue("f", [1.0], clock),
        FakeQueue("a", [0.0, 0.02, 2.0], clock, live=True),
        FakeQueue("g", [0.0], clock),
    ]
    batcher = Batcher(queues, 8, clock, budget_seconds=0.05, clock=clock)
    assert _all_frames(batcher) == ["a0", "a1"]
    clock.now = 1.0
    assert _batch(batcher) == "f0 g0"


def _analysed_shares(rates: Sequence[float], *, size: int, capacity: float, priorities: Sequence[float]) -> list[float]:
    """Which part of the frames of cameras with these rates is analysed by a detector of so many frames a second."""
    clock = FakeClock()
    queues = [
        NewestOnly(f"{i}", rate, clock, priority)
        for i, (rate, priority) in enumerate(zip(rates, priorities, strict=True))
    ]
    batcher = Batcher(queues, size, clock, budget_seconds=0.01, clock=clock)
    while clock.now < 40:
        clock.now += len(batcher.next_batch()) / capacity
    return [queue.taken / (rate * clock.now) for queue, rate in zip(queues, rates, strict=True)]


class NewestOnly:
    """A camera of which only the newest frame waits, as with a `Reader` after a while."""

    live = True
    finished = False

    def __init__(self, name: str, rate: float, clock: FakeClock, priority: float) -> None:
        self.priority = priority
        self.taken = 0
        self._name, self._rate, self._clock = name, rate, clock
        self._last = 0

    @property
    def arrivals(self) -> int:
        return int(self._clock.now * self._rate)

    @property
    def waiting(self) -> int:
        return min(1, self.arrivals - self._last)

    def take(self) -> Frame | None:
        self.taken, self._last = self.taken + 1, self.arrivals
        return Frame.from_array(Stamp(self._name, self._last, self._clock.now), _PICTURE)


@pytest.mark.parametrize("size", [1, 4, 16])
@pytest.mark.parametrize("capacity", [40, 90])
def test_cameras_of_all_rates_lose_the_same_part_of_their_frames(size: int, capacity: float) -> None:
    rates = (30, 30, 25, 15, 10, 30, 5, 5)
    shares = _analysed_shares(rates, size=size, capacity=capacity, priorities=[1] * 8)
    assert max(shares) <= 1.1 * min(shares), shares
    assert sum(share * rate for share, rate in zip(shares, rates, strict=True)) > 0.93 * capacity


def test_cameras_lose_nothing_while_the_detector_keeps_up() -> None:
    shares = _analysed_shares((30, 25, 5), size=8, capacity=100, priorities=[1, 3, 1])
    assert min(shares) > 0.97, shares


def test_a_camera_of_twice_the_priority_has_twice_the_share() -> None:
    shares = _analysed_shares((30, 30, 30), size=4, capacity=40, priorities=[2, 1, 1])
    assert shares[0] == pytest.approx(2 * shares[1], rel=0.12)
    assert shares[1] == pytest.approx(shares[2], rel=0.1)


def test_a_stop_gives_out_what_is_there_and_then_nothing(clock: FakeClock) -> None:
    batcher = Batcher([FakeQueue("a", [0.0, 5.0], clock)], 8, clock, stopped=lambda: clock.now >= 0.02, clock=clock)
    assert _batch(batcher) == "a0"
    assert _batch(batcher) == ""
    assert clock.now < 0.2
