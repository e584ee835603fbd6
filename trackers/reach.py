"""Boxes by how far they reach to each side, the form in which trackers compare them.

A box is (right, bottom, -left, -top): what two boxes share reaches as far as the lesser of both on each side, a box is
as wide as it reaches right and left together, and it grows by adding. So nearly everything is done for both axes or all
four sides in one NumPy call, and in small scenes calls are what a tracker's time goes into.

Most tracklets are far from most detections. So nothing here asks for a full matrix: first the pairs that touch are
listed, then only these are measured.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_MANY_PAIRS = 8_000
"""From here on sorting is quicker than comparing everybody with everybody."""

_MOST_BESIDE = 0.2
"""Up to this share of all pairs sweeping pays; a box as wide as the picture is beside everybody."""

_NOTHING = np.zeros((), np.float32)
_TINY = np.float32(1e-12)
_FROM_CORNERS = np.array([[0, 0, 1, 0], [0, 0, 0, 1], [-1, 0, 0, 0], [0, -1, 0, 0]], np.float32)
_OPPOSITE = -np.eye(4, dtype=np.float32)[[2, 3, 0, 1]]  # where a box must reach beyond on each side to share anything


def reach_of(xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
    """(4, N) reach of (N, 4) left, top, right, bottom; not a number, all of it, where a corner is not finite."""
    with np.errstate(invalid="ignore"):
        return np.dot(_FROM_CORNERS, xyxy.T)


def grow(reach: NDArray[np.float32], growth: NDArray[np.float32]) -> NDArray[np.float32]:
    """(4, N) the boxes that reach further to each side, by (2, N) or (2, 1) widths and heights."""
    margin = reach[:2] + reach[2:]
    margin *= growth
    grown = np.empty_like(reach)
    np.add(reach[:2], margin, out=grown[:2])
    np.add(reach[2:], margin, out=grown[2:])
    return grown


def touching_pairs(reach: NDArray[Any], others: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(P,) rows and (P,) columns of all pairs of (4, N) and (4, M) boxes that share some area, in row-major order."""
    if reach.shape[1] * others.shape[1] > _MANY_PAIRS:
        return _sweep(reach, others)
    return _compare(reach, others)


def _compare(reach: NDArray[Any], others: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """`touching_pairs` of few boxes, or of a throng: everybody with everybody."""
    beyond = reach[:, :, None] > np.dot(_OPPOSITE, others)[:, None]
    rows, columns = np.logical_and.reduce(beyond).nonzero()
    return rows, columns


def _sweep(reach: NDArray[Any], others: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """`touching_pairs` of many boxes: from left to right, each is compared with those beside it only.

    Of the others in order of their left sides, those that overlap a box sideways begin where the farthest right side so
    far is beyond its left side, and end where left sides are beyond its right side.
    """
    left, other_left = -reach[2], -others[2]
    order = other_left.argsort(kind="stable")
    first = np.maximum.accumulate(others[0].take(order)).searchsorted(left, side="right")
    end = other_left.take(order).searchsorted(reach[0], side="left")
    counts = np.maximum(end - first, 0)
    if counts.sum() > _MOST_BESIDE * reach.shape[1] * others.shape[1]:
        return _compare(reach, others)
    rows = np.arange(len(counts)).repeat(counts)
    columns = order.take(np.arange(len(rows)) + (first + counts - counts.cumsum()).take(rows))
    beyond = reach.take(rows, axis=1) > np.dot(_OPPOSITE, others).take(columns, axis=1)
    key = np.sort((rows * others.shape[1] + columns)[np.logical_and.reduce(beyond)])
    return np.divmod(key, others.shape[1])


def pair_iou(reach: NDArray[Any], others: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """(P,) IoU of P pairs of boxes, (4, P) and (4, P), and (P,) IoU of their heights alone.

    A pair that does not touch has an IoU of 0 or below.
    """
    one, other, shared = (_areas_and_heights(box) for box in (reach, others, np.minimum(reach, others)))
    either = one + other
    either -= shared
    np.maximum(either, _TINY, out=either)  # lines and points that lie within each other share nothing of nothing
    iou, height_iou = shared / either
    return iou, height_iou


def _areas_and_heights(reach: NDArray[Any]) -> NDArray[Any]:
    """(2, P) areas and heights of (4, P) boxes, heights at least 0."""
    size = reach[:2] + reach[2:]
    width, height = size
    np.maximum(height, _NOTHING, out=height)
    width *= height
    return size
