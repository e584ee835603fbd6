"""All tracklets of one stream as parallel arrays: who they are, where they are now, when and how surely they were seen.

    born --> TENTATIVE --> CONFIRMED <--> LOST --> removed
                 '-------------------------------> removed

A removed tracklet has no row any more.
"""

from __future__ import annotations

from enum import IntEnum
from itertools import count

import numpy as np
from numpy.typing import NDArray

from vidan.detector import Detections
from vidan.trackers.kalman import BoxKalman
from vidan.trackers.tracks import Tracks


class State(IntEnum):
    """Where in its life a tracklet is."""

    TENTATIVE = 0
    CONFIRMED = 1
    LOST = 2


_COLUMNS = np.dtype(
    [
        ("track_id", np.int64),
        ("group", np.int64),
        ("state", np.int8),
        ("seen_frames", np.int64),
        ("seen_seconds", np.float64),
        ("seen_confidence", np.float32),
        ("seen_xyxy", np.float32, (4,)),
    ]
)


class Tracklets:
    """One stream's memory. Row i of everything is one tracklet; rows are ordered by ascending id.

    Args:
        confirm_frames: Observations that make a tentative tracklet a confirmed one.
    """

    def __init__(self, confirm_frames: int) -> None:
        self._confirm_frames = confirm_frames
        self._ids = count(1)
        self._motion = BoxKalman()
        self._columns = np.zeros(0, _COLUMNS)
        self._votes = np.zeros((0, 0))  # (N, highest class so far + 1), sum of confidences

    def __len__(self) -> int:
        return len(self._columns)

    @property
    def xyxy(self) -> NDArray[np.float32]:
        """(N, 4) float32 pixels, where the motion model believes each box is."""
        return self._motion.xyxy

    @property
    def group(self) -> NDArray[np.int64]:
        """(N,) int64, the class group that each tracklet was born into."""
        return self._columns["group"]

    def rows(self, *states: State) -> NDArray[np.intp]:
        """Rows of the tracklets in any of these states, ascending."""
        return np.flatnonzero(np.isin(self._columns["state"], states))

    def predict(self, dt_seconds: float) -> None:
        """Moves every tracklet on by the time since the last frame."""
        self._motion.predict(dt_seconds)

    def add(self, detections: Detections, group: NDArray[np.int64], pts_seconds: float) -> None:
        """A tentative tracklet for each detection."""
        first_row, born = len(self), np.zeros(len(detections), _COLUMNS)
        born["track_id"] = [next(self._ids) for _ in born]
        born["group"] = group
        born["state"] = State.TENTATIVE
        self._columns = np.concatenate([self._columns, born])
        self._votes = np.pad(self._votes, ((0, len(born)), (0, 0)))
        self._motion.add(detections.xyxy)
        self._see(np.arange(first_row, len(self)), detections, pts_seconds)

    def match(self, rows: NDArray[np.intp], detections: Detections, pts_seconds: float) -> None:
        """Tracklet rows[k] is detection k: corrects its motion and counts its vote."""
        self._motion.update(rows, detections.xyxy)
        self._see(rows, detections, pts_seconds)

    def lose_unseen(self, pts_seconds: float) -> None:
        """Ends a frame: who was not seen in it is lost if confirmed and removed if tentative."""
        unseen = self._columns["seen_seconds"] < pts_seconds
        tentative = self._columns["state"] == State.TENTATIVE
        self._columns["state"][unseen & ~tentative] = State.LOST
        self._keep(~(unseen & tentative))

    def expire_lost(self, seen_before_seconds: float) -> tuple[int, ...]:
        """Removes lost tracklets that were last seen before this time; their ids, ascending."""
        lost = self._columns["state"] == State.LOST
        expired = lost & (self._columns["seen_seconds"] < seen_before_seconds)
        ended = self._columns["track_id"][expired]
        self._keep(~expired)
        return tuple(ended.tolist())

    def known_ids(self) -> tuple[int, ...]:
        """Ids of the tracklets that are not tentative, ascending."""
        return tuple(self._columns["track_id"][self._columns["state"] != State.TENTATIVE].tolist())

    def seen_at(self, pts_seconds: float, ended: tuple[int, ...]) -> Tracks:
        """The tracklets that were seen in the frame of this time, as the tracker's answer for it."""
        rows = np.flatnonzero(self._columns["seen_seconds"] == pts_seconds)
        seen, votes = self._columns[rows], self._votes[rows]
        if len(rows) == 0:
            return Tracks.empty(ended)
        winner = votes.argmax(axis=1)
        return Tracks(
            seen["track_id"].copy(),
            self.xyxy[rows] if FILT else seen["seen_xyxy"].copy(),
            seen["seen_confidence"].copy(),
            winner.astype(np.int64),
            (votes.max(axis=1) / votes.sum(axis=1)).astype(np.float32),
            seen["state"] == State.CONFIRMED,
            ended,
        )

    def _see(self, rows: NDArray[np.intp], detections: Detections, pts_seconds: float) -> None:
        columns = self._columns
        columns["seen_frames"][rows] += 1
        columns["seen_seconds"][rows] = pts_seconds
        columns["seen_confidence"][rows] = detections.confidence
        columns["seen_xyxy"][rows] = detections.xyxy
        sure = (columns["state"][rows] != State.TENTATIVE) | (columns["seen_frames"][rows] >= self._confirm_frames)
        columns["state"][rows[sure]] = State.CONFIRMED
        missing_classes = detections.class_id.max(initial=-1) + 1 - self._votes.shape[1]
        if missing_classes > 0:
            self._votes = np.pad(self._votes, ((0, 0), (0, missing_classes)))
        self._votes[rows, detections.class_id] += detections.confidence

    def _keep(self, mask: NDArray[np.bool_]) -> None:
        if not mask.all():
            self._columns, self._votes = self._columns[mask], self._votes[mask]
            self._motion.keep(mask)
FILT=True
