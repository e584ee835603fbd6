"""BoT-SORT: ByteTrack for a camera that moves, and for objects that can be told apart by their looks.

Written from Aharon et al., "BoT-SORT: Robust Associations Multi-Pedestrian Tracking", arXiv:2206.14651, on top of
vidan's ByteTrack, whose filter keeps width and height already, as there (section 3.1). The movement of the camera
(section 3.2) is estimated by `CameraMotion` and given to `update`. Looks (section 3.3) are asked where detections come
with embeddings; without them this is ByteTrack.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidan.detector import Detections
from vidan.trackers.bytetrack import ByteTracker
from vidan.trackers.matching import Matching

# The authors' thresholds: looks count only between those who look alike and stand near each other.
_FARTHEST_LOOKS = 0.25  # cosine distance
_LEAST_SIMILARITY = 0.5


class BotSortTracker(ByteTracker):
    """One stream's tracker; arguments and the life of a tracklet are described at `OnlineTracker`."""

    def _likeness(self, matching: Matching, detections: Detections) -> NDArray[np.float32]:
        """The better of two opinions: that of the boxes, and that of the looks."""
        likeness = super()._likeness(matching, detections)
        known = self._tracklets.embedding
        if detections.embedding is None or known.shape[1] == 0:
            return likeness
        seen = detections.embedding.take(matching.columns, axis=0)
        distance = 1 - (known.take(matching.rows, axis=0) * seen).sum(axis=1)
        is_trusted = (distance < _FARTHEST_LOOKS) & (matching.similarity > _LEAST_SIMILARITY)
        return np.where(is_trusted, np.maximum(likeness, 1 - distance / 2), likeness)
