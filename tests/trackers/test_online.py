"""All online trackers on scenes whose answer is known: who is who, of which class, seen by a camera that moves."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from walkers import CROWD, FPS, Maker, every_tracker, id_near, play, seen, walk, with_low_scores

from vidan.detector import Detections
from vidan.trackers import Affine, ByteTracker


@every_tracker
def test_every_detection_is_in_a_row_or_unclaimed(make: Maker) -> None:
    rng = np.random.default_rng(0)
    tracker = make()
    for index in range(40):
        people = [(float(x), 200.0, float(confidence), 0) for x, confidence in rng.uniform((0, 0), (500, 1), (6, 2))]
        frame = seen(*people)
        tracks = tracker.update(frame, index / FPS)
        claimed = np.delete(np.arange(len(frame)), tracker.unclaimed)
        assert sorted(tracks.confidence.tolist()) == sorted(frame.confidence[claimed].tolist())
    tracker.reset()
    assert len(tracker.unclaimed) == 0


# --- who is who -----------------------------------------------------------------------------------------------------


@every_tracker
def test_two_people_who_cross_keep_their_ids(make: Maker) -> None:
    frames = [seen(walk(i, 100, 80, y=200), walk(i, 400, -80, y=215)) for i in range(90)]
    answers = play(make(), frames)
    assert all(len(tracks) == 2 for tracks in answers)
    assert id_near(answers[-1], 100 + 80 * 89 / FPS) == id_near(answers[0], 100)
    assert id_near(answers[-1], 400 - 80 * 89 / FPS) == id_near(answers[0], 400)


@with_low_scores
def test_low_scores_carry_a_track_through_an_occlusion(make: Maker) -> None:
    def confidence(index: int) -> float:
        return 0.2 if 10 <= index < 50 else 0.9

    answers = play(make(), [seen(walk(i, 100, 50, confidence=confidence(i))) for i in range(60)])
    assert [tracks.track_id.tolist() for tracks in answers] == [[1]] * 60
    assert all(not tracks.ended for tracks in answers)


@with_low_scores
def test_low_scores_begin_no_track_but_find_a_lost_one(make: Maker) -> None:
    tracker = make()
    answers = play(tracker, [seen(walk(i, 100, 0, confidence=0.2)) for i in range(10)])
    assert all(len(tracks) == 0 for tracks in answers)
    tracker.reset()
    frames = [seen(walk(i, 100, 0)) for i in range(5)] + [seen()] + [seen(walk(0, 100, 0, confidence=0.2))] * 5
    assert [tracks.track_id.tolist() for tracks in play(tracker, frames)] == [[1]] * 5 + [[]] + [[1]] * 5


@every_tracker
def test_a_score_between_high_and_new_continues_a_track_but_begins_none(make: Maker) -> None:
    frames = [seen(walk(i, 100, 0), walk(i, 300, 0, confidence=0.35)) for i in range(3)]
    answers = play(make(), frames)
    assert [tracks.track_id.tolist() for tracks in answers] == [[1]] * 3


@every_tracker
def test_a_walker_hidden_for_half_a_second_is_found_where_motion_says(make: Maker) -> None:
    hidden = range(25, 37)
    frames = [seen() if i in hidden else seen(walk(i, 100, 100)) for i in range(60)]
    answers = play(make(), frames)
    assert {int(i) for tracks in answers for i in tracks.track_id} == {1}
    assert all(len(answers[i]) == 0 for i in hidden)


@every_tracker
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_dropped_frames_and_uneven_time_keep_ids(make: Maker, seed: int) -> None:
    rng = np.random.default_rng(seed)
    learned = 2 if issubclass(make, ByteTracker) else 6  # who does not look further needs to know the speed
    kept = [*range(learned), *(i for i in range(learned, 80) if rng.random() < 0.5)]
    frames = [seen(walk(i, 100, 90), walk(i, 900, -60, y=330)) for i in kept]
    answers = play(make(), frames, [i / FPS for i in kept])
    assert [tracks.track_id.tolist() for tracks in answers] == [[1, 2]] * len(kept)


@every_tracker
def test_the_time_of_the_frames_matters_and_not_their_number(make: Maker) -> None:
    still = [seen(walk(0, 100, 0))]
    frames = still * 3 + [seen()] * 2 + still * 2
    soon = play(make(lost_after_seconds=1.0), frames, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    late = play(make(lost_after_seconds=1.0), frames, [0, 0.1, 0.2, 0.9, 1.1, 1.3, 1.4])
    assert soon[-1].track_id.tolist() == [1]
    assert late[-1].track_id.tolist() == [2]
    assert late[5].ended == (1,)


@every_tracker
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_detections_changes_nothing_but_names(make: Maker, seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = [
        seen(*(walk(i, start, speed, y, float(rng.uniform(0.55, 1))) for start, speed, y in CROWD)) for i in range(30)
    ]
    shuffled = [frame[rng.permutation(len(frame))] for frame in frames]
    names: dict[int, int] = {}
    for plain, mixed in zip(play(make(), frames), play(make(), shuffled), strict=True):
        assert len(plain) == len(mixed)
        for track_id, box in zip(plain.track_id.tolist(), plain.xyxy, strict=True):
            other = int(mixed.track_id[np.abs(mixed.xyxy - box).sum(axis=1).argmin()])
            assert names.setdefault(track_id, other) == other
    assert len(set(names.values())) == len(names)


@every_tracker
@settings(max_examples=8, deadline=None)
@given(scale=st.sampled_from([0.25, 0.5, 2.0, 8.0]), later=st.sampled_from([0.5, 64.0, 1024.0]))
def test_neither_the_size_of_the_picture_nor_the_hour_of_the_day_matter(
    make: Maker, scale: float, later: float
) -> None:
    frames = [seen(*(walk(i, start, speed, y) for start, speed, y in CROWD)) for i in range(0, 60, 2)]
    large = [Detections(frame.xyxy * np.float32(scale), frame.confidence, frame.class_id) for frame in frames]
    times = [i / 8 for i in range(len(frames))]
    plain = play(make(), frames, times)
    other = play(make(), large, [time + later for time in times])
    assert [tracks.track_id.tolist() for tracks in plain] == [tracks.track_id.tolist() for tracks in other]


@every_tracker
def test_streams_fed_in_turn_are_tracked_as_each_alone(make: Maker) -> None:
    first, second = ([seen(walk(i, 100, speed), walk(i, 500, -speed)) for i in range(50)] for speed in (40, 90))
    alone = [play(make(), frames) for frames in (first, second)]
    trackers = make(), make()
    in_turn = [
        [t.update(f, i / FPS) for t, f in zip(trackers, pair, strict=True)]
        for i, pair in enumerate(zip(first, second, strict=True))
    ]
    for i, answers in enumerate(in_turn):
        for own, other in zip(answers, (alone[0][i], alone[1][i]), strict=True):
            np.testing.assert_array_equal(own.track_id, other.track_id)
            np.testing.assert_array_equal(own.xyxy, other.xyxy)


@every_tracker
def test_a_copy_of_a_tracker_goes_on_as_the_tracker_does(make: Maker) -> None:
    frames = [seen(walk(i, 100, 40), *([walk(i, 500, -90)] * (i % 20 < 15))) for i in range(60)]
    tracker = make()
    play(tracker, frames[:18])
    copy, times = deepcopy(tracker), [i / FPS for i in range(18, 60)]
    for own, other in zip(play(tracker, frames[18:], times), play(copy, frames[18:], times), strict=True):
        np.testing.assert_array_equal(own.track_id, other.track_id)
        np.testing.assert_array_equal(own.xyxy, other.xyxy)


@every_tracker
def test_thousands_of_boxes_are_followed(make: Maker) -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 20_000, (2500, 2))
    frames = [seen(*((x + 2 * i, y, 0.9, 0) for x, y in places)) for i in range(4)]
    answers = play(make(), frames)
    assert all(len(np.unique(tracks.track_id)) == 2500 for tracks in answers)
    assert np.mean(answers[0].track_id == answers[-1].track_id) == 1


# --- classes --------------------------------------------------------------------------------------------------------


def classes(*class_ids: int, confidence: Callable[[int], float] = lambda index: 0.9) -> list[Detections]:
    return [seen((100.0, 200.0, confidence(index), class_id)) for index, class_id in enumerate(class_ids)]


@every_tracker
def test_classes_that_are_not_grouped_never_share_a_tracklet(make: Maker) -> None:
    answers = play(make(), classes(0, 0, 0, 1, 1, 1))
    assert [tracks.track_id.tolist() for tracks in answers] == [[1]] * 3 + [[2]] * 3


@every_tracker
def test_classes_of_one_group_may_swap_and_the_surer_votes_win(make: Maker) -> None:
    tracker = make(class_groups={2: 0, 7: 0})
    answers = play(tracker, classes(2, 7, 7, 2, confidence=lambda index: (0.9, 0.7, 0.8, 0.6)[index]))
    assert [tracks.track_id.tolist() for tracks in answers] == [[1]] * 4
    assert [tracks.class_id.tolist() for tracks in answers] == [[2], [2], [7], [2]]
    assert [tracks.class_share[0] for tracks in answers] == pytest.approx([1, 0.9 / 1.6, 1.5 / 2.4, 0.5])


@every_tracker
def test_votes_from_before_a_second_class_was_met_still_count(make: Maker) -> None:
    answers = play(make(class_groups={0: 0, 1: 0}), classes(0, 0, 1, 1, 1))
    assert [tracks.class_id.tolist() for tracks in answers] == [[0], [0], [0], [0], [1]]
    assert [tracks.class_share[0] for tracks in answers] == pytest.approx([1, 1, 2 / 3, 1 / 2, 3 / 5])


@every_tracker
def test_two_groups_in_one_place_are_two_tracklets(make: Maker) -> None:
    both = seen((100.0, 200.0, 0.9, 0), (100.0, 200.0, 0.8, 5))
    answers = play(make(class_groups={5: 0}), [both] * 4)
    assert [tracks.class_id.tolist() for tracks in answers] == [[0, 5]] * 4


# --- a camera that moves --------------------------------------------------------------------------------------------


def moved(frame: Detections, motion: Affine) -> Detections:
    """The same boxes in a picture that is shifted and scaled."""
    scale = motion[[0, 1, 0, 1], [0, 1, 0, 1]]
    return Detections(
        (frame.xyxy * scale + np.tile(motion[:, 2], 2)).astype(np.float32), frame.confidence, frame.class_id
    )


@every_tracker
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_camera_that_shakes_and_zooms_changes_nothing_when_its_motion_is_known(make: Maker, seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = [seen(*(walk(i, start, speed, y) for start, speed, y in CROWD if rng.random() < 0.8)) for i in range(60)]
    still = play(make(), frames)
    tracker, where = make(), np.eye(3)
    for index, (frame, expected) in enumerate(zip(frames, still, strict=True)):
        motion = np.eye(3)
        motion[[0, 1], [0, 1]] = rng.uniform(0.95, 1.05)
        motion[:2, 2] = rng.uniform(-80, 80, 2)
        where = motion @ where
        shaken = tracker.update(moved(frame, where[:2]), index / FPS, motion[:2])
        assert shaken.track_id.tolist() == expected.track_id.tolist()
        expected_xyxy = expected.xyxy * where[0, 0] + np.tile(where[:2, 2], 2)
        np.testing.assert_allclose(shaken.xyxy, expected_xyxy, atol=0.05)
