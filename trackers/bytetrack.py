"""ByteTrack: every detection is worth associating, the unsure ones too.

Written from Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV 2022,
arXiv:2110.06864, with four changes:

- Where the paper counts frames this counts seconds, and boxes of different class groups never meet.
- IoU is multiplied with the IoU of the heights, as in Hybrid-SORT (Yang et al., AAAI 2024, arXiv:2308.00783): of two
  people who overlap, the one of the right height is the right one.
- Lost tracklets may be found by unsure detections, too.
- Who is left over after both rounds is looked for once more with grown boxes, as in C-BIoU (Yang et al., WACV 2023,
  arXiv:2211.14317). A box grows with what the motion filter does not know: little for a steady walker, much for a new
  one, a lost one, or on a camera of few frames per second, whose objects leave their boxes from frame to frame.
"""

from __future__ import annotations

from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from vidan.detector import Detections
from vidan.trackers.matching import Matching
from vidan.trackers.online import OnlineTracker, Settings

# What a pair must be more similar than in each round; 1 less the authors' highest costs. In the first and the tentative
# round the confidence is multiplied in: a perfect fit at confidence 0.5 is worth 0.5.
_HIGH = np.array(0.2, np.float32)
_LOW = np.array(0.5, np.float32)
_GROWN = np.array(0.3, np.float32)
_TENTATIVE = np.array(0.2, np.float32)


class ByteTracker(OnlineTracker):
    """One stream's tracker; the life of a tracklet is described at `OnlineTracker`.

    Args:
        low_confidence: Detections from here to `high_confidence` only continue tracklets.
        settings: Those of every tracker; see `OnlineTracker`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(self, *, low_confidence: float = 0.1, **settings: Unpack[Settings]) -> None:
        super().__init__(**settings)
        self._low_confidence = np.array(low_confidence, np.float32)
        if not 0 <= self._low_confidence <= self._high_confidence:
            raise ValueError(
                f"confidences must satisfy 0 <= low <= high; got low {low_confidence}, high {self._high_confidence}"
            )

    def _associate(self, matching: Matching, detections: Detections, is_high: NDArray[np.bool_]) -> None:
        tracklets = self._tracklets
        is_low = ~is_high
        if np.count_nonzero(is_low):
            is_low &= detections.confidence >= self._low_confidence
        is_tentative = tracklets.is_tentative
        is_known = ~is_tentative
        likeness = self._likeness(matching, detections)

        find_known(matching, is_known, is_high, is_low, likeness)
        matching.round(is_tentative, is_high, _TENTATIVE, likeness)
        if tracklets.step_seconds >= self._confirm_seconds:  # a slow camera, where one step may leave the box
            matching.grown_round(is_tentative, is_high, _GROWN)

    def _likeness(self, matching: Matching, detections: Detections) -> NDArray[np.float32]:
        """(P,) how similar the near pairs are in the rounds of the sure detections."""
        return matching.similarity * detections.confidence[matching.columns]


def find_known(
    matching: Matching,
    is_known: NDArray[np.bool_],
    is_high: NDArray[np.bool_],
    is_low: NDArray[np.bool_],
    likeness: NDArray[np.float32],
) -> None:
    """The rounds of the tracklets that are known.

    Args:
        matching: Of the frame.
        is_known: (N,) the tracklets that look; who is found is struck off.
        is_high: (M,) the sure detections; who is found is struck off.
        is_low: (M,) the unsure ones; who is found is struck off.
        likeness: (P,) how similar the near pairs are in the round of the sure ones.
    """
    matching.round(is_known, is_high, _HIGH, likeness)
    matching.round(is_known, is_low, _LOW)
    matching.grown_round(is_known, is_high, _GROWN)
