"""BoT-SORT: ByteTrack for a camera that moves.

Written from Aharon et al., "BoT-SORT: Robust Associations Multi-Pedestrian Tracking", arXiv:2206.14651, on top of
vidan's ByteTrack, whose filter keeps width and height already, as there (section 3.1). The movement of the camera
(section 3.2) is estimated by `CameraMotion` and given to `update`.
"""

from __future__ import annotations

from vidan.trackers.bytetrack import ByteTracker


class BotSortTracker(ByteTracker):
    """One stream's tracker; arguments and the life of a tracklet are described at `OnlineTracker`."""
