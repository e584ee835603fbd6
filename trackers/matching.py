"""One frame's answer to "who is whom", found in rounds: what one round pairs, the next ones leave alone.

Who looks for somebody is a mask that all rounds share: a round takes those out of it whom it pairs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidan.trackers.association import best_pairs
from vidan.trackers.reach import overlapping
from vidan.trackers.tracklets import Tracklets

# How far boxes are grown to each side, in widths and heights: a base, and deviations of the predicted centre.
_GROWTH = 0.2
_DEVIATIONS = 2.0
_MOST_GROWTH = 1.2


class Matching:
    """Pairs of tracklets and detections of one frame.

    Args:
        tracklets: Moved on to the time of the frame.
        detected: (7, M) reach of all detections of the frame.
        group: (M,) their class groups; boxes of different groups never pair. None: there is only one group.
        with_heights: Two boxes are as similar as their IoU times the IoU of their vertical extents, not as their IoU.

    Attributes:
        rows: (P,) tracklets of the pairs that are near: of one group, and overlapping.
        columns: (P,) their detections.
        similarity: (P,) float32.
    """

    def __init__(
        self, tracklets: Tracklets, detected: NDArray[np.float32], group: NDArray[np.int64] | None, with_heights: bool
    ) -> None:
        self._tracklets = tracklets
        self._detected = detected
        self._group = group
        self._with_heights = with_heights
        self._found: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
        self.place(tracklets.motion.reach)

    def place(self, reach: NDArray[np.float32]) -> None:
        """From now on the tracklets are taken to be at these (7, N) boxes, and no longer where the filter has them."""
        self._expected = reach
        rows, columns, similarity = overlapping(reach, self._detected, with_heights=self._with_heights)
        if self._group is not None:
            is_one_group = self._tracklets.group[rows] == self._group[columns]
            rows, columns, similarity = rows[is_one_group], columns[is_one_group], similarity[is_one_group]
        self.rows, self.columns, self.similarity = rows, columns, similarity

    @property
    def pairs(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns of all pairs so far, by ascending row."""
        if len(self._found) == 1:
            return self._found[0]
        if not self._found:
            return np.zeros(0, np.intp), np.zeros(0, np.intp)
        rows, columns = (np.concatenate(parts) for parts in zip(*self._found, strict=True))
        order = rows.argsort(kind="stable")  # of a few ascending parts
        return rows[order], columns[order]

    def round(
        self,
        wants_row: NDArray[np.bool_],
        wants_column: NDArray[np.bool_],
        least: NDArray[np.float32],
        similarity: NDArray[np.floating[Any]] | None = None,
    ) -> None:
        """Pairs tracklets and detections that look for somebody, are near, and more similar than `least`.

        Args:
            wants_row: (N,) the tracklets that look; who is paired is struck off.
            wants_column: (M,) the detections that look; who is paired is struck off.
            least: () what must be exceeded; an array, for which NumPy takes half as long as for a number.
            similarity: (P,) of the near pairs, instead of that of their boxes.
        """
        if len(wants_column.nonzero()[0]) == 0 or len(wants_row.nonzero()[0]) == 0:  # quicker than any()
            return
        similarity = self.similarity if similarity is None else similarity
        wanted = similarity > least
        wanted &= wants_row[self.rows]
        wanted &= wants_column[self.columns]
        index = wanted.nonzero()[0]
        if len(index):
            self._pair(wants_row, wants_column, self.rows[index], self.columns[index], similarity[index] - least)

    def grown_round(
        self, wants_row: NDArray[np.bool_], wants_column: NDArray[np.bool_], least: NDArray[np.float32]
    ) -> None:
        """A round of those that overlap once both have grown."""
        wanted_rows, wanted_columns = wants_row.nonzero()[0], wants_column.nonzero()[0]
        if len(wanted_rows) == 0 or len(wanted_columns) == 0:
            return
        reach, others = self._expected.take(wanted_rows, axis=1), self._detected.take(wanted_columns, axis=1)
        uncertainty = self._tracklets.motion.uncertainty(wanted_rows)
        growth = np.minimum(_GROWTH + _DEVIATIONS * uncertainty, _MOST_GROWTH).astype(np.float32)
        row, column, similarity = overlapping(reach, others, growth)
        if len(row) == 0:
            return
        rows, columns = wanted_rows[row], wanted_columns[column]
        wanted = similarity > least
        if self._group is not None:
            wanted &= self._tracklets.group[rows] == self._group[columns]
        index = wanted.nonzero()[0]
        if len(index):
            self._pair(wants_row, wants_column, rows[index], columns[index], similarity[index] - least)

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
