"""What is found of tracklets before they began, and what is left alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.detector import Detections
from vidan.trackers import Affine, ByteTracker, Stitched, Stitcher, Tracker, Tracks
from vidan.trackers.backwards import Backwards, Moment
from vidan.trackers.tracklets import ClassGroups

FPS = 10.0
SURE, UNSURE = 0.9, 0.2
Person = tuple[float, float]
"""Left side and confidence; everybody is 40 wide and 90 high."""


def seen(*people: Person, class_id: int = 0) -> Detections:
    left, confidence = np.array(people, np.float32).reshape(-1, 2).T
    xyxy = np.stack([left, 0 * left, left + 40, 0 * left + 90], axis=1)
    return Detections(xyxy, confidence.copy(), np.full(len(people), class_id, np.int64))


def look_twice(
    frames: Sequence[Detections], motions: Sequence[Affine | None] | None = None, **settings: float
) -> tuple[Stitcher[int], list[Tracks], list[Tracks]]:
    """The stitcher, the tracker's answers and the frames after the second look."""
    lost_after_seconds = settings.get("lost_after_seconds", 2.5)
    tracker: Tracker = ByteTracker(lost_after_seconds=lost_after_seconds)
    stitcher = Stitcher[int](
        gap_seconds=settings.get("gap_seconds", 2.5),
        fill_seconds=settings.get("fill_seconds", 0.7),
        lost_after_seconds=lost_after_seconds,
    )
    answers: list[Tracks] = []
    released: list[Stitched[int]] = []
    for index, frame in enumerate(frames):
        motion = None if motions is None else motions[index]
        answers.append(tracker.update(frame, index / FPS, motion))
        released += stitcher.push(index, index / FPS, answers[-1], frame[tracker.unclaimed], motion)
    released += stitcher.finish(tracker.finish())[0]
    return stitcher, answers, [frame.tracks for frame in released]


def walk(index: int, speed: float = 8.0) -> float:
    return 100 + speed * index


def test_a_track_begins_where_its_first_unsure_sighting_is() -> None:
    frames = [seen((walk(index), UNSURE if index < 12 else SURE)) for index in range(60)]
    stitcher, answers, frames_after = look_twice(frames)
    assert [len(tracks) for tracks in answers[:13]] == [0] * 12 + [1]
    assert stitcher.found_rows == 12
    for index, tracks in enumerate(frames_after):
        assert tracks.track_id.tolist() == [1]
        assert tracks.observed.all()
        assert tracks.confidence[0] == pytest.approx(UNSURE if index < 12 else SURE)
        assert tracks.xyxy[0, 0] == pytest.approx(walk(index), abs=2)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_backwards_as_much_is_found_as_forwards(seed: int) -> None:
    rng = np.random.default_rng(seed)
    speed, unsure = rng.uniform(-10, 10), int(rng.integers(1, 15))
    is_seen = [True] * 45 + (rng.random(unsure) < 0.7).tolist()
    frames = [
        seen(*([(walk(index, speed) + rng.normal(0, 0.5), SURE if index < 45 else UNSURE)] if is_there else []))
        for index, is_there in enumerate(is_seen)
    ]
    _, forwards, _ = look_twice(frames)
    stitcher, _, frames_after = look_twice(frames[::-1], fill_seconds=2.5)
    assert sum(map(len, forwards)) == sum(is_seen)
    assert stitcher.found_rows == sum(is_seen[45:])
    assert {track_id for tracks in frames_after for track_id in tracks.track_id.tolist()} == {1}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_detection_is_somebodys_at_most_once_and_their_order_is_all_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    starts, speeds = rng.uniform(0, 600, 8), rng.uniform(-12, 12, 8)
    frames, mixed = [], []
    for index in range(70):
        there = rng.random(8) < 0.8
        left = (starts + speeds * index + rng.normal(0, 1, 8))[there]
        frame = seen(*zip(left.tolist(), rng.uniform(0.05, 1, len(left)).tolist(), strict=True))
        frames.append(frame)
        mixed.append(frame[rng.permutation(len(frame))])
    stitcher, answers, frames_after = look_twice(frames)
    found = 0
    for frame, before, after in zip(frames, answers, frames_after, strict=True):
        confidence = after.confidence[after.observed].tolist()
        assert len(set(confidence)) == len(confidence), "confidences differ, so this is one detection twice"
        assert set(before.confidence.tolist()) <= set(confidence) <= set(frame.confidence.tolist())
        assert np.all(np.diff(after.track_id) > 0)
        found += len(confidence) - len(before)
    assert found == stitcher.found_rows
    other, _, mixed_after = look_twice(mixed)
    assert other.found_rows == stitcher.found_rows
    for one, same in zip(frames_after, mixed_after, strict=True):
        np.testing.assert_allclose(np.sort(one.xyxy[:, 0]), np.sort(same.xyxy[:, 0]), atol=1e-2)


def test_small_gaps_on_the_way_back_are_filled_and_longer_ones_end_it() -> None:
    frames = [
        seen(*([(walk(index), SURE)] if index >= 30 else [(walk(index), UNSURE)] if index in (5, 20, 26) else []))
        for index in range(60)
    ]
    stitcher, _, frames_after = look_twice(frames)
    assert stitcher.found_rows == 2
    assert [index for index, tracks in enumerate(frames_after) if len(tracks)] == list(range(20, 60))
    assert [index for index, tracks in enumerate(frames_after) if tracks.observed.any()] == [20, 26, *range(30, 60)]


def test_nobody_is_followed_back_beyond_the_frames_that_wait() -> None:
    frames = [seen((walk(index, 2), UNSURE if index < 50 else SURE)) for index in range(100)]
    stitcher, _, _ = look_twice(frames, gap_seconds=1.0)
    assert stitcher.found_rows == 10


def test_who_goes_on_with_somebody_is_followed_back_to_where_that_one_was_seen_last() -> None:
    """The tracker forgets after half a second, and of a second without sure detections the last 0.4 have unsure."""
    frames = [
        seen(*([(walk(index), SURE)] if not 30 <= index < 40 else [(walk(index), UNSURE)] if index >= 36 else []))
        for index in range(100)
    ]
    stitcher, answers, frames_after = look_twice(frames, lost_after_seconds=0.5)
    assert [len(tracks) for tracks in answers[29:42]] == [1, *[0] * 10, 1, 1]
    assert [(join.track_id, join.joined_id) for join in stitcher.joins] == [(1, 2)]
    assert stitcher.found_rows == 4
    assert {track_id for tracks in frames_after for track_id in tracks.track_id.tolist()} == {1}


def test_sightings_are_looked_for_between_two_times_only() -> None:
    tracker = ByteTracker()
    moments = []
    for index in range(50):
        frame = seen((walk(index), UNSURE if index < 30 else SURE))
        moments.append(Moment(index / FPS, tracker.update(frame, index / FPS), frame[tracker.unclaimed]))
    backwards = Backwards(high_confidence=0.3, low_confidence=0.1, patience_seconds=0.7, groups=ClassGroups(None))
    found = backwards.follow(reversed(moments), moments[-1].tracks, {1: (2.0, 3.0)})
    assert [round(seconds * FPS) for seconds, _ in found] == list(range(29, 20, -1))
    assert [len(moment.unclaimed) for moment in moments] == [1] * 21 + [0] * 29


def test_a_second_box_of_somebody_is_left_alone() -> None:
    """One stands there all the time, sometimes boxed twice; another steps out from behind."""
    twice = [(304.0, UNSURE)]
    frames = [
        seen((300.0, SURE), *(twice if 20 <= index < 30 else []), *([(312.0, SURE)] if index >= 30 else []))
        for index in range(80)
    ]
    stitcher, _, _ = look_twice(frames)
    assert stitcher.found_rows == 0


def test_a_camera_that_shakes_is_held_still() -> None:
    shifts = np.random.default_rng(0).uniform(-40, 40, 60)
    motions: list[Affine | None] = [np.array([[1.0, 0, shift], [0, 1, 0]]) for shift in np.diff(shifts)]
    frames = [seen((walk(index) + shift, UNSURE if index < 12 else SURE)) for index, shift in enumerate(shifts)]
    stitcher, _, _ = look_twice(frames, [None, *motions])
    assert stitcher.found_rows == 12
    assert look_twice(frames)[0].found_rows < 12, "which is not so where nobody says how it shook"


def test_without_unclaimed_detections_nothing_is_found() -> None:
    frames = [seen((walk(index), SURE)) for index in range(40)]
    stitcher, answers, frames_after = look_twice(frames)
    assert stitcher.found_rows == 0
    assert [tracks.xyxy.tolist() for tracks in answers] == [tracks.xyxy.tolist() for tracks in frames_after]
