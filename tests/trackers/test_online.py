"""All online trackers on scenes whose answer is known: what they share, then what each adds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.detector import Detections
from vidan.trackers import Affine, BotSortTracker, ByteTracker, OcSortTracker, SortTracker, Tracker, Tracks

TRACKERS = [ByteTracker, SortTracker, OcSortTracker, BotSortTracker]
every_tracker = pytest.mark.parametrize("make", TRACKERS)
with_low_scores = pytest.mark.parametrize("make", [ByteTracker, BotSortTracker])
Maker = type[ByteTracker | SortTracker | OcSortTracker]

FPS = 25.0
Person = tuple[float, float, float, int]
"""Centre x, bottom y, confidence, class; every person is 40 x 100 pixels."""


def seen(*people: Person) -> Detections:
    if not people:
        return Detections.empty()
    x, y, confidence, class_id = np.array(people, np.float64).T
    xyxy = np.stack([x - 20, y - 100, x + 20, y], axis=1)
    return Detections(xyxy.astype(np.float32), confidence.astype(np.float32), class_id.astype(np.int64))


def play(tracker: Tracker, frames: Sequence[Detections], times: Sequence[float] | None = None) -> list[Tracks]:
    times = [index / FPS for index in range(len(frames))] if times is None else times
    return [tracker.update(frame, time) for frame, time in zip(frames, times, strict=True)]


def walk(index: float, start: float, speed: float, y: float = 200.0, confidence: float = 0.9) -> Person:
    """Where somebody walking sideways with `speed` pixels per second is at frame `index`."""
    return (start + speed * index / FPS, y, confidence, 0)


def id_near(tracks: Tracks, x: float) -> int:
    centers = tracks.xyxy[:, [0, 2]].mean(axis=1)
    return int(tracks.track_id[np.abs(centers - x).argmin()])


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
        seen(*(walk(i, start, speed, y, float(rng.uniform(0.55, 1))) for start, speed, y in _CROWD)) for i in range(30)
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
    frames = [seen(*(walk(i, start, speed, y) for start, speed, y in _CROWD)) for i in range(0, 60, 2)]
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


_CROWD = [(100.0, 60.0, 200.0), (400.0, -50.0, 230.0), (250.0, 10.0, 210.0), (600.0, 0.0, 500.0)]


# --- life of a tracklet ---------------------------------------------------------------------------------------------


@every_tracker
def test_a_tracklet_is_tentative_until_it_was_seen_often_enough(make: Maker) -> None:
    answers = play(make(confirm_frames=3), [seen(walk(i, 100, 0)) for i in range(5)])
    assert [tracks.confirmed.tolist() for tracks in answers] == [[False], [False], [True], [True], [True]]


@every_tracker
def test_on_a_slow_camera_two_sightings_are_enough(make: Maker) -> None:
    answers = play(make(), [seen(walk(0, 100, 0))] * 3, [0, 0.2, 0.4])
    assert [tracks.confirmed.tolist() for tracks in answers] == [[False], [True], [True]]


@with_low_scores
def test_at_five_frames_a_second_a_walker_who_leaves_his_box_each_time_is_followed(make: Maker) -> None:
    times = [i / 5 for i in range(12)]
    frames = [seen((100 + 150 * time, 200.0, 0.9, 0)) for time in times]  # 30 of his 40 pixels per frame
    answers = play(make(), frames, times)
    assert {int(i) for tracks in answers for i in tracks.track_id} == {1}


@every_tracker
def test_a_tentative_tracklet_that_is_missed_once_is_gone_and_never_reported_as_ended(make: Maker) -> None:
    flicker = seen(walk(0, 100, 0))
    tracker = make()
    answers = play(tracker, [flicker, seen(), flicker, flicker, flicker])
    assert [tracks.track_id.tolist() for tracks in answers] == [[1], [], [2], [2], [2]]
    assert all(tracks.ended == () for tracks in answers)
    assert tracker.finish() == (2,)


@every_tracker
def test_ended_names_a_confirmed_tracklet_once_when_it_is_given_up(make: Maker) -> None:
    frames = [seen(walk(i, 100, 0), walk(i, 500, 0)) for i in range(5)] + [seen(walk(i, 500, 0)) for i in range(5, 60)]
    answers = play(make(lost_after_seconds=1.0), frames)
    ended = {index: tracks.ended for index, tracks in enumerate(answers) if tracks.ended}
    assert ended == {30: (1,)}  # seen last at frame 4, one second is 25 frames, given up when it is over


@every_tracker
def test_finish_names_who_is_alive_lost_ones_too(make: Maker) -> None:
    tracker = make()
    play(tracker, [seen(walk(i, 100, 0), walk(i, 500, 0)) for i in range(5)] + [seen(walk(0, 500, 0))])
    assert tracker.finish() == (1, 2)


@every_tracker
def test_two_trackers_do_not_share_ids(make: Maker) -> None:
    first, second = make(), make()
    assert play(first, [seen(walk(0, 100, 0))])[0].track_id.tolist() == [1]
    assert play(second, [seen(walk(0, 100, 0))])[0].track_id.tolist() == [1]


@every_tracker
def test_reset_forgets_tracks_ids_and_time(make: Maker) -> None:
    tracker = make()
    play(tracker, [seen(walk(i, 100, 0)) for i in range(5)])
    tracker.reset()
    assert tracker.finish() == ()
    (tracks,) = play(tracker, [seen(walk(0, 100, 0))])
    assert tracks.track_id.tolist() == [1]
    assert tracks.confirmed.tolist() == [False]


@every_tracker
def test_frames_without_detections_are_answered_empty(make: Maker) -> None:
    assert [len(tracks) for tracks in play(make(), [seen()] * 3)] == [0, 0, 0]


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
def test_two_groups_in_one_place_are_two_tracklets(make: Maker) -> None:
    both = seen((100.0, 200.0, 0.9, 0), (100.0, 200.0, 0.8, 5))
    answers = play(make(class_groups={5: 0}), [both] * 4)
    assert [tracks.class_id.tolist() for tracks in answers] == [[0, 5]] * 4


# --- wrong use ------------------------------------------------------------------------------------------------------


@every_tracker
@pytest.mark.parametrize("later", [1.0, 0.5, float("nan")])
def test_time_that_does_not_grow_is_refused(make: Maker, later: float) -> None:
    tracker = make()
    tracker.update(seen(), 1.0)
    with pytest.raises(ValueError, match="time must grow"):
        tracker.update(seen(), later)


@every_tracker
@pytest.mark.parametrize(
    ("box", "confidence"),
    [
        ((0.0, 0.0, float("nan"), 9.0), 0.5),
        ((0.0, float("-inf"), 9.0, 9.0), 0.5),
        ((float("-inf"), 0.0, float("inf"), 9.0), 0.5),
        ((9.0, 0.0, 0.0, 9.0), 0.5),
        ((0.0, 0.0, 9.0, 9.0), float("nan")),
        ((0.0, 0.0, 9.0, 9.0), 1.5),
    ],
)
def test_what_is_no_box_is_refused_by_its_number(make: Maker, box: tuple[float, ...], confidence: float) -> None:
    xyxy = np.array([(0.0, 0.0, 5.0, 5.0), box], np.float32)
    wrong = Detections(xyxy, np.array([0.5, confidence], np.float32), np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="detection 1 is no box"):
        make().update(wrong, 0.0)


@every_tracker
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"high_confidence": 0.0}, "confidences must satisfy"),
        ({"new_confidence": 1.5}, "confidences must satisfy"),
        ({"confirm_frames": 0}, "confirm_frames"),
        ({"confirm_seconds": 0.0}, "confirm_seconds"),
        ({"lost_after_seconds": -1.0}, "lost_after_seconds"),
        ({"class_groups": {1: -1}}, "numbered from 0"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(make: Maker, arguments: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        make(**arguments)  # type: ignore[arg-type]


@with_low_scores
def test_a_low_score_above_the_high_one_is_refused(make: type[ByteTracker]) -> None:
    with pytest.raises(ValueError, match="confidences must satisfy"):
        make(low_confidence=0.7)


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
    frames = [seen(*(walk(i, start, speed, y) for start, speed, y in _CROWD if rng.random() < 0.8)) for i in range(60)]
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


# --- SORT -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [SortTracker, OcSortTracker])
def test_sort_and_its_kin_do_not_look_at_low_scores(make: Maker) -> None:
    frames = [seen(walk(i, 100, 50, confidence=0.2 if 10 <= i < 15 else 0.9)) for i in range(20)]
    answers = play(make(), frames)
    assert [len(tracks) for tracks in answers] == [1] * 10 + [0] * 5 + [1] * 5
    assert {int(i) for tracks in answers for i in tracks.track_id} == {1}


# --- OC-SORT --------------------------------------------------------------------------------------------------------


def stops_while_hidden(index: int) -> Detections:
    return seen() if 30 <= index < 45 else seen(walk(min(index, 30), 100, 120))


def test_who_stops_while_hidden_is_found_where_he_was_last_seen() -> None:
    frames = [stops_while_hidden(index) for index in range(60)]
    assert play(OcSortTracker(), frames)[-1].track_id.tolist() == [1]
    assert play(SortTracker(), frames)[-1].track_id.tolist() == [2]  # whose prediction has walked on


@pytest.mark.parametrize("ahead_first", [True, False])
def test_of_two_places_alike_the_one_in_the_direction_of_the_walk_is_taken(ahead_first: bool) -> None:
    tracker = OcSortTracker()
    play(tracker, [seen(walk(i, 100, 100)) for i in range(25)])
    expected = 100 + 100 * 25 / FPS
    ahead, behind = (expected + 9, 200.0, 0.9, 0), (expected - 9, 200.0, 0.9, 0)
    tracks = tracker.update(seen(ahead, behind) if ahead_first else seen(behind, ahead), 25 / FPS)
    assert tracks.xyxy[tracks.track_id == 1, [0, 2]].mean() > expected


# --- BoT-SORT -------------------------------------------------------------------------------------------------------


def looking(frame: Detections, *embeddings: Sequence[float]) -> Detections:
    return replace(frame, embedding=np.array(embeddings, np.float32))


def test_two_people_who_change_places_within_a_frame_are_told_apart_by_their_looks() -> None:
    red, blue = (1.0, 0.0), (0.0, 1.0)
    before = looking(seen((100, 200, 0.7, 0), (110, 200, 0.7, 0)), red, blue)
    after = looking(seen((100, 200, 0.7, 0), (110, 200, 0.7, 0)), blue, red)
    with_looks = play(BotSortTracker(), [before] * 5 + [after] * 5)
    without = play(ByteTracker(), [before] * 5 + [after] * 5)
    assert id_near(with_looks[-1], 100) == id_near(with_looks[0], 110)
    assert id_near(without[-1], 100) == id_near(without[0], 100)


def test_without_looks_and_motion_bot_sort_is_byte_track() -> None:
    frames = [seen(*(walk(i, start, speed, y) for start, speed, y in _CROWD)) for i in range(30)]
    for own, other in zip(play(BotSortTracker(), frames), play(ByteTracker(), frames), strict=True):
        np.testing.assert_array_equal(own.xyxy, other.xyxy)
        np.testing.assert_array_equal(own.track_id, other.track_id)


def test_looks_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="embedding"):
        BotSortTracker().update(looking(seen((100, 200, 0.9, 0)), (float("nan"), 0.0)), 0.0)
