"""Which tracklet is which detection: costs between the two, and their best assignment."""

from __future__ import annotations

from dataclasses import dataclass

import lap
import numpy as np
from numpy.typing import NDArray

def box_iou(a, b):
    lt = np.maximum(a[:, None, :2], b[None, :, :2]); rb = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = np.clip(rb - lt, 0, None).prod(2)
    area = lambda x: (x[:, 2:] - x[:, :2]).prod(1)
    u = area(a)[:, None] + area(b)[None] - inter
    return np.where(u > 0, inter / np.where(u > 0, u, 1), 0)

_NEVER = 1e6
"""Cost of a pair that must not associate: finite, because the solver adds costs up, and above every limit."""


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """Pairs of rows and columns, and who is left over.

    Attributes:
        rows: (K,) intp, ascending.
        columns: (K,) intp, columns[k] belongs to rows[k].
        free_rows: (N - K,) intp, ascending.
        free_columns: (M - K,) intp, ascending.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    free_rows: NDArray[np.intp]
    free_columns: NDArray[np.intp]


def iou_cost(
    tracklet_xyxy: NDArray[np.floating],
    detection_xyxy: NDArray[np.floating],
    detection_confidence: NDArray[np.floating] | None = None,
) -> NDArray[np.float64]:
    """1 - IoU of every pair, or 1 - IoU x confidence, which prefers the surer of two detections on one spot.

    Args:
        tracklet_xyxy: (N, 4).
        detection_xyxy: (M, 4).
        detection_confidence: (M,) 0..1, to fuse the score in.

    Returns:
        (N, M) float64 from 0 (same box) to 1 (no overlap).
    """
    similarity = box_iou(tracklet_xyxy, detection_xyxy).astype(np.float64)
    if detection_confidence is not None:
        similarity *= detection_confidence
    return 1.0 - similarity


def gate_groups(
    cost: NDArray[np.float64], tracklet_group: NDArray[np.int64], detection_group: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The (N, M) cost, with pairs of different groups made impossible."""
    return np.where(tracklet_group[:, None] == detection_group, cost, _NEVER)


def assign(cost: NDArray[np.float64], limit: float) -> Assignment:
    """The pairs of least total cost, where leaving a row and a column alone costs `limit` (Jonker and Volgenant, 1987).

    Args:
        cost: (N, M).
        limit: No pair above it is made.
    """
    row_count, column_count = cost.shape
    if cost.size == 0:
        none = np.zeros(0, np.intp)
        return Assignment(none, none, np.arange(row_count), np.arange(column_count))
    _, column_of_row, row_of_column = lap.lapjv(cost, extend_cost=True, cost_limit=limit)
    rows = np.flatnonzero(column_of_row >= 0)
    return Assignment(
        rows, column_of_row[rows].astype(np.intp), np.flatnonzero(column_of_row < 0), np.flatnonzero(row_of_column < 0)
    )
