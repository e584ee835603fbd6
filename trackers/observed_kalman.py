"""A motion filter that trusts observations more than itself, as OC-SORT has it.

From Cao et al., "Observation-Centric SORT", CVPR 2023, arXiv:2203.14360, section 4. While a box is not seen, the filter
feeds on its own predictions and its error grows with the square of the time. So when it is seen again, what happened
between is done once more, from the filter as it was at the last sighting, with a straight walk from there to here as
observations (observation-centric re-update). And who moves where is asked of places where a box was seen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidan.trackers.kalman import BoxKalman
from vidan.trackers.reach import reach_of
from vidan.trackers.tracks import Affine

_PLACE, _TIME = slice(0, 2), 2  # of a milestone


class ObservedKalman(BoxKalman):
    """Filtered boxes that remember their sightings.

    Two milestones of each box tell where it moves: when `direction_seconds` have passed since the nearer one, it
    becomes the farther one, and where the box is seen by then becomes the nearer one. So a direction is that of the
    last one or two `direction_seconds`, at any frame rate.

    Args:
        direction_seconds: What a box does in less than this is chatter and no direction.
    """

    def __init__(self, direction_seconds: float) -> None:
        super().__init__()
        self._direction_seconds = direction_seconds
        self._now = 0.0
        self._frames: list[float] = []  # times of the frames since the longest unseen box was seen, without this one
        self._then = BoxKalman()  # every box as it was at its last sighting
        self._seen = np.zeros(0)
        self._observed = np.zeros((0, 4))
        self._near, self._far = np.zeros((0, 3)), np.zeros((0, 3))

    @property
    def observed_reach(self) -> NDArray[np.float32]:
        """(7, N) as `reach.py` has it, of the boxes as they were last seen."""
        return reach_of(self._observed.astype(np.float32))

    def turn(self, boxes: NDArray[np.intp], xyxy: NDArray[np.float32]) -> NDArray[np.float64]:
        """(P,) by how much, 0..pi, each box would turn if it were seen next at these (P, 4) boxes; pi / 2: no idea."""
        last = _centers(self._observed.take(boxes, axis=0))
        walked = last - self._far[:, _PLACE].take(boxes, axis=0)
        intended = _centers(xyxy.astype(np.float64)) - last
        lengths = np.hypot(walked[:, 0], walked[:, 1]) * np.hypot(intended[:, 0], intended[:, 1])
        cosine = np.divide((walked * intended).sum(axis=1), lengths, out=np.zeros(len(boxes)), where=lengths > 0)
        return np.arccos(cosine.clip(-1, 1))

    def add(self, xyxy: NDArray[np.float32]) -> None:
        before = len(self)
        super().add(xyxy)
        self._then.append(self.copy(np.arange(before, len(self))))
        self._seen = np.append(self._seen, np.full(len(xyxy), self._now))
        self._observed = np.concatenate([self._observed, xyxy])
        milestones = self._milestones(xyxy)
        self._near = np.concatenate([self._near, milestones])
        self._far = np.concatenate([self._far, milestones])

    def predict(self, dt_seconds: float) -> None:
        super().predict(dt_seconds)
        oldest = self._seen.min(initial=self._now)
        self._frames = [seconds for seconds in (*self._frames, self._now) if seconds >= oldest]
        self._now += dt_seconds

    def warp(self, motion: Affine) -> None:
        super().warp(motion)
        self._then.warp(motion)
        linear, shift = motion[:, :2], motion[:, 2]
        half = (self._observed[:, 2:] - self._observed[:, :2]) * np.sqrt(abs(np.linalg.det(linear))) / 2
        center = _centers(self._observed) @ linear.T + shift
        self._observed = np.hstack([center - half, center + half])
        for milestones in (self._near, self._far):
            milestones[:, _PLACE] = milestones[:, _PLACE] @ linear.T + shift

    def update(self, boxes: NDArray[np.intp], xyxy: NDArray[np.float32]) -> None:
        is_back = self._seen.take(boxes) < self._frames[-1]
        if np.count_nonzero(is_back):
            self._walk_again(boxes[is_back], xyxy[is_back].astype(np.float64))
        super().update(boxes, xyxy)
        self._then.put(boxes, self.copy(boxes))
        self._seen[boxes] = self._now
        self._observed[boxes] = xyxy
        is_due = self._now - self._near[:, _TIME].take(boxes) >= self._direction_seconds
        due = boxes[is_due]
        self._far[due] = self._near[due]
        self._near[due] = self._milestones(xyxy[is_due])

    def keep(self, boxes: NDArray[np.intp]) -> None:
        super().keep(boxes)
        self._then.keep(boxes)
        self._seen, self._observed = self._seen.take(boxes), self._observed.take(boxes, axis=0)
        self._near, self._far = self._near.take(boxes, axis=0), self._far.take(boxes, axis=0)

    def _walk_again(self, boxes: NDArray[np.intp], xyxy: NDArray[np.float64]) -> None:
        """Makes the predictions of boxes that were lost those of filters that saw them walk straight to `xyxy`.

        All walk at once, frame by frame; each begins at the frame in which it was last seen.
        """
        order = np.argsort(self._seen.take(boxes), kind="stable")
        boxes, goal = boxes.take(order), xyxy.take(order, axis=0)
        begun, start = self._seen.take(boxes), self._observed.take(boxes, axis=0)
        walkers, last_frame = BoxKalman(), 0.0
        for frame in self._frames:
            count = len(walkers)
            if count:
                share = (frame - begun[:count]) / (self._now - begun[:count])
                walkers.predict(frame - last_frame)
                virtual = start[:count] + share[:, None] * (goal[:count] - start[:count])
                walkers.update(np.arange(count), virtual.astype(np.float32))
            walkers.append(self._then.copy(boxes[begun == frame]))
            last_frame = frame
        walkers.predict(self._now - last_frame)
        self.put(boxes, walkers)

    def _milestones(self, xyxy: NDArray[np.float32]) -> NDArray[np.float64]:
        milestones = np.full((len(xyxy), 3), self._now)
        milestones[:, _PLACE] = _centers(xyxy)
        return milestones


def _centers(xyxy: NDArray[np.floating]) -> NDArray[np.floating]:
    """(N, 2) centres of (N, 4) boxes."""
    return (xyxy[:, :2] + xyxy[:, 2:]) / 2
