"""All tracklets of one stream as parallel arrays: who they are, where they are now, when they were seen, and as what.

    born --> tentative --> confirmed <--> lost --> removed
                 '-------------------------------> removed

Who is not tentative is known: confirmed while it is seen, lost while it is not. A removed tracklet has no row any more.
A tracker asks where everybody should be (`advance`), decides which detection is whom, and says so once (`see`); nothing
here loops over tracklets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidan.detector import Detections
from vidan.trackers.kalman import BoxKalman
from vidan.trackers.tracks import Tracks

_STEADINESS = np.float32(0.9)  # of an embedding, from one sighting to the next
_TINY = np.float32(1e-12)
_SIMULTANEOUS = 1e-6  # seconds: frames closer than this are the same moment, as far as limits are concerned


class ClassGroups:
    """Which classes may swap within a tracklet.

    Args:
        groups: Group of a class id, from 0. A class that is not named is a group of its own, below 0.

    Attributes:
        is_one: Whether all classes up to the highest that was met are of one group.

    Raises:
        ValueError: If a group is negative.
    """

    def __init__(self, groups: Mapping[int, int] | None) -> None:
        self._named = dict(groups or {})
        if any(group < 0 for group in self._named.values()):
            raise ValueError(f"class groups are numbered from 0, got {self._named}")
        self._group_of_class = np.zeros(0, np.int64)
        self.is_one = True

    def of(self, class_id: NDArray[np.int64]) -> NDArray[np.int64]:
        """(N,) int64 groups of (N,) classes."""
        try:
            return self._group_of_class.take(class_id)
        except IndexError:  # a class that was not met before
            classes = range(int(class_id.max()) + 1)
            self._group_of_class = np.array([self._named.get(label, -1 - label) for label in classes], np.int64)
            self.is_one = len(set(self._group_of_class.tolist())) == 1
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
        self._set_rows(np.zeros((4, 0), np.int64), np.zeros((3, 0)))
        self.embedding = np.zeros((0, 0), np.float32)
        # (N, highest class so far + 1) sums of confidences, whose own sums are `_voted`. Until a class above 0 is met
        # these say it all, and there are no columns here.
        self._votes = np.zeros((0, 0))
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
        return tuple(self.track_id[~self.is_tentative].tolist())

    @property
    def is_tentative(self) -> NDArray[np.bool_]:
        """(N,) bool, a copy."""
        return self._tentative.astype(np.bool_)

    def advance(self, pts_seconds: float) -> tuple[int, ...]:
        """Moves everybody on to the time of the next frame; ids of those that are given up for it, ascending.

        Lost tracklets are given up `lost_after_seconds` after they were seen, and confirmed ones too, when the stream
        itself made such a pause. On a slow stream its own pace is no pause.

        Raises:
            ValueError: If time does not grow.
        """
        if not pts_seconds > self.now_seconds:
            raise ValueError(f"time must grow from frame to frame: {pts_seconds} s came after {self.now_seconds} s")
        slow_pace, before = 2 * self.step_seconds, self.now_seconds
        if before > -np.inf:
            self.step_seconds = pts_seconds - before
        self.now_seconds = pts_seconds
        self._frame += 1
        if len(self) == 0:
            return ()
        ended: tuple[int, ...] = ()
        long_ago = pts_seconds - self._lost_after_seconds - _SIMULTANEOUS
        if self.seen_seconds.item(self.seen_seconds.argmin()) < long_ago:
            is_over = (self.seen_seconds < long_ago) & ~self.is_tentative
            if self.step_seconds <= slow_pace:
                is_over &= self.seen_seconds < before
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
        ended: tuple[int, ...] = (),
    ) -> Tracks:
        """Takes in a frame: detection columns[k] is tracklet rows[k], those in `born` begin tracklets.

        Whoever was not seen is lost if it was confirmed, and removed if it was tentative.

        Args:
            rows: (K,) each at most once.
            columns: (K,) indices of detections.
            detections: All of the frame.
            born: (B,) indices of detections that are nobody yet.
            group: Class groups of all detections.
            ended: What the answer has to say of those that were given up.

        Returns:
            Who was seen in this frame, boxes filtered: those of `rows` in their order, then those born.
        """
        tentative = self._tentative.nonzero()[0]
        if len(rows):
            self.motion.update(rows, detections.xyxy.take(columns, axis=0))
        if len(born):
            rows, columns = self._bear(rows, columns, detections, born, group)
            tentative = np.concatenate([tentative, rows[-len(born) :]])
        self.seen_seconds[rows] = self.now_seconds
        if len(tentative):
            self._judge(tentative)
        if detections.embedding is not None:
            self._look(rows, detections.embedding.take(columns, axis=0))
        confidence = detections.confidence[columns]
        class_id, class_share = self._vote(rows, detections.class_id[columns], confidence)
        tracks = Tracks(
            track_id=self.track_id[rows],
            xyxy=self.motion.xyxy(rows),
            confidence=confidence,
            class_id=class_id,
            class_share=class_share,
            confirmed=~self._tentative[rows].astype(np.bool_),
            observed=~np.zeros(len(rows), np.bool_),  # half of what `ones` costs
            ended=ended,
        )
        if len(tentative):
            self._forget_unseen(tentative)
        return tracks

    def _vote(
        self, rows: NDArray[np.intp], class_id: NDArray[np.int64], confidence: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Counts (K,) votes; the (K,) classes that are ahead after them, and (K,) their shares."""
        if len(rows) == 0:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        newest, classes = class_id.item(class_id.argmax()), self._votes.shape[1]
        if newest >= max(classes, 1):
            votes = self._votes if classes else self._voted[:, None]
            self._votes = np.pad(votes, ((0, 0), (0, newest + 1 - votes.shape[1])))
            classes = newest + 1
        self._voted[rows] += confidence
        if classes == 0:
            share = np.empty(len(rows), np.float32)
            share.fill(1)
            return class_id, share
        votes, first = self._votes.reshape(-1), rows * classes  # in one row, where NumPy finds places sooner
        votes[first + class_id] += confidence
        ahead = self._votes.take(rows, axis=0).argmax(axis=1)
        share = votes[first + ahead] / self._voted[rows]
        return ahead, share.astype(np.float32)

    def _forget_unseen(self, rows: NDArray[np.intp]) -> None:
        """Those of these who were not seen in this frame are gone."""
        is_gone = self.seen_seconds[rows] < self.now_seconds
        if np.count_nonzero(is_gone):
            stays = np.ones(len(self), np.bool_)
            stays[rows[is_gone]] = False
            self._keep(stays.nonzero()[0])

    def _judge(self, rows: NDArray[np.intp]) -> None:
        """Whether these, tentative so far, still are. They were seen in every frame of their lives, or are gone now."""
        is_unsure = self._born_frame[rows] > self._frame - self._confirm_frames + 1
        is_unsure &= self.now_seconds - self._born_seconds[rows] < self._confirm_seconds
        self._tentative[rows] = is_unsure

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
        numbers, reals = np.empty((4, count), np.int64), np.empty((3, count))
        numbers[0] = new_rows + (self._next_id - before)
        numbers[1] = group[born]
        numbers[2], numbers[3] = 1, self._frame
        reals[:2], reals[2] = self.now_seconds, 0
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
        """Takes over (4, N) and (3, N) as what is known of everybody, so that a birth costs two calls and not seven."""
        self._numbers, self._reals = numbers, reals
        self.track_id, self.group, self._tentative, self._born_frame = numbers
        self._born_seconds, self.seen_seconds, self._voted = reals
