"""One frame's answer to "who is whom", found in rounds: what one round pairs, the next ones leave alone.

Who looks for somebody is a mask that all rounds share: a round takes those out of it whom it pairs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidan.trackers.association import best_pairs
from vidan.trackers.reach import grow, pair_iou, touching_pairs
from vidan.trackers.tracklets import Tracklets

# How far boxes are grown to each side, in widths and heights: a base, and deviations of the predicted centre.
_GROWTH = 0.2
_DEVIATIONS = 2.0
_MOST_GROWTH = 1.2


class Matching:
    """Pairs of tracklets and detections of one frame.

    Args:
        tracklets: Moved on to the time of the frame.
        detected: (4, M) reach of all detections of the frame.
        group: (M,) their class groups; boxes of different groups never pair.
        with_heights: Two boxes are as similar as their IoU times the IoU of their vertical extents, not as their IoU.

    Attributes:
        rows: (P,) tracklets of the pairs that are near: of one group, and overlapping.
        columns: (P,) their detections.
        similarity: (P,) float32.
    """

    def __init__(
        self, tracklets: Tracklets, detected: NDArray[np.float32], group: NDArray[np.int64], with_heights: bool
    ) -> None:
        self._tracklets = tracklets
        self._detected = detected
        self._group = group
        self._with_heights = with_heights
        self._found: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
        self.place(tracklets.motion.reach)

    def place(self, reach: NDArray[np.float32]) -> None:
        """From now on the tracklets are taken to be at these (4, N) boxes, and no longer where the filter has them."""
        self._expected = reach
        rows, columns = touching_pairs(reach, self._detected)
        is_one_group = self._is_one_group(rows, columns)
        if np.count_nonzero(is_one_group) < len(rows):
            rows, columns = rows[is_one_group], columns[is_one_group]
        self.rows, self.columns = rows, columns
        iou, height_iou = pair_iou(reach.take(rows, axis=1), self._detected.take(columns, axis=1))
        self.similarity = iou * height_iou if self._with_heights else iou

    @property
    def pairs(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns of all pairs so far."""
        if len(self._found) == 1:
            return self._found[0]
        nobody = np.zeros(0, np.intp)
        rows, columns = zip(*self._found, strict=True) if self._found else ((nobody,), (nobody,))
        return np.concatenate(rows), np.concatenate(columns)

    def round(
        self,
        wants_row: NDArray[np.bool_],
        wants_column: NDArray[np.bool_],
        least: float,
        similarity: NDArray[np.floating[Any]] | None = None,
    ) -> None:
        """Pairs tracklets and detections that look for somebody, are near, and more similar than `least`.

        Args:
            wants_row: (N,) the tracklets that look; who is paired is struck off.
            wants_column: (M,) the detections that look; who is paired is struck off.
            least: What must be exceeded.
            similarity: (P,) of the near pairs, instead of that of their boxes.
        """
        if len(wants_column.nonzero()[0]) == 0 or len(wants_row.nonzero()[0]) == 0:  # quicker than any()
            return
        similarity = self.similarity if similarity is None else similarity
        wanted = similarity > least
        wanted &= wants_row.take(self.rows)
        wanted &= wants_column.take(self.columns)
        index = wanted.nonzero()[0]
        if len(index):
            worth = similarity.take(index) - least
            self._pair(wants_row, wants_column, self.rows.take(index), self.columns.take(index), worth)

    def grown_round(self, wants_row: NDArray[np.bool_], wants_column: NDArray[np.bool_], least: float) -> None:
        """A round of those that overlap once both have grown."""
        wanted_rows, wanted_columns = wants_row.nonzero()[0], wants_column.nonzero()[0]
        if len(wanted_rows) == 0 or len(wanted_columns) == 0:
            return
        reach, others = self._expected.take(wanted_rows, axis=1), self._detected.take(wanted_columns, axis=1)
        uncertainty = self._tracklets.motion.uncertainty(wanted_rows)
        growth = np.minimum(_GROWTH + _DEVIATIONS * uncertainty, _MOST_GROWTH).astype(np.float32)
        most = growth.max(axis=1, keepdims=True)  # for all detections at once; some pairs then do not quite touch
        row, column = touching_pairs(grow(reach, growth), grow(others, most))
        if len(row) == 0:
            return
        growth, rows, columns = growth.take(row, axis=1), wanted_rows.take(row), wanted_columns.take(column)
        iou, height_iou = pair_iou(grow(reach.take(row, axis=1), growth), grow(others.take(column, axis=1), growth))
        similarity = iou * height_iou
        wanted = similarity > least
        wanted &= self._is_one_group(rows, columns)
        index = wanted.nonzero()[0]
        if len(index):
            worth = similarity.take(index) - least
            self._pair(wants_row, wants_column, rows.take(index), columns.take(index), worth)

    def _is_one_group(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.bool_]:
        return self._tracklets.group.take(rows) == self._group.take(columns)

    def _pair(
        self,
        wants_row: NDArray[np.bool_],
        wants_column: NDArray[np.bool_],
        rows: NDArray[np.intp],
        columns: NDArray[np.intp],
        worth: NDArray[np.floating[Any]],
    ) -> None:
        rows, columns = best_pairs(rows, columns, worth)
        wants_row[rows] = False
        wants_column[columns] = False
        self._found.append((rows, columns))
