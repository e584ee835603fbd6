"""Whose frame is next: strict turns among files, whatever is there from cameras, and no longer wait than the budget."""

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
        self.now += min(timeout or 0.01, 0.01)
        return False


class FakeQueue:
    """A stream whose frames come in at given times."""

    def __init__(self, name: str, arrivals: Sequence[float], clock: FakeClock, *, live: bool = False) -> None:
        self.live = live
        self._frames = [Frame.from_array(Stamp(name, i, at), _PICTURE) for i, at in enumerate(arrivals)]
        self._arrivals = list(arrivals)
        self._clock = clock

    @property
    def finished(self) -> bool:
        return not self._frames

    def take(self) -> Frame | None:
        if not self._frames or self._arrivals[0] > self._clock.now:
            return None
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


def test_a_live_stream_without_a_frame_is_passed_over(clock: FakeClock) -> None:
    queues = [FakeQueue("a", [0.0, 0.0], clock, live=True), FakeQueue("b", [9.0], clock, live=True)]
    assert _batch(Batcher(queues, 4, clock, budget_seconds=0.05, clock=clock)) == "a0 a1"


def test_a_busy_camera_does_not_keep_others_from_their_turn(clock: FakeClock) -> None:
    queues = [
        FakeQueue("a", [0.0] * 9, clock, live=True),
        FakeQueue("b", [0.0] * 2, clock, live=True),
        FakeQueue("f", [0.0] * 9, clock),
    ]
    assert _batch(Batcher(queues, 7, clock, clock=clock)) == "a0 b0 f0 a1 b1 f1 a2"


def test_a_camera_goes_on_while_a_file_is_late_and_other_files_wait_with_it(clock: FakeClock) -> None:
    queues = [
        FakeQueue("f", [1.0], clock),
        FakeQueue("a", [0.0, 0.02], clock, live=True),
        FakeQueue("g", [0.0], clock),
    ]
    batcher = Batcher(queues, 8, clock, budget_seconds=0.05, clock=clock)
    assert _batch(batcher) == "a0 a1"
    assert _batch(batcher) == "f0 g0"


def test_a_stop_gives_out_what_is_there_and_then_nothing(clock: FakeClock) -> None:
    batcher = Batcher([FakeQueue("a", [0.0, 5.0], clock)], 8, clock, stopped=lambda: clock.now >= 0.02, clock=clock)
    assert _batch(batcher) == "a0"
    assert _batch(batcher) == ""
    assert clock.now < 0.2
