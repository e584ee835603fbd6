"""Which detection is which tracklet: how alike a pair of boxes is, and the best pairing of all.

Most tracklets are far from most detections. So nothing here asks for a full matrix: first the pairs that touch are
listed, then only these are measured and matched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lap
import numpy as np
from numpy.typing import NDArray

_FEW_PAIRS = 64
"""Up to here the solver is quicker than finding out what need not be solved."""


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """Rows and columns of a cost matrix, paired or left alone; each array ascends except `columns`.

    Attributes:
        rows: (K,) intp.
        columns: (K,) intp; columns[k] is the partner of rows[k].
        free_rows: (N - K,) intp.
        free_columns: (M - K,) intp.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    free_rows: NDArray[np.intp]
    free_columns: NDArray[np.intp]


def assign(cost: NDArray[np.float64], limit: float) -> Assignment:
    """The pairing of least total cost in which nobody is in two pairs and every pair costs less than `limit`.

    A row and a column left alone cost `limit` together.

    Args:
        cost: (N, M), finite.
        limit: What a pair must be cheaper than.
    """
    rows, columns = np.nonzero(cost < limit)
    chosen = np.sort(best_pairs(rows, columns, limit - cost[rows, columns]))
    rows, columns = rows[chosen], columns[chosen]
    return Assignment(
        rows, columns, np.setdiff1d(np.arange(cost.shape[0]), rows), np.setdiff1d(np.arange(cost.shape[1]), columns)
    )


def touching_pairs(xyxy: NDArray[Any], others: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(P,) rows and (P,) columns of all pairs of (N, 4) and (M, 4) boxes that share some area, in row-major order."""
    left, top, right, bottom = others.T
    touch = xyxy[:, 0, None] < right
    touch &= xyxy[:, 2, None] > left
    touch &= xyxy[:, 1, None] < bottom
    touch &= xyxy[:, 3, None] > top
    rows, columns = touch.nonzero()
    return rows, columns


def pair_iou(xyxy: NDArray[Any], others: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """(P,) IoU of P pairs of boxes, (P, 4) and (P, 4), and (P,) IoU of their vertical extents alone; none is empty."""
    corners, other_corners = xyxy.T, others.T
    shared = np.minimum(corners[2:], other_corners[2:])
    shared -= np.maximum(corners[:2], other_corners[:2])
    np.maximum(shared, 0, out=shared)
    size, other_size = corners[2:] - corners[:2], other_corners[2:] - other_corners[:2]
    intersection = shared[0] * shared[1]
    union = size[0] * size[1] + other_size[0] * other_size[1] - intersection
    return intersection / union, shared[1] / (size[1] + other_size[1] - shared[1])


def best_pairs(rows: NDArray[np.intp], columns: NDArray[np.intp], worth: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
    """Which of the pairs make the matching of greatest total worth, in which nobody is in two pairs.

    Exact. Pairs without a rival are in it. So is a pair that is worth more than its best rival on either side together,
    because whoever gives it up can get no more than these two; taking it frees others from their rivals in turn. What
    is left, the knots of crowded places, goes to lap's Jonker-Volgenant solver.

    Args:
        rows: (P,) one partner of each pair, from 0; no pair is listed twice.
        columns: (P,) the other partner.
        worth: (P,) above 0.

    Returns:
        (K,) indices of the chosen pairs.
    """
    if len(rows) < 2:
        return np.arange(len(rows))
    rivals = np.bincount(rows).take(rows) + np.bincount(columns).take(columns)  # 2: only the pair itself
    open_pairs = (rivals > 2).nonzero()[0]
    if len(open_pairs) == 0:
        return np.arange(len(rows))
    chosen = [(rivals == 2).nonzero()[0]]
    while len(open_pairs) > _FEW_PAIRS:
        row, column, gain = rows.take(open_pairs), columns.take(open_pairs), worth.take(open_pairs)
        is_settled = gain > _best_rival(row, gain) + _best_rival(column, gain)
        if not is_settled.any():
            break
        chosen.append(open_pairs[is_settled])
        open_pairs = open_pairs[~(np.isin(row, row[is_settled]) | np.isin(column, column[is_settled]))]
    if len(open_pairs):
        chosen.append(open_pairs[_solve(rows.take(open_pairs), columns.take(open_pairs), worth.take(open_pairs))])
    return np.concatenate(chosen)


def _best_rival(group: NDArray[np.intp], worth: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """(P,) the greatest worth among the other pairs of each pair's group, 0 where there is none."""
    order = np.lexsort((-worth, group))
    sorted_group, sorted_worth = group[order], np.append(worth[order], 0)
    places = np.arange(len(order))
    is_best = np.append(True, sorted_group[1:] != sorted_group[:-1])
    best = np.maximum.accumulate(np.where(is_best, places, 0))  # place of the best of each group
    has_second = np.append(~is_best[1:], False)
    rival = np.empty_like(worth)
    rival[order] = np.where(is_best, np.where(has_second, sorted_worth[places + 1], 0), sorted_worth[best])
    return rival


def _solve(rows: NDArray[np.intp], columns: NDArray[np.intp], worth: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """(P,) bool, the pairs of the best matching, by a dense matrix in which staying alone is worth nothing."""
    row, column = _renumber(rows), _renumber(columns)
    size = int(max(row.max(), column.max())) + 1
    cost = np.zeros((size, size))
    cost[row, column] = -worth
    _, column_of_row, _ = lap.lapjv(cost)
    return column_of_row.take(row) == column


def _renumber(numbers: NDArray[np.intp]) -> NDArray[np.intp]:
    """The same numbers without holes, from 0."""
    return ((np.bincount(numbers) > 0).cumsum() - 1).take(numbers)
