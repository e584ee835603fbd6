"""Which tracklets are joined, what fills the gaps, and that nothing else changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.detector import Detections
from vidan.trackers import ByteTracker, Stitched, Stitcher, Tracks

FPS = 10.0
Walk = Callable[[float], float]


def tracks(places: dict[int, float], *, top: float = 0.0, class_id: int = 0, ended: tuple[int, ...] = ()) -> Tracks:
    """Confirmed rows, boxes 20 wide and 50 high, by id."""
    ids = sorted(places)
    left = np.array([places[track_id] for track_id in ids], np.float32)
    xyxy = np.stack([left, 0 * left + top, left + 20, 0 * left + top + 50], axis=1)
    ones = np.ones(len(ids), np.float32)
    return Tracks(
        np.array(ids, np.int64), xyxy, ones, np.full(len(ids), class_id, np.int64), ones, ones > 0, ones > 0, ended
    )


def two_halves(
    first_ends: float, second_begins: float, seconds: float = 12.0, *, walk: Walk = lambda time: 30 * time
) -> list[Tracks]:
    """One walk, seen as track 1 and, after a gap, as track 2; the tracker gives up 1 after 2.5 seconds."""
    frames = []
    for index in range(round(seconds * FPS)):
        time = index / FPS
        seen = {1: walk(time)} if time <= first_ends else {2: walk(time)} if time >= second_begins else {}
        gives_up = first_ends + 2.5 < time <= first_ends + 2.5 + 1 / FPS + 1e-9
        frames.append(tracks(seen, ended=(1,) if gives_up else ()))
    return frames


def stitch(
    frames: Sequence[Tracks], alive: tuple[int, ...] = (), **settings: float
) -> tuple[Stitcher[int], list[Stitched[int]], tuple[int, ...]]:
    stitcher = Stitcher[int](
        gap_seconds=settings.get("gap_seconds", 2.5),
        fill_seconds=settings.get("fill_seconds", 0.7),
        lost_after_seconds=settings.get("lost_after_seconds", 2.5),
    )
    released = []
    for index, frame in enumerate(frames):
        released += stitcher.push(index, index / FPS, frame)
    rest, ended = stitcher.finish(alive)
    return stitcher, released + rest, ended


def test_a_walk_that_goes_on_under_another_id_keeps_the_first_one() -> None:
    stitcher, released, ended = stitch(two_halves(3.0, 4.0), alive=(2,), fill_seconds=2.0)
    assert [(join.track_id, join.joined_id) for join in stitcher.joins] == [(1, 2)]
    assert {track_id for frame in released for track_id in frame.tracks.track_id.tolist()} == {1}
    assert ended == (1,)
    assert all(frame.tracks.ended == () for frame in released), "the end of the first half is no end"


def test_gaps_are_filled_on_a_straight_line_by_rows_that_say_so() -> None:
    _, released, _ = stitch(two_halves(3.0, 4.0), alive=(2,), fill_seconds=2.0)
    for frame in released:
        assert len(frame.tracks) == 1
        is_gap = 3.0 < frame.pts_seconds < 4.0 - 1e-9
        assert frame.tracks.observed.tolist() == [not is_gap]
        assert frame.tracks.confidence.tolist() == [0.0 if is_gap else 1.0]
        assert frame.tracks.xyxy[0, 0] == pytest.approx(30 * frame.pts_seconds, abs=0.01)


def test_a_long_gap_is_joined_but_not_filled() -> None:
    stitcher, released, _ = stitch(two_halves(3.0, 4.5), alive=(2,), fill_seconds=0.7)
    assert len(stitcher.joins) == 1
    assert [len(frame.tracks) for frame in released if 3.0 < frame.pts_seconds < 4.5] == [0] * 14
    assert stitcher.filled_rows == 0


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        (two_halves(3.0, 6.0), "the gap is too long"),
        (two_halves(3.0, 4.0, walk=lambda time: 30 * time + (200 if time > 3.5 else 0)), "it is somewhere else"),
        (two_halves(3.0, 4.0, walk=lambda time: min(90 * time, 270)), "it had been walking fast"),
    ],
)
def test_what_does_not_fit_stays_apart(frames: list[Tracks], why: str) -> None:
    stitcher, released, ended = stitch(frames, alive=(2,))
    assert stitcher.joins == [], why
    assert ended == (2,)
    assert [frame.tracks.ended for frame in released if frame.tracks.ended] == [(1,)]


def test_classes_join_within_a_group_only() -> None:
    frames = [
        frame
        if 1 in frame.track_id
        else tracks(dict.fromkeys(frame.track_id.tolist(), float(frame.xyxy[0, 0])), class_id=1, ended=frame.ended)
        if len(frame)
        else frame
        for frame in two_halves(3.0, 4.0)
    ]
    for groups, joins in (({}, 0), ({0: 0, 1: 0}, 1)):
        stitcher = Stitcher[int](class_groups=groups)
        for index, frame in enumerate(frames):
            stitcher.push(index, index / FPS, frame)
        stitcher.finish((2,))
        assert len(stitcher.joins) == joins


def test_three_pieces_make_one_chain() -> None:
    frames = two_halves(3.0, 4.0, 20.0)
    for index, frame in enumerate(frames):
        time = index / FPS
        if 8.0 < time < 9.0:
            frames[index] = tracks({})
        elif time >= 9.0:
            frames[index] = tracks({3: 30 * time}, ended=(2,) if 10.55 < time < 10.65 else frame.ended)
    stitcher, released, ended = stitch(frames, alive=(3,))
    assert [(join.track_id, join.joined_id) for join in stitcher.joins] == [(1, 2), (1, 3)]
    assert {track_id for frame in released for track_id in frame.tracks.track_id.tolist()} == {1}
    assert ended == (1,)


def test_of_two_that_could_go_on_the_better_one_does() -> None:
    frames = []
    for index in range(120):
        time = index / FPS
        seen = {1: 30 * time} if time <= 3.0 else {} if time < 4.0 else {2: 30 * time + 22, 3: 30 * time}
        frames.append(tracks(seen, ended=(1,) if index == 56 else ()))
    stitcher, _, ended = stitch(frames, alive=(2, 3))
    assert [(join.track_id, join.joined_id) for join in stitcher.joins] == [(1, 3)]
    assert ended == (1, 2)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_frame_comes_once_in_order_and_every_observed_box_stays(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tracker = ByteTracker(confirm_frames=2, lost_after_seconds=0.3)
    answers = []
    for index in range(80):
        x = (np.array([50.0, 200, 400, 700]) + 3 * index)[rng.random(4) < 0.6] + rng.normal(0, 1)
        xyxy = np.stack([x, 0 * x, x + 40, 0 * x + 90], axis=1).astype(np.float32)
        found = Detections(xyxy, np.full(len(x), 0.9, np.float32), np.zeros(len(x), np.int64))
        answers.append(tracker.update(found, index / FPS))
    alive = tracker.finish()
    stitcher, released, ended = stitch(answers, alive, lost_after_seconds=0.3)
    assert [frame.key for frame in released] == list(range(80))
    for before, after in zip(answers, released, strict=True):
        rows = after.tracks
        assert np.all(np.diff(rows.track_id) > 0), "ordered by id, nobody twice"
        boxes = rows.xyxy[rows.observed]
        assert sorted(map(tuple, boxes.tolist())) == sorted(map(tuple, before.xyxy.tolist()))
    over = [track_id for frame in released for track_id in frame.tracks.ended]
    names = {track_id for frame in released for track_id in frame.tracks.track_id[frame.tracks.confirmed].tolist()}
    assert sorted([*over, *ended]) == sorted(names), "every confirmed track ends once"
    assert len(stitcher.joins) == sum(len(frame.ended) for frame in answers) + len(alive) - len(names)


@pytest.mark.parametrize("name", ["gap_seconds", "fill_seconds", "lost_after_seconds"])
def test_negative_times_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="negative"):
        stitch([], (), **{name: -1.0})
