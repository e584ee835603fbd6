"""SORT: predict, overlap, assign. The simplest tracker that works, and the one that the others are measured by.

Written from Bewley et al., "Simple Online and Realtime Tracking", ICIP 2016, arXiv:1602.00763, with these changes: the
motion filter is that of `kalman.py`, a lost tracklet is remembered for a time and not for one frame, and boxes of
different class groups never meet.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidan.detector import Detections
from vidan.trackers.matching import Matching
from vidan.trackers.online import OnlineTracker

_LEAST_IOU = np.array(0.3, np.float32)  # section 3.3 and the authors' experiments


class SortTracker(OnlineTracker):
    """One stream's tracker; arguments and the life of a tracklet are described at `OnlineTracker`.

    Detections below `high_confidence` are not looked at.
    """

    _with_heights = False

    def _associate(self, matching: Matching, detections: Detections, is_high: NDArray[np.bool_]) -> None:
        matching.round(np.ones(len(self._tracklets), np.bool_), is_high, _LEAST_IOU)
