"""All tracklets of one stream as parallel arrays: who they are, where they are now, when they were seen, and as what.

    born --> TENTATIVE --> CONFIRMED <--> LOST --> removed
                 '-------------------------------> removed

A removed tracklet has no row any more. A tracker asks where everybody should be (`advance`), decides which detection is
whom, and says so once (`see`); nothing here loops over tracklets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidan.detector import Detections
from vidan.trackers.kalman import BoxKalman
from vidan.trackers.tracks import Tracks

TENTATIVE, CONFIRMED, LOST = 0, 1, 2  # where in its life a tracklet is; an enum's members take microseconds to read

_STEADINESS = np.float32(0.9)  # of an embedding, from one sighting to the next
_TINY = np.float32(1e-12)
_SIMULTANEOUS = 1e-6  # seconds: frames closer than this are the same moment, as far as limits are concerned


class ClassGroups:
    """Which classes may swap within a tracklet.

    Args:
        groups: Group of a class id, from 0. A class that is not named is a group of its own, below 0.

    Raises:
        ValueError: If a group is negative.
    """

    def __init__(self, groups: Mapping[int, int] | None) -> None:
        self._named = dict(groups or {})
        if any(group < 0 for group in self._named.values()):
            raise ValueError(f"class groups are numbered from 0, got {self._named}")
        self._group_of_class = np.zeros(0, np.int64)

    def of(self, class_id: NDArray[np.int64]) -> NDArray[np.int64]:
        """(N,) int64 groups of (N,) classes."""
        try:
            return self._group_of_class.take(class_id)
        except IndexError:  # a class that was not met before
            classes = range(int(class_id.max()) + 1)
            self._group_of_class = np.array([self._named.get(label, -1 - label) for label in classes], np.int64)
            return self._group_of_class.take(class_id)


class Tracklets:
    """One stream's memory. Row i of everything is one tracklet; rows are ordered by ascending id.

    Args:
        motion: The filter, empty.
        confirm_frames: Sightings that turn a tentative tracklet into a confirmed one, the first one included.
        confirm_seconds: Two sightings that lie this far apart confirm it too.
        lost_after_seconds: How long after its last sighting a tracklet is given up.

    Attributes:
        motion: Of all rows.
        track_id: (N,) int64.
        group: (N,) int64, the class group that each tracklet was born into and never leaves.
        state: (N,) int64, TENTATIVE, CONFIRMED or LOST.
        seen_seconds: (N,) when each was last seen.
        embedding: (N, E) float32, what each looks like by and large, as unit vectors; zeros if nobody has looked, and
            E is 0 until somebody does.
        now_seconds: Time of the current frame, minus infinity before the first.
        step_seconds: From the last frame to the current one.
    """

    def __init__(
        self, *, motion: BoxKalman, confirm_frames: int, confirm_seconds: float, lost_after_seconds: float
    ) -> None:
        if confirm_frames < 1:
            raise ValueError(f"confirm_frames must be at least 1, got {confirm_frames}")
        if not confirm_seconds > 0:
            raise ValueError(f"confirm_seconds must be above 0, got {confirm_seconds}")
        if not lost_after_seconds >= 0:
            raise ValueError(f"lost_after_seconds must not be negative, got {lost_after_seconds}")
        self._confirm_frames = confirm_frames
        self._confirm_seconds = confirm_seconds
        self._lost_after_seconds = lost_after_seconds
        self.motion = motion
        self.now_seconds = -np.inf
        self.step_seconds = 0.0
        self._set_rows(np.zeros((5, 0), np.int64), np.zeros((2, 0)))
        self.embedding = np.zeros((0, 0), np.float32)
        self._votes = np.zeros((0, 1))  # (N, highest class so far + 1), sums of confidences
        self._next_id = 1
        self._frame = 0

    def __len__(self) -> int:
        return len(self.track_id)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy has views of its own arrays."""
        self.__dict__.update(state)
        self._set_rows(self._numbers, self._reals)

    @property
    def known_ids(self) -> tuple[int, ...]:
        """Ids of the confirmed and lost tracklets, ascending."""
        return tuple(self.track_id[self.state != TENTATIVE].tolist())

    def advance(self, pts_seconds: float) -> tuple[int, ...]:
        """Moves everybody on to the time of the next frame; ids of those that are given up for it, ascending.

        Lost tracklets are given up `lost_after_seconds` after they were seen, and confirmed ones too, when the stream
        itself made such a pause. On a slow stream its own pace is no pause.

        Raises:
            ValueError: If time does not grow.
        """
        if not pts_seconds > self.now_seconds:
            raise ValueError(f"time must grow from frame to frame: {pts_seconds} s came after {self.now_seconds} s")
        slow_pace = 2 * self.step_seconds
        if self.now_seconds > -np.inf:
            self.step_seconds = pts_seconds - self.now_seconds
        self.now_seconds = pts_seconds
        self._frame += 1
        if len(self) == 0:
            return ()
        ended: tuple[int, ...] = ()
        long_ago = pts_seconds - self._lost_after_seconds - _SIMULTANEOUS
        if self.seen_seconds.item(self.seen_seconds.argmin()) < long_ago:
            is_over = (self.seen_seconds < long_ago) & (self.state != TENTATIVE)
            if self.step_seconds <= slow_pace:
                is_over &= self.state == LOST
            ended = tuple(self.track_id[is_over].tolist())
            self._keep((~is_over).nonzero()[0])
        self.motion.predict(self.step_seconds)
        return ended

    def see(
        self,
        rows: NDArray[np.intp],
        columns: NDArray[np.intp],
        detections: Detections,
        born: NDArray[np.intp],
        group: NDArray[np.int64],
    ) -> None:
        """Takes in a frame: detection columns[k] is tracklet rows[k], those in `born` begin tracklets.

        Whoever was not seen is lost if it was confirmed, and removed if it was tentative.

        Args:
            rows: (K,) each at most once.
            columns: (K,) indices of detections.
            detections: All of the frame.
            born: (B,) indices of detections that are nobody yet.
            group: Class groups of all detections.
        """
        count, tentative = len(self), (self.state == TENTATIVE).nonzero()[0]
        if len(rows):
            self.motion.update(rows, detections.xyxy.take(columns, axis=0))
        if len(born):
            rows, columns = self._bear(rows, columns, detections, born, group)
            tentative = np.concatenate([tentative, rows[-len(born) :]])
        self._note(rows, columns, detections)
        if len(rows) - len(born) < count:
            self.state[self.seen_seconds < self.now_seconds] = LOST
        if len(tentative):
            self._judge(tentative)

    def answer(self, detections: Detections, ended: tuple[int, ...]) -> Tracks:
        """The tracker's answer for the current frame of these detections: who was seen in it, boxes filtered."""
        is_seen = self.seen_seconds == self.now_seconds
        rows = is_seen.nonzero()[0]
        votes = self._votes.take(rows, axis=0)
        share = votes.max(axis=1)
        share /= votes.sum(axis=1)
        return Tracks(
            track_id=self.track_id.take(rows),
            xyxy=self.motion.xyxy(rows),
            confidence=detections.confidence.take(self._detection.take(rows)),
            class_id=votes.argmax(axis=1),
            class_share=share.astype(np.float32),
            confirmed=self.state.take(rows) == CONFIRMED,
            observed=is_seen.take(rows),
            ended=ended,
        )

    def _note(self, rows: NDArray[np.intp], columns: NDArray[np.intp], detections: Detections) -> None:
        """Keeps what a sighting says besides the place."""
        confidence, class_id = detections.confidence.take(columns), detections.class_id.take(columns)
        self.seen_seconds[rows] = self.now_seconds
        self.state[rows] = CONFIRMED
        self._detection[rows] = columns
        try:
            self._votes[rows, class_id] += confidence
        except IndexError:  # a class that was not met before
            self._votes = np.pad(self._votes, ((0, 0), (0, int(class_id.max()) + 1 - self._votes.shape[1])))
            self._votes[rows, class_id] += confidence
        if detections.embedding is not None:
            self._look(rows, detections.embedding.take(columns, axis=0))

    def _judge(self, rows: NDArray[np.intp]) -> None:
        """Whether these, tentative so far, still are, or are gone. They were seen in every frame of their lives."""
        is_unsure = self._born_frame.take(rows) > self._frame - self._confirm_frames + 1
        is_unsure &= self.now_seconds - self._born_seconds.take(rows) < self._confirm_seconds
        self.state[rows.compress(is_unsure)] = TENTATIVE
        is_gone = self.seen_seconds.take(rows) < self.now_seconds
        if np.count_nonzero(is_gone):
            stays = np.ones(len(self), np.bool_)
            stays[rows[is_gone]] = False
            self._keep(stays.nonzero()[0])

    def _look(self, rows: NDArray[np.intp], embedding: NDArray[np.float32]) -> None:
        """Mixes what is seen now into what was seen before: a moving average (BoT-SORT, section 3.3)."""
        if self.embedding.shape[1] == 0:
            self.embedding = np.zeros((len(self), embedding.shape[1]), np.float32)
        before = self.embedding.take(rows, axis=0)
        is_first = ~before.any(axis=1)
        mixed = _STEADINESS * before + (1 - _STEADINESS) * embedding
        mixed[is_first] = embedding[is_first]
        self.embedding[rows] = mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), _TINY)

    def _bear(
        self,
        rows: NDArray[np.intp],
        columns: NDArray[np.intp],
        detections: Detections,
        born: NDArray[np.intp],
        group: NDArray[np.int64],
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Makes rows of those born; rows and columns of the pairs, to which theirs were appended."""
        count, before = len(born), len(self)
        self.motion.add(detections.xyxy.take(born, axis=0))
        new_rows = np.arange(before, before + count)
        numbers, reals = np.empty((5, count), np.int64), np.empty((2, count))
        numbers[0] = new_rows + (self._next_id - before)
        numbers[1] = group.take(born)
        numbers[2:, :] = [[TENTATIVE], [self._frame], [0]]
        reals[:] = self.now_seconds
        self._set_rows(np.concatenate([self._numbers, numbers], axis=1), np.concatenate([self._reals, reals], axis=1))
        self._next_id += count
        self.embedding = np.concatenate([self.embedding, np.zeros((count, self.embedding.shape[1]), np.float32)])
        self._votes = np.concatenate([self._votes, np.zeros((count, self._votes.shape[1]))])
        return np.concatenate([rows, new_rows]), np.concatenate([columns, born])

    def _keep(self, rows: NDArray[np.intp]) -> None:
        """Forgets all but these."""
        self.motion.keep(rows)
        self._set_rows(self._numbers.take(rows, axis=1), self._reals.take(rows, axis=1))
        self.embedding = self.embedding.take(rows, axis=0)
        self._votes = self._votes.take(rows, axis=0)

    def _set_rows(self, numbers: NDArray[np.int64], reals: NDArray[np.float64]) -> None:
        """Takes over (5, N) and (2, N) as what is known of everybody, so that a birth costs two calls and not seven."""
        self._numbers, self._reals = numbers, reals
        self.track_id, self.group, self.state, self._born_frame, self._detection = numbers
        self._born_seconds, self.seen_seconds = reals
