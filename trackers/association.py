"""Which detection is which tracklet: costs between the two, and their best assignment."""

from __future__ import annotations

from dataclasses import dataclass

import lap
import numpy as np
from numpy.typing import NDArray

from vidan.detector import box_iou

_NEVER = 1e6
"""Cost of a pair that must not be: above every limit, yet finite, because the solver adds costs up."""


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


def iou_cost(
    tracklet_xyxy: NDArray[np.float32],
    detection_xyxy: NDArray[np.float32],
    detection_confidence: NDArray[np.float32] | None = None,
) -> NDArray[np.float64]:
    """1 - IoU, or with scores fused in 1 - IoU x confidence: of two detections in one place the surer is nearer.

    Args:
        tracklet_xyxy: (N, 4).
        detection_xyxy: (M, 4).
        detection_confidence: (M,) 0..1, where scores are to be fused in.

    Returns:
        (N, M) from 0, the same box, to 1, no overlap.
    """
    similarity = box_iou(tracklet_xyxy, detection_xyxy).astype(np.float64)
    return 1.0 - (similarity if detection_confidence is None else similarity * detection_confidence)


def gate_groups(
    cost: NDArray[np.float64], tracklet_group: NDArray[np.int64], detection_group: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The (N, M) cost with every pair of two different class groups ruled out."""
    return np.where(tracklet_group[:, None] == detection_group, cost, _NEVER)


def assign(cost: NDArray[np.float64], limit: float) -> Assignment:
    """The pairing of least total cost in which nobody is in two pairs and no pair costs more than `limit`.

    Solved by lap's Jonker-Volgenant algorithm; a row and a column left alone cost `limit` together.

    Args:
        cost: (N, M), finite.
        limit: Highest cost of a pair.
    """
    if cost.size == 0:
        nobody = np.zeros(0, np.intp)
        return Assignment(nobody, nobody, np.arange(cost.shape[0]), np.arange(cost.shape[1]))
    _, column_of_row, row_of_column = lap.lapjv(cost, extend_cost=True, cost_limit=limit)
    rows = np.flatnonzero(column_of_row >= 0)
    return Assignment(
        rows=rows,
        columns=column_of_row[rows].astype(np.intp),
        free_rows=np.flatnonzero(column_of_row < 0),
        free_columns=np.flatnonzero(row_of_column < 0),
    )
