"""Geometry of boxes: notations, areas, overlaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from vidan.detector.boxes import (
    box_area,
    box_iou,
    clip_boxes,
    cxcywh_to_xyxy,
    xywh_to_xyxy,
    xyxy_to_cxcywh,
    xyxy_to_xywh,
)

Boxes = NDArray[np.float64]

modest = settings(max_examples=40, deadline=None)


@st.composite
def boxes(draw: st.DrawFn) -> Boxes:
    """(N, 4) xyxy with sides from 0 to 200 px, N from 0 to 6."""
    count = draw(st.integers(0, 6))
    xywh = draw(arrays(np.float64, (count, 4), elements=st.floats(0, 200, width=32)))
    return xywh_to_xyxy(xywh)


@modest
@given(boxes())
def test_every_notation_leads_back(xyxy: Boxes) -> None:
    np.testing.assert_allclose(xywh_to_xyxy(xyxy_to_xywh(xyxy)), xyxy, atol=1e-9)
    np.testing.assert_allclose(cxcywh_to_xyxy(xyxy_to_cxcywh(xyxy)), xyxy, atol=1e-9)


def test_notations_of_one_box() -> None:
    xyxy = np.array([[10, 20, 14, 30]], np.float32)
    assert xyxy_to_xywh(xyxy).tolist() == [[10, 20, 4, 10]]
    assert xyxy_to_cxcywh(xyxy).tolist() == [[12, 25, 4, 10]]
    assert xyxy.tolist() == [[10, 20, 14, 30]], "the argument was written into"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_keep_their_dtype(dtype: type) -> None:
    xyxy = np.array([[0, 0, 2, 2]], dtype)
    answers = [xyxy_to_xywh(xyxy), xyxy_to_cxcywh(xyxy), xywh_to_xyxy(xyxy), cxcywh_to_xyxy(xyxy)]
    answers += [box_area(xyxy), box_iou(xyxy, xyxy), clip_boxes(xyxy, 1, 1)]
    assert {answer.dtype for answer in answers} == {np.dtype(dtype)}


@modest
@given(boxes(), boxes())
def test_iou_is_a_share_and_does_not_care_for_the_order(a: Boxes, b: Boxes) -> None:
    iou = box_iou(a, b)
    assert iou.shape == (len(a), len(b))
    assert ((iou >= 0) & (iou <= 1 + 1e-12)).all()
    np.testing.assert_array_equal(iou, box_iou(b, a).T)


@modest
@given(boxes(), st.floats(-100, 100), st.floats(0.5, 4))
def test_iou_survives_shifting_and_scaling(xyxy: Boxes, shift: float, scale: float) -> None:
    moved = (xyxy + shift) * scale
    sharp = box_area(xyxy) > 1e-3  # a box of no area may gain one by rounding
    np.testing.assert_allclose(box_iou(moved, moved)[sharp][:, sharp], box_iou(xyxy, xyxy)[sharp][:, sharp], atol=1e-6)


@modest
@given(boxes())
def test_a_box_with_an_area_overlaps_itself_wholly(xyxy: Boxes) -> None:
    np.testing.assert_array_equal(np.diag(box_iou(xyxy, xyxy)), (box_area(xyxy) > 0).astype(float))


@pytest.mark.parametrize(
    ("other", "iou"),
    [
        pytest.param([0, 0, 10, 10], 1.0, id="the same"),
        pytest.param([5, 0, 15, 10], 1 / 3, id="half beside: 50 of 150"),
        pytest.param([2, 2, 4, 4], 0.04, id="inside: 4 of 100"),
        pytest.param([10, 0, 20, 10], 0.0, id="touching"),
        pytest.param([8, 8, 2, 2], 0.0, id="turned inside out"),
        pytest.param([3, 3, 3, 3], 0.0, id="a point"),
    ],
)
def test_iou_worked_out_by_hand(other: list[float], iou: float) -> None:
    square = np.array([[0, 0, 10, 10]], np.float64)
    assert box_iou(square, np.array([other], np.float64))[0, 0] == pytest.approx(iou)


@modest
@given(boxes(), st.integers(1, 150), st.integers(1, 150))
def test_clipped_boxes_lie_inside_and_clip_no_further(xyxy: Boxes, height: int, width: int) -> None:
    clipped = clip_boxes(xyxy - 50, height, width)
    assert (clipped >= 0).all()
    assert (clipped[:, [0, 2]] <= width).all()
    assert (clipped[:, [1, 3]] <= height).all()
    np.testing.assert_array_equal(clip_boxes(clipped, height, width), clipped)
