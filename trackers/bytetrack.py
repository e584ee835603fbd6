"""ByteTrack: every detection is worth associating, the unsure ones too.

Written from Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV 2022,
arXiv:2110.06864. Where the paper counts frames this counts seconds, and boxes of different class groups never meet.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vidan.detector import Detections
from vidan.trackers.association import assign, gate_groups, iou_cost
from vidan.trackers.tracklets import State, Tracklets
from vidan.trackers.tracks import Tracks

# Highest cost of a pair in each round, the authors' values. The first and the tentative round fuse the confidence in,
# which lifts all costs: a perfect fit at confidence 0.5 costs 0.5.
_HIGH_LIMIT = 0.8
_LOW_LIMIT = 0.5
_TENTATIVE_LIMIT = 0.7


class ByteTracker:
    """One stream's tracker.

    A tracklet starts tentative, on a detection that nobody claims. It is confirmed by `confirm_frames` consecutive
    sightings, and one miss before that removes it without a trace. A confirmed one that is not seen is lost; its motion
    goes on being predicted, and it may be found again until `lost_after_seconds` have passed since it was last seen.

    Boxes of the answers are those of the motion filter after it saw the detection, which chatter less than detections.

    Args:
        high_confidence: Detections of at least this take part in the first round and may begin tracklets.
        low_confidence: Detections from here to `high_confidence` only continue tracklets that were seen just now.
        new_confidence: A tracklet begins only on a detection of at least this and of `high_confidence`.
        confirm_frames: Sightings, the first included, that confirm a tracklet.
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
        confirm_frames: int = 2,
        lost_after_seconds: float = 1.0,
        class_groups: Mapping[int, int] | None = None,
    ) -> None:
        if not 0 <= low_confidence <= high_confidence <= 1 or high_confidence == 0 or not 0 <= new_confidence <= 1:
            raise ValueError(
                "confidences must satisfy 0 <= low <= high <= 1, 0 < high and 0 <= new <= 1; "
                f"got low {low_confidence}, high {high_confidence}, new {new_confidence}"
            )
        if confirm_frames < 1:
            raise ValueError(f"confirm_frames must be at least 1, got {confirm_frames}")
        if not lost_after_seconds >= 0:
            raise ValueError(f"lost_after_seconds must not be negative, got {lost_after_seconds}")
        self._class_groups = dict(class_groups or {})
        if any(group < 0 for group in self._class_groups.values()):
            raise ValueError(f"class groups are numbered from 0, got {self._class_groups}")
        self._high_confidence = high_confidence
        self._low_confidence = low_confidence
        self._new_confidence = new_confidence
        self._confirm_frames = confirm_frames
        self._lost_after_seconds = lost_after_seconds
        self.reset()

    def update(self, detections: Detections, pts_seconds: float, image: NDArray[np.uint8] | None = None) -> Tracks:
        """The tracklets seen in this frame; see `Tracker.update`. The image is not looked at.

        Raises:
            ValueError: If time does not grow.
        """
        tracklets = self._tracklets
        patience = max(self._lost_after_seconds, 2 * self._step_seconds)  # a slow stream's own pace is no gap
        self._advance_to(pts_seconds)
        ended = tracklets.expire(lost=pts_seconds - self._lost_after_seconds, seen=pts_seconds - patience)
        confidence = detections.confidence
        high = detections[confidence >= self._high_confidence]
        low = detections[(confidence >= self._low_confidence) & (confidence < self._high_confidence)]

        known = tracklets.rows(State.CONFIRMED, State.LOST)
        unseen, high = self._associate(known, high, _HIGH_LIMIT, fuse_confidence=True)
        unseen = np.intersect1d(unseen, tracklets.rows(State.CONFIRMED))
        self._associate(unseen, low, _LOW_LIMIT)
        tentative = tracklets.rows(State.TENTATIVE)
        _, high = self._associate(tentative, high, _TENTATIVE_LIMIT, fuse_confidence=True)

        tracklets.lose_unseen(pts_seconds)
        born = high[high.confidence >= self._new_confidence]
        tracklets.add(born, self._groups_of(born), pts_seconds)
        return tracklets.seen_at(pts_seconds, ended)

    def finish(self) -> tuple[int, ...]:
        """Ids of the confirmed tracklets that were still alive, lost ones included; see `Tracker.finish`."""
        return self._tracklets.known_ids

    def reset(self) -> None:
        """Forgets everything; ids start from 1 again, and so may time."""
        self._tracklets = Tracklets(self._confirm_frames)
        self._now_seconds = -np.inf
        self._step_seconds = 0.0

    def _advance_to(self, pts_seconds: float) -> None:
        if not pts_seconds > self._now_seconds:
            raise ValueError(f"time must grow from frame to frame: {pts_seconds} s came after {self._now_seconds} s")
        if np.isfinite(self._now_seconds):
            self._step_seconds = pts_seconds - self._now_seconds
        if len(self._tracklets):
            self._tracklets.predict(self._step_seconds)
        self._now_seconds = pts_seconds

    def _associate(
        self, rows: NDArray[np.intp], detections: Detections, limit: float, *, fuse_confidence: bool = False
    ) -> tuple[NDArray[np.intp], Detections]:
        """One round: matches tracklets with detections, and gives back the rows and the detections left over."""
        tracklets = self._tracklets
        cost = iou_cost(tracklets.xyxy[rows], detections.xyxy, detections.confidence if fuse_confidence else None)
        cost = gate_groups(cost, tracklets.group[rows], self._groups_of(detections))
        pairs = assign(cost, limit)
        tracklets.match(rows[pairs.rows], detections[pairs.columns], self._now_seconds)
        return rows[pairs.free_rows], detections[pairs.free_columns]

    def _groups_of(self, detections: Detections) -> NDArray[np.int64]:
        """(N,) int64 groups: the configured ones from 0, a class of its own below 0."""
        return np.array([self._class_groups.get(c, -1 - c) for c in detections.class_id.tolist()], np.int64)
