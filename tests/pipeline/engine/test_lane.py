"""A lane hands every frame to the rules once, in order, late; and whole at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from vidan.detector import Detections
from vidan.pipeline.engine.lane import Lane
from vidan.pipeline.engine.second_look import SecondLook
from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.frame import Frame, FrameResult, Stamp
from vidan.trackers import Affine, ByteTracker, CameraMotion, FixedLagSmoother, Stitcher, Tracks

FRAMES = 20


class RememberingRule:
    """Makes one event per frame, and remembers what it saw."""

    def __init__(self, name: str, kind: EventKind = EventKind.LOITERING) -> None:
        self.name = name
        self.kind = kind
        self.seen: list[tuple[int, Tracks]] = []

    def update(self, stamp: Stamp, tracks: Tracks) -> list[Event]:
        self.seen.append((stamp.index, tracks))
        return [Event("0", self.kind, stamp.stream, self.name, None, None, stamp.pts_seconds, None, stamp.index)]


def _frames() -> list[tuple[Frame, Detections]]:
    """A box that walks to the right, ten frames a second."""
    image = np.zeros((100, 200, 3), np.uint8)
    return [
        (
            Frame.from_array(Stamp("a", i, i / 10), image),
            Detections(
                np.array([[i * 3, 20, i * 3 + 20, 60]], np.float32), np.array([0.9], np.float32), np.zeros(1, np.int64)
            ),
        )
        for i in range(FRAMES)
    ]


def _run(lane: Lane) -> list[FrameResult]:
    results = [lane.step(frame, detections) for frame, detections in _frames()]
    return [*results[:-1], lane.finish(results[-1])]


def _lane(rules: Sequence[RememberingRule], smooth_seconds: float = 0.4) -> Lane:
    return Lane(tracker=ByteTracker(), smoother=FixedLagSmoother(smooth_seconds), rules=rules)


@pytest.mark.parametrize("smooth_seconds", [0.0, 0.4, 5.0])
def test_rules_see_every_frame_once_and_in_order(smooth_seconds: float) -> None:
    rule = RememberingRule("gate")
    results = _run(_lane([rule], smooth_seconds))
    assert [index for index, _ in rule.seen] == list(range(FRAMES))
    counted = [frame.stamp.index for result in results for frame in result.counted]
    assert counted == list(range(FRAMES))


def test_the_end_of_the_stream_ends_every_track() -> None:
    rule = RememberingRule("gate")
    _run(_lane([rule]))
    assert [tracks.ended for _, tracks in rule.seen if tracks.ended] == [(1,)]
    assert rule.seen[-1][1].ended == (1,)


def test_events_come_by_frame_and_then_in_the_order_of_the_rules() -> None:
    results = _run(_lane([RememberingRule("b"), RememberingRule("a")]))
    events = [(event.frame, event.rule) for result in results for event in result.events]
    assert events == [(index, rule) for index in range(FRAMES) for rule in ("b", "a")]


def test_near_misses_are_told_apart_from_the_events() -> None:
    doubtful = RememberingRule("doubtful", EventKind.NEAR_MISS)
    results = _run(_lane([doubtful, RememberingRule("gate")]))
    assert {event.rule for result in results for event in result.events} == {"gate"}
    assert [event.frame for result in results for event in result.near_misses] == list(range(FRAMES))


class ForgivingRule(RememberingRule):
    """Also makes a near miss of each tracklet that was dismissed."""

    def dismiss(self, stamp: Stamp, dismissed: Tracks) -> list[Event]:
        kind = EventKind.NEAR_MISS
        return [
            Event("0", kind, stamp.stream, self.name, track_id, None, stamp.pts_seconds, None, stamp.index)
            for track_id in dismissed.ended
        ]


def test_what_was_dismissed_is_shown_only_to_the_rules_that_ask_for_it() -> None:
    flicker = Detections(np.array([[150, 20, 180, 60]], np.float32), np.array([0.9], np.float32), np.zeros(1, np.int64))
    lane = _lane([RememberingRule("gate"), ForgivingRule("doubtful")])
    results = [lane.step(frame, flicker if frame.stamp.index == 5 else Detections.empty()) for frame, _ in _frames()]
    results.append(lane.finish(results.pop()))
    (near_miss,) = [event for result in results for event in result.near_misses]
    assert (near_miss.rule, near_miss.frame, near_miss.track_id) == ("doubtful", 5, 1)
    dismissed = [frame.stamp.index for result in results for frame in result.counted if len(frame.dismissed)]
    assert dismissed == [5]


def test_finishing_completes_the_last_result_and_makes_no_other() -> None:
    lane = _lane([RememberingRule("gate")])
    last = [lane.step(frame, detections) for frame, detections in _frames()][-1]
    final = lane.finish(last)
    assert final.frame is last.frame
    assert final.counted[: len(last.counted)] == last.counted
    assert final.counted[-1].stamp == last.frame.stamp


def test_the_tracker_is_told_how_the_camera_moved() -> None:
    motions = []

    class ListeningTracker(ByteTracker):
        def update(self, detections: Detections, pts_seconds: float, motion: Affine | None = None) -> Tracks:
            motions.append(motion)
            return super().update(detections, pts_seconds, motion)

    noise = np.random.default_rng(0).integers(0, 255, (100, 200, 3), np.uint8)
    picture = np.asarray(cv2.GaussianBlur(noise, (0, 0), 3), np.uint8)
    lane = Lane(tracker=ListeningTracker(), smoother=FixedLagSmoother(0.0), rules=[], camera=CameraMotion())
    for index in range(2):
        shifted = np.roll(picture, 4 * index, axis=1)
        lane.step(Frame.from_array(Stamp("a", index, index / 10), shifted), Detections.empty())
    assert motions[0] is None
    np.testing.assert_allclose(motions[1], [[1, 0, 4], [0, 1, 0]], atol=0.2)


def test_with_a_second_look_the_rules_see_what_was_unsure_before_a_track_began() -> None:
    rule, first = RememberingRule("gate", EventKind.LINE_CROSSED), RememberingRule("gate", EventKind.LINE_CROSSED)
    lane = _lane([rule])
    lane.second_look = SecondLook(Stitcher(), FixedLagSmoother(0.4), [first])
    results = []
    for index, (frame, detections) in enumerate(_frames()):
        unsure = replace(detections, confidence=np.full(1, 0.2, np.float32))
        results.append(lane.step(frame, unsure if index < 4 else detections))
    lane.finish(results[-1])
    assert [len(tracks) for _, tracks in first.seen] == [0 if index < 4 else 1 for index in range(FRAMES)]
    assert [len(tracks) for _, tracks in rule.seen] == [1] * FRAMES
    assert lane.second_look.to_record()["found_rows"] == 4


def test_with_a_second_look_the_rules_see_gaps_filled_and_both_counts_are_told() -> None:
    rule, first = RememberingRule("gate", EventKind.LINE_CROSSED), RememberingRule("gate", EventKind.LINE_CROSSED)
    lane = _lane([rule])
    lane.second_look = SecondLook(Stitcher(), FixedLagSmoother(0.4), [first])
    results = []
    for index, (frame, detections) in enumerate(_frames()):
        results.append(lane.step(frame, detections[np.zeros(1, np.bool_)] if index in (9, 10) else detections))
    lane.finish(results[-1])
    assert [index for index, _ in rule.seen] == list(range(FRAMES))
    assert [len(tracks) for _, tracks in first.seen] == [0 if index in (9, 10) else 1 for index in range(FRAMES)]
    assert [len(tracks) for _, tracks in rule.seen] == [1] * FRAMES
    record = lane.second_look.to_record()
    assert (record["joined"], record["filled_rows"], record["found_rows"]) == (0, 2, 0)
    assert record["events"] == [
        {"rule": "gate", "kind": "line_crossed", "direction": None, "before": FRAMES, "after": FRAMES}
    ]
