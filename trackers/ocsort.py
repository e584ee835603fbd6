"""OC-SORT: SORT that believes what it saw rather than what it predicted.

Written from Cao et al., "Observation-Centric SORT: Rethinking SORT for Robust Multi-Object Tracking", CVPR 2023,
arXiv:2203.14360, section 4: momentum (who must turn least), recovery (who is where somebody was last seen) and
re-update (`observed_kalman.py`). Where the paper counts frames this counts seconds, and boxes of different class groups
never meet.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidan.detector import Detections
from vidan.trackers.kalman import BoxKalman
from vidan.trackers.matching import Matching
from vidan.trackers.observed_kalman import ObservedKalman
from vidan.trackers.online import OnlineTracker

_LEAST_IOU = np.array(0.3, np.float32)  # of all rounds (section 5.1)
_MOMENTUM = 0.2  # what a full turn costs beside the IoU: the authors' lambda
_LEAST_LIKENESS = np.array(_LEAST_IOU - _MOMENTUM / 2, np.float32)
_DIRECTION_SECONDS = 0.1  # the authors' three frames, at 30 frames per second


class OcSortTracker(OnlineTracker):
    """One stream's tracker; arguments and the life of a tracklet are described at `OnlineTracker`.

    Detections below `high_confidence` are not looked at.
    """

    _with_heights = False
    _motion: ObservedKalman

    def _make_motion(self) -> BoxKalman:
        self._motion = ObservedKalman(_DIRECTION_SECONDS)
        return self._motion

    def _associate(self, matching: Matching, detections: Detections, is_high: NDArray[np.bool_]) -> None:
        everybody = np.ones(len(self._tracklets), np.bool_)

        turn = self._motion.turn(matching.rows, detections.xyxy.take(matching.columns, axis=0))
        likeness = matching.similarity + _MOMENTUM * (0.5 - turn / np.pi)
        likeness[matching.similarity <= _LEAST_IOU] = -1  # momentum chooses between those who are near, no more
        matching.round(everybody, is_high, _LEAST_LIKENESS, likeness)

        matching.place(self._motion.observed_reach)
        matching.round(everybody, is_high, _LEAST_IOU)
