"""Boxes by how far they reach to each side, the form in which trackers compare them.

A box is (right, bottom, -left, -top, area, height, width): what two boxes share reaches as far as the lesser of both on
each side, a box is as wide as it reaches right and left together, and it grows by adding. So nearly everything is done
for both axes or all four sides in one NumPy call, and in small scenes calls are what a tracker's time goes into.

In crowds most tracklets are far from most detections. So there nothing asks for a full matrix: first the pairs that
touch are listed, then only these are measured.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_MANY_PAIRS = 8_000
"""From here on sorting is quicker than measuring everybody with everybody."""

_MOST_BESIDE = 0.2
"""Up to this share of all pairs sweeping pays; a box as wide as the picture is beside everybody."""

_AREA, _HEIGHT, _WIDTH = 4, 5, 6
_SIDES, _MEASURES = slice(0, 4), slice(_AREA, _HEIGHT + 1)
SIZES = slice(_HEIGHT, _WIDTH + 1)
_WIDTH_AND_HEIGHT = slice(_WIDTH, _HEIGHT - 1, -1)  # as the sides are that make them

# What meets arrays is an array of their kind, for which NumPy takes half as long as for a number.
_NOTHING = np.zeros((), np.float32)
_TINY = np.full((), 1e-12, np.float32)

FROM_CORNERS = np.array(
    [[0, 0, 1, 0], [0, 0, 0, 1], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 0], [0, -1, 0, 1], [-1, 0, 1, 0]], np.float32
)
"""(7, 4) what makes the form, all of it but the area, of left, top, right and bottom."""
_OPPOSITE = -np.eye(4, dtype=np.float32)[[2, 3, 0, 1]]  # where a box must reach beyond on each side to share anything


def reach_of(xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
    """(7, N) reach of (N, 4) left, top, right, bottom, which are finite."""
    return with_areas(FROM_CORNERS.dot(xyxy.T))


def with_areas(reach: NDArray[Any]) -> NDArray[Any]:
    """The same (7, N) boxes, in whose row of areas is what their widths and heights make."""
    np.multiply(reach[_WIDTH], reach[_HEIGHT], out=reach[_AREA])
    return reach


def overlapping(
    reach: NDArray[Any], others: NDArray[Any], growth: NDArray[Any] | None = None, *, with_heights: bool = True
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[Any]]:
    """Who overlaps whom, and how similar they are.

    Args:
        reach: (7, N).
        others: (7, M).
        growth: (2, N) widths and heights by which both boxes of a pair are grown to each side before they are compared;
            None: not at all.
        with_heights: Two boxes are as similar as their IoU times the IoU of their vertical extents, not as their IoU.

    Returns:
        (P,) rows and (P,) columns of the pairs that share some area, in row-major order, and (P,) their similarity.
    """
    if reach.shape[1] * others.shape[1] > _MANY_PAIRS:
        return _overlapping_of_many(reach, others, growth, with_heights)
    reach, others = reach[:, :, None], others[:, None]
    if growth is not None:
        growth = growth[:, :, None]
        reach, others = grow(reach, growth), grow(others, growth)
    similarity = _similarity(reach, others, with_heights)
    rows, columns = similarity.nonzero()
    return rows, columns, similarity[rows, columns]


def _overlapping_of_many(
    reach: NDArray[Any], others: NDArray[Any], growth: NDArray[Any] | None, with_heights: bool
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[Any]]:
    """`overlapping`, without the comparison of everybody with everybody."""
    if growth is None:
        rows, columns = touching_pairs(reach, others)
        reach, others = reach.take(rows, axis=1), others.take(columns, axis=1)
    else:
        most = growth.max(axis=1, keepdims=True)  # for all others at once
        rows, columns = touching_pairs(grow(reach, growth), grow(others, most))
        growth = growth.take(rows, axis=1)
        reach, others = grow(reach.take(rows, axis=1), growth), grow(others.take(columns, axis=1), growth)
    similarity = _similarity(reach, others, with_heights)
    is_real = similarity > 0
    if np.count_nonzero(is_real) < len(rows):
        rows, columns, similarity = rows[is_real], columns[is_real], similarity[is_real]
    return rows, columns, similarity


def _similarity(reach: NDArray[Any], others: NDArray[Any], with_heights: bool) -> NDArray[Any]:
    iou = pair_iou(reach, others)
    return iou[0] * iou[1] if with_heights else iou[0]


def grow(reach: NDArray[Any], growth: NDArray[Any]) -> NDArray[Any]:
    """(7, ...) the boxes that reach further to each side, by (2, ...) widths and heights."""
    margin = reach[_WIDTH_AND_HEIGHT] * growth
    grown = np.empty((7, *margin.shape[1:]), margin.dtype)
    np.add(reach[:2], margin, out=grown[:2])
    np.add(reach[2:4], margin, out=grown[2:4])
    np.add(grown[:2], grown[2:4], out=grown[_WIDTH_AND_HEIGHT])
    return with_areas(grown)


def touching_pairs(reach: NDArray[Any], others: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(P,) rows and (P,) columns of all pairs of (7, N) and (7, M) boxes that reach into each other, row by row.

    From left to right, each is compared with those beside it only. Of the others in order of their left sides, those
    that overlap a box sideways begin where the farthest right side so far is beyond its left side, and end where left
    sides are beyond its right side.
    """
    left, other_left = -reach[2], -others[2]
    order = other_left.argsort(kind="stable")
    first = np.maximum.accumulate(others[0].take(order)).searchsorted(left, side="right")
    end = other_left.take(order).searchsorted(reach[0], side="left")
    counts = np.maximum(end - first, 0)
    if counts.sum() > _MOST_BESIDE * reach.shape[1] * others.shape[1]:
        return _touching_pairs_of_a_throng(reach, others)
    rows = np.arange(len(counts)).repeat(counts)
    columns = order.take(np.arange(len(rows)) + (first + counts - counts.cumsum()).take(rows))
    beyond = reach[_SIDES].take(rows, axis=1) > np.dot(_OPPOSITE, others[_SIDES]).take(columns, axis=1)
    key = np.sort((rows * others.shape[1] + columns)[np.logical_and.reduce(beyond)])
    return np.divmod(key, others.shape[1])


def _touching_pairs_of_a_throng(reach: NDArray[Any], others: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """`touching_pairs` where most are beside each other: everybody with everybody."""
    beyond = reach[_SIDES, :, None] > np.dot(_OPPOSITE, others[_SIDES])[:, None]
    rows, columns = np.logical_and.reduce(beyond).nonzero()
    return rows, columns


def pair_iou(reach: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
    """(2, ...) of pairs of boxes, (7, ...) and (7, ...): their IoU, and the IoU of their heights alone.

    A pair that does not touch has an IoU of 0.
    """
    shared = np.minimum(reach[_SIDES], others[_SIDES])
    iou = shared[:2] + shared[2:]  # width and height; by and by the answer
    np.maximum(iou, _NOTHING, out=iou)
    iou[0] *= iou[1]
    either = reach[_MEASURES] + others[_MEASURES]
    either -= iou
    np.maximum(either, _TINY, out=either)  # lines and points that lie within each other share nothing of nothing
    iou /= either
    return iou
