"""All online trackers: what they cannot follow is refused in words."""

from __future__ import annotations

import numpy as np
import pytest
from walkers import Maker, every_tracker, seen, with_low_scores

from vidan.detector import Detections
from vidan.trackers import ByteTracker


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
        ((-3e38, 0.0, 3e38, 9.0), 0.5),
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
