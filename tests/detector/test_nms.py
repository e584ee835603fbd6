"""Suppression: the reference's lists, and one answer from numpy and torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidan.detector.boxes import box_iou
from vidan.detector.detections import Detections
from vidan.detector.nms import NmsOptions, suppress, suppress_tensor

REFERENCE = np.load(Path(__file__).parents[1] / "fixtures" / "yolov9_nms.npz")
CASES = {"a": "class-wise", "b": "every class of a box", "c": "agnostic, 20 kept", "d": "two classes", "e": "nothing"}

Suppress = Callable[[NDArray[np.float32], NmsOptions], Detections]


def _suppress_with_torch(prediction: NDArray[np.float32], options: NmsOptions) -> Detections:
    return suppress_tensor(torch.from_numpy(prediction), options)


both = pytest.mark.parametrize("function", [suppress, _suppress_with_torch], ids=["numpy", "torch"])


@both
@pytest.mark.parametrize("case", CASES, ids=CASES.get)
def test_survivors_equal_the_reference(function: Suppress, case: str) -> None:
    chosen = json.loads(str(REFERENCE[f"{case}_settings"]))
    chosen["classes"] = None if chosen["classes"] is None else tuple(chosen["classes"])
    found = function(REFERENCE[f"{case}_prediction"], NmsOptions(**chosen))
    expected = REFERENCE[f"{case}_survivors"]
    np.testing.assert_array_equal(found.class_id, expected[:, 5])
    np.testing.assert_array_equal(found.confidence, expected[:, 4])
    np.testing.assert_allclose(found.xyxy, expected[:, :4], atol=1e-4)


def _prediction(rows: list[list[float]]) -> NDArray[np.float32]:
    """From rows centre x, centre y, width, height, scores."""
    return np.array(rows, np.float32).T.copy()


@both
def test_the_better_of_two_boxes_on_one_object_stays(function: Suppress) -> None:
    found = function(_prediction([[50, 50, 20, 20, 0.6], [51, 50, 20, 20, 0.9]]), NmsOptions())
    assert found.xyxy.tolist() == [[41, 40, 61, 60]]


@both
def test_boxes_of_two_classes_stay_unless_agnostic(function: Suppress) -> None:
    prediction = _prediction([[50, 50, 20, 20, 0.6, 0.1], [50, 50, 20, 20, 0.1, 0.9]])
    assert function(prediction, NmsOptions()).class_id.tolist() == [1, 0]
    assert function(prediction, NmsOptions(agnostic=True)).class_id.tolist() == [1]


@both
def test_one_box_of_two_classes_counts_twice_only_with_multi_label(function: Suppress) -> None:
    prediction = _prediction([[50, 50, 20, 20, 0.6, 0.5]])
    assert function(prediction, NmsOptions()).class_id.tolist() == [0]
    assert function(prediction, NmsOptions(multi_label=True)).class_id.tolist() == [0, 1]


@both
def test_a_score_at_the_threshold_is_not_above_it(function: Suppress) -> None:
    prediction = _prediction([[50, 50, 20, 20, 0.5], [90, 50, 20, 20, np.nextafter(np.float32(0.5), np.float32(1))]])
    assert len(function(prediction, NmsOptions(confidence=0.5))) == 1


@both
def test_an_overlap_at_the_threshold_is_not_above_it(function: Suppress) -> None:
    prediction = _prediction([[5, 5, 10, 10, 0.9], [5, 2.5, 10, 5, 0.8]])  # half of the other: IoU 0.5
    assert len(function(prediction, NmsOptions(iou=0.5))) == 2
    assert len(function(prediction, NmsOptions(iou=0.499))) == 1


@both
@pytest.mark.parametrize("score", [np.nan, 0.0], ids=["not a number", "nothing"])
def test_a_picture_without_objects_gives_empty_arrays(function: Suppress, score: float) -> None:
    found = function(_prediction([[5, 5, 10, 10, score]]), NmsOptions())
    assert (found.xyxy.shape, found.confidence.shape, found.class_id.shape) == ((0, 4), (0,), (0,))
    assert (found.xyxy.dtype, found.confidence.dtype, found.class_id.dtype) == (np.float32, np.float32, np.int64)


@st.composite
def crowds(draw: st.DrawFn) -> tuple[NDArray[np.float32], NmsOptions]:
    """Boxes around few centres, with few different scores, so that ties and overlaps are common."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count, classes = draw(st.integers(1, 60)), draw(st.integers(1, 4))
    centres = rng.uniform(0, 200, (5, 2))[rng.integers(0, 5, count)] + rng.normal(0, 4, (count, 2))
    scores = rng.integers(0, 20, (count, classes)) / 20
    prediction = np.concatenate((centres, rng.uniform(20, 60, (count, 2)), scores), 1).T.astype(np.float32)
    options = NmsOptions(
        confidence=draw(st.sampled_from([0.0, 0.25, 0.6])),
        iou=draw(st.sampled_from([0.2, 0.45, 0.7])),
        max_detections=draw(st.sampled_from([1, 5, 300])),
        classes=draw(st.sampled_from([None, (0,), (0, 2)])),
        agnostic=draw(st.booleans()),
        multi_label=draw(st.booleans()),
    )
    return prediction, options


@settings(max_examples=60, deadline=None)
@given(crowds())
def test_numpy_and_torch_give_one_answer(crowd: tuple[NDArray[np.float32], NmsOptions]) -> None:
    prediction, options = crowd
    by_numpy, by_torch = suppress(prediction, options), _suppress_with_torch(prediction, options)
    np.testing.assert_array_equal(by_numpy.class_id, by_torch.class_id)
    np.testing.assert_array_equal(by_numpy.confidence, by_torch.confidence)
    np.testing.assert_array_equal(by_numpy.xyxy, by_torch.xyxy)


@settings(max_examples=60, deadline=None)
@given(crowds())
def test_survivors_leave_each_other_room_and_come_best_first(crowd: tuple[NDArray[np.float32], NmsOptions]) -> None:
    prediction, options = crowd
    found = suppress(prediction, options)
    overlaps = box_iou(found.xyxy, found.xyxy)
    rivals = ~np.eye(len(found), dtype=bool)
    if not options.agnostic:
        rivals &= found.class_id[:, None] == found.class_id[None, :]
    assert (overlaps[rivals] <= options.iou + 1e-5).all()
    assert (np.diff(found.confidence) <= 0).all()
    assert len(found) <= options.max_detections
