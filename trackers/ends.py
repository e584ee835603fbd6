"""How a tracklet moves where it ends or begins, and how well one goes on with another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidan.trackers.tracklets import ClassGroups
from vidan.trackers.tracks import Tracks

LOOK_SECONDS = 0.7  # of a tracklet's life that tell where it goes

# How far two ends that are joined may miss each other, in box heights, and how much more per second of the gap: a box
# trembles, and walkers change their minds while nobody sees them. The logarithms of the heights may differ likewise.
_PLACE, _PLACE_PER_SECOND = 0.15, 0.2
_SIZE, _SIZE_PER_SECOND = 0.25, 0.05
_STILL = 0.005  # seconds squared; pulls velocities that were seen for a shorter time towards rest


@dataclass(frozen=True, slots=True, eq=False)
class End:
    """One end of a tracklet, and how it moves there.

    Attributes:
        seconds: When.
        height: Of its box, in pixels, at least 1.
        centre: (2,) float64, of its box, as a line through the sightings near it has it, in pixels.
        velocity: (2,) float64, pixels per second.
        group: The class group.
    """

    seconds: float
    height: float
    centre: NDArray[np.float64]
    velocity: NDArray[np.float64]
    group: int


def misfit(end: End, start: End) -> float:
    """How badly a tracklet that starts there goes on with one that ended here: 0 perfectly, 1 just about.

    Both are carried on to the middle of the gap, each at its own velocity. What counts is how far they miss each other
    there and how much their heights differ, both against what may happen in a gap of that length.
    """
    if end.group != start.group:
        return np.inf
    gap = start.seconds - end.seconds
    missed = start.centre - end.centre - (end.velocity + start.velocity) / 2 * gap
    place = np.hypot(*missed) / np.sqrt(end.height * start.height) / (_PLACE + _PLACE_PER_SECOND * gap)
    size = np.log(start.height / end.height) / (_SIZE + _SIZE_PER_SECOND * gap)
    return float(np.hypot(place, size))


@dataclass(frozen=True, slots=True, eq=False)
class Sightings:
    """The rows of some frames, one below the other.

    Attributes:
        seconds: (N,) float64.
        track_id: (N,) int64.
        xyxy: (N, 4) float64.
        class_id: (N,) int64.
    """

    seconds: NDArray[np.float64]
    track_id: NDArray[np.int64]
    xyxy: NDArray[np.float64]
    class_id: NDArray[np.int64]

    @classmethod
    def of(cls, frames: Iterable[tuple[float, Tracks]]) -> Sightings:
        """Of frames, each with its time."""
        times, tracks = zip(*frames, strict=True)
        return cls(
            np.repeat(times, [len(rows) for rows in tracks]),
            np.concatenate([rows.track_id for rows in tracks]),
            np.concatenate([rows.xyxy for rows in tracks]).astype(np.float64),
            np.concatenate([rows.class_id for rows in tracks]),
        )

    def end(self, track_id: int, seconds: float, groups: ClassGroups) -> End:
        """The end of a tracklet at its sighting at `seconds`, its first or its last one."""
        rows = np.flatnonzero((self.track_id == track_id) & (np.abs(self.seconds - seconds) <= LOOK_SECONDS))
        time, xyxy = self.seconds[rows] - seconds, self.xyxy[rows]
        centres = (xyxy[:, :2] + xyxy[:, 2:]) / 2
        deviation = time - time.mean()
        velocity = deviation @ centres / (deviation @ deviation + _STILL * len(rows))
        at = int(np.abs(time).argmin())
        return End(
            seconds,
            max(float(xyxy[at, 3] - xyxy[at, 1]), 1.0),
            centres.mean(axis=0) - velocity * time.mean(),
            velocity,
            int(groups.of(self.class_id[rows[at : at + 1]])[0]),
        )
