"""All tracklets of one stream as parallel arrays: who they are, where they are now, when they were seen, and as what.

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
    ]
)


class Tracklets:
    """One stream's memory. Row i of everything is one tracklet; rows are ordered by ascending id.

    Args:
        confirm_frames: Sightings that turn a tentative tracklet into a confirmed one.
    """

    def __init__(self, confirm_frames: int) -> None:
        self._confirm_frames = confirm_frames
        self._ids = count(1)
        self._motion = BoxKalman()
        self._columns = np.zeros(0, _COLUMNS)
        self._votes = np.zeros((0, 0))  # (N, highest class so far + 1), sums of confidences

    def __len__(self) -> int:
        return len(self._columns)

    @property
    def xyxy(self) -> NDArray[np.float32]:
        """(N, 4) float32 pixels, where the motion model believes the boxes are."""
        return self._motion.xyxy

    @property
    def group(self) -> NDArray[np.int64]:
        """(N,) int64, the class group that each tracklet was born into and never leaves."""
        return self._columns["group"]

    @property
    def known_ids(self) -> tuple[int, ...]:
        """Ids of the confirmed and lost tracklets, ascending."""
        known = self._columns["state"] != State.TENTATIVE
        return tuple(self._columns["track_id"][known].tolist())

    def rows(self, *states: State) -> NDArray[np.intp]:
        """Rows of the tracklets in any of these states, ascending."""
        wanted = np.zeros(len(State), np.bool_)
        wanted[list(states)] = True
        return np.flatnonzero(wanted[self._columns["state"]])

    def predict(self, dt_seconds: float) -> None:
        """Moves every tracklet on by the time since the last frame."""
        self._motion.predict(dt_seconds)

    def add(self, detections: Detections, group: NDArray[np.int64], pts_seconds: float) -> None:
        """Begins a tracklet on each detection; `group` is (len(detections),)."""
        born = np.zeros(len(detections), _COLUMNS)
        born["track_id"] = [next(self._ids) for _ in born]
        born["group"] = group
        born["state"] = State.TENTATIVE
        self._columns = np.concatenate([self._columns, born])
        self._votes = np.concatenate([self._votes, np.zeros((len(born), self._votes.shape[1]))])
        self._motion.add(detections.xyxy)
        self._see(np.arange(len(self) - len(born), len(self)), detections, pts_seconds)

    def match(self, rows: NDArray[np.intp], detections: Detections, pts_seconds: float) -> None:
        """Detection k is tracklet rows[k]: corrects its motion, counts its vote, finds it again if it was lost."""
        self._motion.update(rows, detections.xyxy)
        self._see(rows, detections, pts_seconds)

    def lose_unseen(self, pts_seconds: float) -> None:
        """Who was not seen in the frame of this time is lost if it was confirmed, and removed if it was tentative."""
        unseen = self._columns["seen_seconds"] < pts_seconds
        tentative = self._columns["state"] == State.TENTATIVE
        self._columns["state"][unseen & ~tentative] = State.LOST
        self._keep(~(unseen & tentative))

    def expire(self, *, lost: float, seen: float) -> tuple[int, ...]:
        """Removes the lost tracklets last seen before the one time, and the confirmed ones before the other."""
        before = np.array([-np.inf, seen, lost])[self._columns["state"]]
        expired = self._columns["seen_seconds"] < before
        ended = tuple(self._columns["track_id"][expired].tolist())
        self._keep(~expired)
        return ended

    def seen_at(self, pts_seconds: float, ended: tuple[int, ...]) -> Tracks:
        """The tracker's answer for the frame of this time: who was seen in it, boxes filtered."""
        rows = np.flatnonzero(self._columns["seen_seconds"] == pts_seconds)
        if len(rows) == 0:
            return Tracks.empty(ended)
        seen, votes = self._columns[rows], self._votes[rows]
        return Tracks(
            track_id=seen["track_id"].copy(),
            xyxy=self.xyxy[rows],
            confidence=seen["seen_confidence"].copy(),
            class_id=votes.argmax(axis=1),
            class_share=(votes.max(axis=1) / votes.sum(axis=1)).astype(np.float32),
            confirmed=seen["state"] == State.CONFIRMED,
            observed=np.ones(len(rows), np.bool_),
            ended=ended,
        )

    def _see(self, rows: NDArray[np.intp], detections: Detections, pts_seconds: float) -> None:
        columns = self._columns
        columns["seen_frames"][rows] += 1
        columns["seen_seconds"][rows] = pts_seconds
        columns["seen_confidence"][rows] = detections.confidence
        columns["state"][rows[columns["seen_frames"][rows] >= self._confirm_frames]] = State.CONFIRMED
        unknown_classes = int(detections.class_id.max(initial=-1)) + 1 - self._votes.shape[1]
        if unknown_classes > 0:
            self._votes = np.pad(self._votes, ((0, 0), (0, unknown_classes)))
        self._votes[rows, detections.class_id] += detections.confidence

    def _keep(self, mask: NDArray[np.bool_]) -> None:
        self._columns, self._votes = self._columns[mask], self._votes[mask]
        self._motion.keep(mask)
