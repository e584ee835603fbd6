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

_MANY_PAIRS = 10_000
"""From here on sorting is quicker than comparing everybody with everybody."""

_NOTHING = np.zeros((), np.float32)


def reach_of(xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
    """(4, N) reach of (N, 4) left, top, right, bottom."""
    corners = xyxy.T
    reach = np.empty(corners.shape, np.float32)
    reach[:2] = corners[2:]
    np.negative(corners[:2], out=reach[2:])
    return reach


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
    opposite = np.empty(others.shape, others.dtype)  # what a box must reach beyond on each side
    np.negative(others[2:], out=opposite[:2])
    np.negative(others[:2], out=opposite[2:])
    beyond = reach[:, :, None] > opposite[:, None]
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
    beyond = other_left.take(order).searchsorted(reach[0], side="left")
    counts = np.maximum(beyond - first, 0)
    rows = np.arange(len(counts)).repeat(counts)
    columns = order.take(np.arange(len(rows)) + (first + counts - counts.cumsum()).take(rows))
    shared = np.minimum(reach.take(rows, axis=1), others.take(columns, axis=1))
    touch = (shared[:2] + shared[2:] > 0).all(axis=0)
    key = np.sort((rows * others.shape[1] + columns)[touch])
    return np.divmod(key, others.shape[1])


def pair_iou(reach: NDArray[Any], others: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """(P,) IoU of P pairs of boxes, (4, P) and (4, P), and (P,) IoU of their heights alone; none is empty.

    A pair that does not touch has an IoU of 0 or below.
    """
    shared = np.minimum(reach, others)
    width, height = shared[:2] + shared[2:]
    np.maximum(height, _NOTHING, out=height)
    size, other_size = reach[:2] + reach[2:], others[:2] + others[2:]
    union = size[0] * size[1]
    union += other_size[0] * other_size[1]
    intersection = width * height
    union -= intersection
    either_height = size[1] + other_size[1]
    either_height -= height
    return intersection / union, height / either_height
