"""One frame's answer to "who is whom", found in rounds: what one round pairs, the next ones leave alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidan.detector import Detections
from vidan.trackers.association import best_pairs, pair_iou, touching_pairs
from vidan.trackers.tracklets import Tracklets

# How far boxes are grown to each side, in widths and heights: a base, and deviations of the predicted centre.
_GROWTH = 0.2
_DEVIATIONS = 2.0
_MOST_GROWTH = 1.2


class Matching:
    """Pairs of tracklets and detections of one frame.

    Two boxes are as similar as their IoU times the IoU of their vertical extents.

    Args:
        tracklets: Moved on to the time of the frame.
        detections: All of the frame.
        group: (len(detections),) their class groups; boxes of different groups never pair.
    """

    def __init__(self, tracklets: Tracklets, detections: Detections, group: NDArray[np.int64]) -> None:
        self._tracklets = tracklets
        self._detections = detections
        self._group = group
        self._xyxy = tracklets.motion.xyxy
        self._is_taken_row = np.zeros(len(tracklets), np.bool_)
        self._is_taken_column = np.zeros(len(detections), np.bool_)
        self._found: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
        rows, columns = touching_pairs(self._xyxy, detections.xyxy)
        is_one_group = tracklets.group.take(rows) == group.take(columns)
        if np.count_nonzero(is_one_group) < len(is_one_group):
            rows, columns = rows[is_one_group], columns[is_one_group]
        iou, height_iou = pair_iou(self._xyxy.take(rows, axis=0), detections.xyxy.take(columns, axis=0))
        self._near = rows, columns, iou * height_iou

    @property
    def pairs(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns of all pairs so far."""
        if len(self._found) == 1:
            return self._found[0]
        nobody = np.zeros(0, np.intp)
        rows, columns = zip(*self._found, strict=True) if self._found else ((nobody,), (nobody,))
        return np.concatenate(rows), np.concatenate(columns)

    def free(self, wanted: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Indices of the wanted detections that are nobody yet."""
        return (wanted & ~self._is_taken_column).nonzero()[0]

    def round(
        self, wants_row: NDArray[np.bool_], wants_column: NDArray[np.bool_], least: float, fuse_confidence: bool = False
    ) -> None:
        """Pairs tracklets and detections that are wanted, free and overlap."""
        wants_row, wants_column = wants_row & ~self._is_taken_row, wants_column & ~self._is_taken_column
        if not (np.count_nonzero(wants_row) and np.count_nonzero(wants_column)):
            return
        rows, columns, similarity = self._near
        if fuse_confidence:
            similarity = similarity * self._detections.confidence.take(columns)
        wanted = similarity > least
        wanted &= wants_row.take(rows)
        wanted &= wants_column.take(columns)
        index = wanted.nonzero()[0]
        if len(index):
            self._pair(rows.take(index), columns.take(index), similarity.take(index) - least)

    def grown_round(self, wants_row: NDArray[np.bool_], wants_column: NDArray[np.bool_], least: float) -> None:
        """Pairs tracklets and detections that are wanted, free and overlap once both have grown."""
        wanted_rows, wanted_columns = (wants_row & ~self._is_taken_row).nonzero()[0], self.free(wants_column)
        if len(wanted_rows) == 0 or len(wanted_columns) == 0:
            return
        xyxy, others = self._xyxy.take(wanted_rows, axis=0), self._detections.xyxy.take(wanted_columns, axis=0)
        uncertainty = self._tracklets.motion.uncertainty(wanted_rows)
        growth = np.minimum(_GROWTH + _DEVIATIONS * uncertainty, _MOST_GROWTH).astype(np.float32)
        row, column = touching_pairs(_grow(xyxy, growth), _grow(others, growth.max(axis=0)))  # some do not quite
        growth, xyxy, others = growth.take(row, axis=0), xyxy.take(row, axis=0), others.take(column, axis=0)
        iou, height_iou = pair_iou(_grow(xyxy, growth), _grow(others, growth))
        similarity = iou * height_iou
        rows, columns = wanted_rows.take(row), wanted_columns.take(column)
        is_good = similarity > least
        is_good &= self._tracklets.group.take(rows) == self._group.take(columns)
        if np.count_nonzero(is_good):
            self._pair(rows[is_good], columns[is_good], similarity[is_good] - least)

    def _pair(self, rows: NDArray[np.intp], columns: NDArray[np.intp], worth: NDArray[np.floating[Any]]) -> None:
        chosen = best_pairs(rows, columns, worth)
        rows, columns = rows.take(chosen), columns.take(chosen)
        self._is_taken_row[rows] = True
        self._is_taken_column[columns] = True
        self._found.append((rows, columns))


def _grow(xyxy: NDArray[np.float32], growth: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 4) boxes that reach further to each side, by (N, 2) or (2,) widths and heights."""
    margin = (xyxy[:, 2:] - xyxy[:, :2]) * growth
    return np.concatenate([xyxy[:, :2] - margin, xyxy[:, 2:] + margin], axis=1, dtype=np.float32)
