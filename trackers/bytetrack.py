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

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vidan.detector import Detections
from vidan.trackers.matching import Matching
from vidan.trackers.tracklets import TENTATIVE, ClassGroups, Tracklets
from vidan.trackers.tracks import Tracks, check_detections

# What a pair must be more similar than in each round; 1 less the authors' highest costs. In the first and the tentative
# round the confidence is multiplied in: a perfect fit at confidence 0.5 is worth 0.5.
_HIGH = 0.2
_LOW = 0.5
_GROWN = 0.3
_TENTATIVE = 0.2


class ByteTracker:
    """One stream's tracker.

    A tracklet starts tentative, on a detection that nobody claims. It is confirmed by `confirm_frames` consecutive
    sightings, or, on slow cameras, by two that are `confirm_seconds` apart; one miss before that removes it without a
    trace. A confirmed one that is not seen is lost; its motion goes on being predicted, and it may be found again until
    `lost_after_seconds` have passed since it was last seen.

    Boxes of the answers are those of the motion filter after it saw the detection, which chatter less than detections.

    Args:
        high_confidence: Detections of at least this take part in the first round and may begin tracklets.
        low_confidence: Detections from here to `high_confidence` only continue tracklets.
        new_confidence: A tracklet begins only on a detection of at least this and of `high_confidence`.
        confirm_frames: Sightings, the first included, that confirm a tracklet.
        confirm_seconds: Time between two sightings that confirms a tracklet.
        lost_after_seconds: How long a lost tracklet is remembered.
        class_groups: Group of a class id, from 0; classes of one group may swap within a tracklet. A class that is not
            named is a group of its own.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        *,
        high_confidence: float = 0.3,
        low_confidence: float = 0.1,
        new_confidence: float = 0.4,
        confirm_frames: int = 3,
        confirm_seconds: float = 0.15,
        lost_after_seconds: float = 2.5,
        class_groups: Mapping[int, int] | None = None,
    ) -> None:
        if not 0 <= low_confidence <= high_confidence <= 1 or high_confidence == 0 or not 0 <= new_confidence <= 1:
            raise ValueError(
                "confidences must satisfy 0 <= low <= high <= 1, 0 < high and 0 <= new <= 1; "
                f"got low {low_confidence}, high {high_confidence}, new {new_confidence}"
            )
        self._high_confidence = high_confidence
        self._low_confidence = low_confidence
        self._new_confidence = new_confidence
        self._confirm_seconds = confirm_seconds
        self._groups = ClassGroups(class_groups)
        self._make_tracklets = lambda: Tracklets(
            confirm_frames=confirm_frames, confirm_seconds=confirm_seconds, lost_after_seconds=lost_after_seconds
        )
        self.reset()

    def update(self, detections: Detections, pts_seconds: float, image: NDArray[np.uint8] | None = None) -> Tracks:
        """The tracklets seen in this frame; see `Tracker.update`. The image is not looked at.

        Raises:
            ValueError: If time does not grow, or a detection is no box.
        """
        check_detections(detections)
        tracklets = self._tracklets
        ended = tracklets.advance(pts_seconds)
        group = self._groups.of(detections.class_id)
        matching = Matching(tracklets, detections, group)
        confidence = detections.confidence
        is_high = confidence >= self._high_confidence
        is_low = confidence >= self._low_confidence
        is_low &= ~is_high
        is_tentative = tracklets.state == TENTATIVE

        matching.round(~is_tentative, is_high, _HIGH, fuse_confidence=True)
        matching.round(~is_tentative, is_low, _LOW)
        matching.grown_round(~is_tentative, is_high, _GROWN)
        matching.round(is_tentative, is_high, _TENTATIVE, fuse_confidence=True)
        if tracklets.step_seconds >= self._confirm_seconds:  # a slow camera, where one step may leave the box
            matching.grown_round(is_tentative, is_high, _GROWN)

        born = matching.free(is_high & (confidence >= self._new_confidence))
        tracklets.see(*matching.pairs, detections, born, group)
        return tracklets.answer(ended)

    def finish(self) -> tuple[int, ...]:
        """Ids of the confirmed tracklets that were still alive, lost ones included; see `Tracker.finish`."""
        return self._tracklets.known_ids

    def reset(self) -> None:
        """Forgets everything; ids start from 1 again, and so may time."""
        self._tracklets = self._make_tracklets()
