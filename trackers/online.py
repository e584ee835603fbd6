"""What all online trackers are: a memory that is moved on, matched with a frame, and brought up to date."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from vidan.detector import Detections
from vidan.trackers.checks import checked_reach
from vidan.trackers.kalman import BoxKalman
from vidan.trackers.matching import Matching
from vidan.trackers.tracklets import ClassGroups, Tracklets
from vidan.trackers.tracks import Affine, Tracks


class Settings(TypedDict, total=False):
    """Arguments that every tracker has; see `OnlineTracker`."""

    high_confidence: float
    new_confidence: float
    confirm_frames: int
    confirm_seconds: float
    lost_after_seconds: float
    class_groups: Mapping[int, int] | None


class OnlineTracker(ABC):
    """One stream's tracker, except for who is whom, which `_associate` decides.

    A tracklet starts tentative, on a detection that nobody claims. It is confirmed by `confirm_frames` consecutive
    sightings, or, on slow cameras, by two that are `confirm_seconds` apart; one miss before that removes it without a
    trace. A confirmed one that is not seen is lost; its motion goes on being predicted, and it may be found again until
    `lost_after_seconds` have passed since it was last seen.

    Boxes of the answers are those of the motion filter after it saw the detection, which chatter less than detections.

    Args:
        high_confidence: Detections of at least this are associated first and may begin tracklets.
        new_confidence: A tracklet begins only on a detection of at least this and of `high_confidence`.
        confirm_frames: Sightings, the first included, that confirm a tracklet.
        confirm_seconds: Time between two sightings that confirms a tracklet.
        lost_after_seconds: How long a lost tracklet is remembered.
        class_groups: Group of a class id, from 0; classes of one group may swap within a tracklet. A class that is not
            named is a group of its own.

    Raises:
        ValueError: If an argument is out of its range.
    """

    _with_heights = True  # whether boxes must be alike in height, too; see `Matching`

    def __init__(
        self,
        *,
        high_confidence: float = 0.3,
        new_confidence: float = 0.4,
        confirm_frames: int = 3,
        confirm_seconds: float = 0.15,
        lost_after_seconds: float = 2.5,
        class_groups: Mapping[int, int] | None = None,
    ) -> None:
        if not 0 < high_confidence <= 1 or not 0 <= new_confidence <= 1:
            raise ValueError(
                "confidences must satisfy 0 < high <= 1 and 0 <= new <= 1; "
                f"got high {high_confidence}, new {new_confidence}"
            )
        self._high_confidence = np.array(high_confidence, np.float32)
        self._new_confidence = np.array(new_confidence, np.float32)
        self._confirm_seconds = confirm_seconds
        self._groups = ClassGroups(class_groups)
        self._make_tracklets = lambda: Tracklets(
            motion=self._make_motion(),
            confirm_frames=confirm_frames,
            confirm_seconds=confirm_seconds,
            lost_after_seconds=lost_after_seconds,
        )
        self.reset()

    def update(self, detections: Detections, pts_seconds: float, motion: Affine | None = None) -> Tracks:
        """The tracklets seen in this frame; see `Tracker.update`.

        Raises:
            ValueError: If time does not grow, or a detection is no box.
        """
        reach = checked_reach(detections)
        tracklets = self._tracklets
        ended = tracklets.advance(pts_seconds)
        if motion is not None:
            tracklets.motion.warp(motion)
        group = self._groups.of(detections.class_id)
        is_high = detections.confidence >= self._high_confidence
        matching = Matching(tracklets, reach, None if self._groups.is_one else group, self._with_heights)
        self._associate(matching, detections, is_high)
        born = is_high.nonzero()[0]
        if len(born):
            born = born[detections.confidence[born] >= self._new_confidence]
        rows, columns = matching.pairs
        self._claimed = (len(detections), columns, born)
        return tracklets.see(rows, columns, detections, born, group, ended)

    @property
    def unclaimed(self) -> NDArray[np.intp]:
        """(K,) detections of the last update that are nobody's; see `Tracker.unclaimed`."""
        count, seen, born = self._claimed
        is_free = np.ones(count, np.bool_)
        is_free[seen] = False
        is_free[born] = False
        return is_free.nonzero()[0]

    def finish(self) -> tuple[int, ...]:
        """Ids of the confirmed tracklets that were still alive, lost ones included; see `Tracker.finish`."""
        return self._tracklets.known_ids

    def reset(self) -> None:
        """Forgets everything; ids start from 1 again, and so may time."""
        self._tracklets = self._make_tracklets()
        nobody = np.zeros(0, np.intp)
        self._claimed = (0, nobody, nobody)  # of the last update: how many detections, whose go on, whose begin

    @abstractmethod
    def _associate(self, matching: Matching, detections: Detections, is_high: NDArray[np.bool_]) -> None:
        """Finds who is whom; the tracklets have been moved on to the time of the frame and into its picture.

        Args:
            matching: Of this frame, before any round.
            detections: All of the frame.
            is_high: (len(detections),) those of high confidence; who is found to be a tracklet is struck off.
        """

    def _make_motion(self) -> BoxKalman:
        """The motion filter, empty."""
        return BoxKalman()
