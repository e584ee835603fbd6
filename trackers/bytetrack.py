"""ByteTrack: every detection box is worth associating, the unsure ones too.

Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV 2022, arXiv:2110.06864. Written
from the paper; where it counts frames, this counts seconds.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vidan.detector import Detections
from vidan.trackers.association import assign, gate_groups, iou_cost
from vidan.trackers.tracklets import State, Tracklets
from vidan.trackers.tracks import Tracks

# Highest cost (1 - similarity) of a pair in each round of association, from the authors' settings.
_HIGH_LIMIT = 0.8
_LOW_LIMIT = 0.5
_TENTATIVE_LIMIT = 0.7


class ByteTracker:
    def __init__(
        self,
        *,
        high_confidence: float = 0.5,
        low_confidence: float = 0.1,
        new_confidence: float = 0.6,
        confirm_frames: int = 2,
        lost_after_seconds: float = 1.0,
        class_groups: Mapping[int, int] | None = None,
    ) -> None:
        self._high_confidence = high_confidence
        self._low_confidence = low_confidence
        self._new_confidence = new_confidence
        self._confirm_frames = confirm_frames
        self._lost_after_seconds = lost_after_seconds
        self._class_groups = dict(class_groups or {})
        self.reset()

    def update(
        self, detections: Detections, pts_seconds: float, image: NDArray[np.uint8] | None = None
    ) -> Tracks:
        tracklets = self._tracklets
        self._advance_to(pts_seconds)
        ended = tracklets.expire_lost(pts_seconds - self._lost_after_seconds)
        high = detections[detections.confidence >= self._high_confidence]
        low = detections[
            (detections.confidence >= self._low_confidence) & (detections.confidence < self._high_confidence)
        ]

        unseen, high = self._associate(tracklets.rows(State.CONFIRMED, State.LOST), high, _HIGH_LIMIT, fuse=True)
        self._associate(np.intersect1d(unseen, tracklets.rows(State.CONFIRMED)), low, _LOW_LIMIT, fuse=False)
        _, high = self._associate(tracklets.rows(State.TENTATIVE), high, _TENTATIVE_LIMIT, fuse=True)

        tracklets.lose_unseen(pts_seconds)
        born = high[high.confidence >= self._new_confidence]
        tracklets.add(born, self._groups_of(born), pts_seconds)
        return tracklets.seen_at(pts_seconds, ended)

    def finish(self):
        ended = self._tracklets.known_ids()
        self._tracklets = Tracklets(self._confirm_frames)
        return ended

    def reset(self):
        self._tracklets = Tracklets(self._confirm_frames)
        self._now_seconds = None

    def _advance_to(self, pts):
        if self._now_seconds is not None:
            self._tracklets.predict(pts - self._now_seconds)
        self._now_seconds = pts

    def _groups_of(self, d):
        return np.array([self._class_groups.get(c, -1 - c) for c in d.class_id.tolist()], np.int64)

    def _associate(self, rows, detections, limit, fuse):
        tracklets = self._tracklets
        cost = iou_cost(tracklets.xyxy[rows], detections.xyxy, detections.confidence if fuse else None)
        cost = gate_groups(cost, tracklets.group[rows], self._groups_of(detections))
        a = assign(cost, limit)
        tracklets.match(rows[a.rows], detections[a.columns], self._now_seconds)
        return rows[a.free_rows], detections[a.free_columns]
