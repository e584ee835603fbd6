"""Constant-velocity Kalman filter over many boxes at once, with the real time between frames.

The state of a box is centre, width and height, and their velocities. Width is kept rather than the aspect ratio of SORT
and DeepSORT (Bewley et al., arXiv:1602.00763; Wojke et al., arXiv:1703.07402), because then motion and measurement are
one linear law for each of the four coordinates. The four never mix: the 8 x 8 covariance of the textbook falls into
four 2 x 2 blocks, and an update is four scalar measurements that need no matrix inverse.

Noise grows with the size of the box, as in DeepSORT and ByteTrack, but it is a density per second and not a number per
frame: a dropped frame widens the prediction by the time that has really passed. The unit of size is the longer side,
which for a standing person is DeepSORT's height, and for a car seen from the side its length.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vidan.trackers.reach import FROM_CORNERS, SIZES, with_areas
from vidan.trackers.tracks import Affine

# Standard deviations in sizes of the box, for cx, cy, w, h. The variance of a random walk grows with time, so that its
# deviation is per root second. DeepSORT's steps per frame at 30 frames per second would be drift 0.27 and acceleration
# 1.0 for all four; the calmer values here were chosen on open pedestrian sequences of 7 to 30 frames per second, where
# they raised HOTA by 3 to 5 points.
_MEASUREMENT = 0.05  # DeepSORT's 1/20
_FIRST_POSITION = 0.1  # twice that, as there
_FIRST_VELOCITY = np.array([2.0, 2.0, 0.2, 0.2])  # per second: things move faster than they grow
_DRIFT = 0.1  # position beside its velocity, per root second: a box breathes with the detector's opinion
_ACCELERATION = np.array([0.2, 0.2, 0.02, 0.02])  # velocity, per second and root second

# Rows of the state. The densities of the two noises are those of the size when last observed: fixed in between.
_ROWS = range(7)
(
    _POSITION,
    _VELOCITY,
    _POSITION_VARIANCE,
    _COVARIANCE,
    _VELOCITY_VARIANCE,
    _DRIFT_DENSITY,
    _ACCELERATION_DENSITY,
) = _ROWS

_NOTHING = np.zeros(())
_CORNERS = np.array([[1, 0, -0.5, 0], [0, 1, 0, -0.5], [1, 0, 0.5, 0], [0, 1, 0, 0.5]])  # of cx, cy, w, h
_MEASURED = np.array([[0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5], [-1, 0, 1, 0], [0, -1, 0, 1]])  # and back
_AIMS = np.concatenate([_MEASURED, np.zeros((4, 4))])  # where an observation would have position and variance go
_REACH = FROM_CORNERS.astype(np.float64) @ _CORNERS
# What observations bring with them, per square of the size: (3, 4, 1) noise of measurement, drift and acceleration, and
# (7, 4, 1) the state of a new box, all of it but the position.
_NOISE = np.stack([np.full(4, _MEASUREMENT), np.full(4, _DRIFT), _ACCELERATION])[:, :, None] ** 2
_FIRST = np.zeros((len(_ROWS), 4, 1))
_FIRST[_POSITION_VARIANCE] = _FIRST_POSITION**2
_FIRST[_VELOCITY_VARIANCE] = _FIRST_VELOCITY[:, None] ** 2
_FIRST[_DRIFT_DENSITY:] = _NOISE[1:]


class BoxKalman:
    """Filtered boxes as parallel arrays: box i is the i-th of those added and not dropped since.

    All numbers of one kind lie side by side in memory, box after box, because most scenes are small: there a NumPy call
    costs the same whatever it computes, and what one call can do for all coordinates and kinds is not done by several.
    """

    def __init__(self) -> None:
        self._state = np.zeros((len(_ROWS), 4, 0))

    def __len__(self) -> int:
        return self._state.shape[2]

    @property
    def position(self) -> NDArray[np.float64]:
        """(N, 4) cx, cy, w, h in pixels."""
        return self._state[_POSITION].T

    @property
    def velocity(self) -> NDArray[np.float64]:
        """(N, 4) of cx, cy, w, h in pixels per second."""
        return self._state[_VELOCITY].T

    @property
    def covariance(self) -> NDArray[np.float64]:
        """(N, 4, 3) for each coordinate var(position), cov(position, velocity), var(velocity)."""
        return self._state[_POSITION_VARIANCE : _VELOCITY_VARIANCE + 1].T

    @property
    def reach(self) -> NDArray[np.float32]:
        """(7, N) as `reach.py` has it. A box that shrank unobserved is empty and overlaps nobody."""
        reach = _REACH.dot(self._state[_POSITION])
        sizes = reach[SIZES]
        np.maximum(sizes, _NOTHING, out=sizes)
        return with_areas(reach).astype(np.float32)

    def xyxy(self, boxes: NDArray[np.intp]) -> NDArray[np.float32]:
        """(len(boxes), 4) float32, the positions of some as boxes."""
        position = self._state[_POSITION].take(boxes, axis=1)
        sizes = position[2:]
        np.maximum(sizes, _NOTHING, out=sizes)  # a box that shrank unobserved is empty, not inside out
        return position.T.dot(_CORNERS.T).astype(np.float32)

    def uncertainty(self, boxes: NDArray[np.intp]) -> NDArray[np.float64]:
        """(2, len(boxes)) standard deviations of the centres of some boxes, in their widths and heights."""
        variance = self._state[_POSITION_VARIANCE, :2].take(boxes, axis=1)
        return np.sqrt(variance) / np.maximum(self._state[_POSITION, 2:].take(boxes, axis=1), 1.0)

    def add(self, xyxy: NDArray[np.float32]) -> None:
        """Appends (M, 4) boxes with a velocity of zero, give or take `_FIRST_VELOCITY`."""
        aims, size_squared = _measure(xyxy)
        new = _FIRST * size_squared
        new[_POSITION] = aims[0]
        self._state = np.concatenate([self._state, new], axis=2)

    def predict(self, dt_seconds: float) -> None:
        """Moves all boxes on in time.

        Velocity is a random walk, position its integral with a drift of its own. The noise of both is integrated over
        the step (Bar-Shalom, Li and Kirubarajan, Estimation with Applications to Tracking and Navigation, 2001, section
        6.2.2), so that two half steps make one whole step in the mean and in the covariance. Mean, covariance and noise
        of a coordinate all grow linearly in each other, so one matrix moves everything.
        """
        state = self._state.reshape(len(_ROWS), -1)
        self._state = _transition(dt_seconds).dot(state).reshape(self._state.shape)

    def update(self, boxes: NDArray[np.intp], xyxy: NDArray[np.float32]) -> None:
        """Corrects the boxes of these indices, each at most once, with the (len(boxes), 4) boxes that were observed.

        Of the textbook's equations two are one here: an observation would have the position where it was measured, and
        its variance nought, and all that covaries goes its gain's share of these two ways.
        """
        aims, size_squared = _measure(xyxy)
        noise = _NOISE * size_squared
        state = self._state.take(boxes, axis=2)
        gains = state[_POSITION_VARIANCE : _COVARIANCE + 1] / (state[_POSITION_VARIANCE] + noise[0])
        state[_VELOCITY_VARIANCE] -= gains[1] * state[_COVARIANCE]
        aims -= state[:_COVARIANCE:2]
        means_and_variances = state[: _COVARIANCE + 1].reshape(2, *gains.shape)
        means_and_variances += aims[:, None] * gains
        state[_DRIFT_DENSITY:] = noise[1:]
        self._state[:, :, boxes] = state

    def warp(self, motion: Affine) -> None:
        """Takes all boxes into another picture: turned, shifted and scaled alike in all directions.

        Centres and their velocities turn; sizes scale, for a box stays upright. Errors of x and y are alike and
        independent, and so they are from whichever side they are seen: covariances and noise scale, and do not turn.
        """
        linear, shift = motion[:, :2], motion[:, 2:]
        area_scale = abs(linear[0, 0] * linear[1, 1] - linear[0, 1] * linear[1, 0])
        moments = self._state[: _VELOCITY + 1]
        moments[:, :2] = linear @ moments[:, :2]
        moments[:, 2:] *= np.sqrt(area_scale)
        moments[_POSITION, :2] += shift
        self._state[_POSITION_VARIANCE:] *= area_scale

    def copy(self, boxes: NDArray[np.intp]) -> BoxKalman:
        """A filter of its own that holds these boxes as they are now."""
        other = BoxKalman()
        other._state = self._state.take(boxes, axis=2)
        return other

    def append(self, other: BoxKalman) -> None:
        """Appends the boxes of another filter."""
        self._state = np.concatenate([self._state, other._state], axis=2)

    def put(self, boxes: NDArray[np.intp], other: BoxKalman) -> None:
        """Makes the boxes of these indices what the boxes of another filter are."""
        self._state[:, :, boxes] = other._state

    def keep(self, boxes: NDArray[np.intp]) -> None:
        """Drops all boxes but these."""
        self._state = self._state.take(boxes, axis=2)


@lru_cache(maxsize=64)  # most frames of a stream are equally far apart
def _transition(dt: float) -> NDArray[np.float64]:
    """(7, 7) what `dt` seconds make of the rows of the state."""
    return np.array(
        [
            [1, dt, 0, 0, 0, 0, 0],
            [0, 1, 0, 0, 0, 0, 0],
            [0, 0, 1, 2 * dt, dt**2, dt, dt**3 / 3],
            [0, 0, 0, 1, dt, 0, dt**2 / 2],
            [0, 0, 0, 0, 1, 0, dt],
            [0, 0, 0, 0, 0, 1, 0],
            [0, 0, 0, 0, 0, 0, 1],
        ]
    )


def _measure(xyxy: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(2, 4, N) cx, cy, w, h and the nought that their variances aim at, and (N,) squares of the longer sides."""
    aims = _AIMS.dot(xyxy.T.astype(np.float64))
    longer = np.maximum(aims[2], aims[3])
    return aims.reshape(2, 4, -1), longer * longer
