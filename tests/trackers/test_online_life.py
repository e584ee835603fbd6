"""All online trackers: how tracklets begin and end, and what their ids are."""

from __future__ import annotations

from walkers import Maker, every_tracker, play, seen, walk, with_low_scores


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
