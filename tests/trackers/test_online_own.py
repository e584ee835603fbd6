"""What each of the online trackers adds to what they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from walkers import CROWD, FPS, Maker, id_near, play, seen, walk

from vidan.detector import Detections
from vidan.trackers import BotSortTracker, ByteTracker, OcSortTracker, SortTracker

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
    frames = [seen(*(walk(i, start, speed, y) for start, speed, y in CROWD)) for i in range(30)]
    for own, other in zip(play(BotSortTracker(), frames), play(ByteTracker(), frames), strict=True):
        np.testing.assert_array_equal(own.xyxy, other.xyxy)
        np.testing.assert_array_equal(own.track_id, other.track_id)


def test_looks_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="embedding"):
        BotSortTracker().update(looking(seen((100, 200, 0.9, 0)), (float("nan"), 0.0)), 0.0)
