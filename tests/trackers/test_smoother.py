"""What waits, what is released, and how smooth it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidan.detector import Detections
from vidan.trackers import ByteTracker, FixedLagSmoother, Released, Tracks

FPS = 10.0


def tracks(*rows: tuple[int, bool, float], ended: tuple[int, ...] = ()) -> Tracks:
    """Rows (id, confirmed, x), boxes 10 wide and 20 high."""
    ids, confirmed, x = np.array([row[0] for row in rows], np.int64), [row[1] for row in rows], [row[2] for row in rows]
    left = np.array(x, np.float32)
    xyxy = np.stack([left, np.zeros_like(left), left + 10, np.full_like(left, 20)], axis=1)
    ones = np.ones(len(rows), np.float32)
    classes = np.zeros(len(rows), np.int64)
    return Tracks(ids, xyxy, ones, classes, ones, np.array(confirmed, np.bool_), ones > 0, ended)


def smooth(
    answers: Sequence[Tracks], seconds: float, alive: tuple[int, ...] = (), times: Sequence[float] | None = None
) -> list[Released[int]]:
    smoother = FixedLagSmoother[int](seconds)
    released = []
    for index, answer in enumerate(answers):
        released += smoother.push(index, index / FPS if times is None else times[index], answer)
    return released + smoother.finish(alive)


def lefts(released: Sequence[Released[int]], track_id: int) -> NDArray[np.float32]:
    return np.concatenate([frame.tracks.xyxy[frame.tracks.track_id == track_id, 0] for frame in released])


# --- what is released -----------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), seconds=st.sampled_from([0.0, 0.2, 0.7]), confirm_frames=st.integers(1, 4))
def test_every_frame_is_released_once_in_order_with_all_rows_of_what_was_ever_confirmed(
    seed: int, seconds: float, confirm_frames: int
) -> None:
    rng = np.random.default_rng(seed)
    tracker = ByteTracker(confirm_frames=confirm_frames, lost_after_seconds=0.3)
    pts = np.cumsum(rng.uniform(0.02, 0.3, 40)).tolist()
    answers = []
    for time in pts:
        x = np.array([50.0, 200, 400, 700])[rng.random(4) < 0.7] + rng.normal(0, 1)
        xyxy = np.stack([x, 0 * x, x + 40, 0 * x + 90], axis=1).astype(np.float32)
        answers.append(
            tracker.update(Detections(xyxy, np.full(len(x), 0.9, np.float32), np.zeros(len(x), np.int64)), time)
        )
    alive = tracker.finish()
    released = smooth(answers, seconds, alive, pts)

    real = {track_id for answer in answers for track_id in answer.track_id[answer.confirmed].tolist()}
    assert [frame.key for frame in released] == list(range(len(answers)))
    for frame, answer in zip(released, answers, strict=True):
        rows = np.isin(answer.track_id, list(real))
        assert frame.tracks.track_id.tolist() == answer.track_id[rows].tolist()
        np.testing.assert_array_equal(frame.observed_xyxy, answer.xyxy[rows])
        assert frame.tracks.confirmed.all()
    ended = [frame.tracks.ended for frame in released]
    assert ended[:-1] == [answer.ended for answer in answers[:-1]]
    assert ended[-1] == tuple(sorted({*answers[-1].ended, *alive}))
    assert sorted(track_id for ids in ended for track_id in ids) == sorted(real)


def test_a_frame_waits_as_long_as_its_window_reaches_into_the_future() -> None:
    smoother = FixedLagSmoother[int](0.25)
    keys = [[frame.key for frame in smoother.push(i, i / 8, tracks((1, True, 0)))] for i in range(5)]
    assert keys == [[], [], [0], [1], [2]]


def test_a_frame_waits_for_its_undecided_tracklets_and_later_frames_wait_behind_it() -> None:
    smoother = FixedLagSmoother[int](0.0)
    answers = [tracks((1, index >= 4, 0)) for index in range(6)]
    keys = [[frame.key for frame in smoother.push(i, i / FPS, answer)] for i, answer in enumerate(answers)]
    assert keys == [[], [], [], [], [0, 1, 2, 3], [4]]


def test_a_tentative_tracklet_that_dies_is_released_apart_and_named_where_it_was_seen_last() -> None:
    answers = [
        tracks((1, True, 0), (2, False, 50), (3, False, 70)),
        tracks((1, True, 0), (3, False, 75)),
        tracks((1, True, 0), (4, False, 90)),
    ]
    released = smooth(answers, 0.3, alive=(1,))
    assert [frame.tracks.track_id.tolist() for frame in released] == [[1], [1], [1]]
    dismissed = [frame.dismissed for frame in released]
    assert [rows.track_id.tolist() for rows in dismissed] == [[2, 3], [3], [4]]
    assert [rows.xyxy[:, 0].tolist() for rows in dismissed] == [[50, 70], [75], [90]]
    assert [rows.ended for rows in dismissed] == [(2,), (3,), (4,)]
    assert not any(rows.confirmed.any() for rows in dismissed)


def test_the_last_frame_tells_who_ended_with_the_stream_even_without_any_lag() -> None:
    released = smooth([tracks((3, True, 0), (7, True, 9)), tracks((3, True, 0), ended=(7,))], 0.0, alive=(3,))
    assert [frame.tracks.ended for frame in released] == [(), (3, 7)]


def test_an_empty_stream_has_nothing_to_release() -> None:
    assert FixedLagSmoother[int](0.4).finish(()) == []


# --- how smooth it is -----------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), speed=st.floats(-500, 500))
def test_steady_motion_is_unchanged_at_ends_at_gaps_and_in_uneven_time(seed: int, speed: float) -> None:
    rng = np.random.default_rng(seed)
    pts = np.cumsum(rng.uniform(0.01, 0.2, 30))
    answers = [tracks(*([(1, True, 100 + speed * time)] if rng.random() < 0.8 else [])) for time in pts]
    truth = np.concatenate([answer.xyxy[:, 0] for answer in answers])
    np.testing.assert_allclose(lefts(smooth(answers, 0.4, times=pts.tolist()), 1), truth, atol=0.02)


def test_chatter_is_averaged_out() -> None:
    noise = np.random.default_rng(5).normal(0, 3, 300)
    answers = [tracks((1, True, float(20 * index + noise[index]))) for index in range(300)]
    error = lefts(smooth(answers, 1.0), 1) - 20 * np.arange(300)
    assert error[10:-10].std() < 0.4 * noise.std()
    assert abs(error.mean()) < 0.3


def test_tracks_do_not_pull_at_each_other() -> None:
    answers = [tracks((1, True, 0), (2, True, 500 + 10 * index)) for index in range(20)]
    released = smooth(answers, 0.5)
    np.testing.assert_allclose(lefts(released, 1), 0, atol=1e-4)
    np.testing.assert_allclose(lefts(released, 2), 500 + 10 * np.arange(20), atol=1e-3)


def test_a_window_of_zero_leaves_boxes_as_they_are() -> None:
    answers = [tracks((1, True, float(x))) for x in (0, 50, 3, 80)]
    assert lefts(smooth(answers, 0.0), 1).tolist() == [0, 50, 3, 80]


def test_a_negative_window_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        FixedLagSmoother[int](-0.1)
