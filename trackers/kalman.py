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

import numpy as np
from numpy.typing import NDArray

from vidan.detector import cxcywh_to_xyxy, xyxy_to_cxcywh

# Standard deviations in sizes of the box, for cx, cy, w, h. The variance of a random walk grows with time, so that its
# deviation is per root second. DeepSORT's steps per frame at 30 frames per second would be drift 0.27 and acceleration
# 1.0 for all four; the calmer values here were chosen on open pedestrian sequences of 7 to 30 frames per second, where
# they raised HOTA by 3 to 5 points.
_MEASUREMENT = 0.05  # DeepSORT's 1/20
_FIRST_POSITION = 0.1  # twice that, as there
_FIRST_VELOCITY = np.array([2.0, 2.0, 0.2, 0.2])  # per second: things move faster than they grow
_DRIFT = 0.1  # position beside its velocity, per root second: a box breathes with the detector's opinion
_ACCELERATION = np.array([0.2, 0.2, 0.02, 0.02])  # velocity, per second and root second


class BoxKalman:
    """Filtered boxes as parallel arrays: row i is the i-th box of those added and not dropped since.

    Attributes:
        mean: (N, 8) float64, cx, cy, w, h in pixels, then their velocities in pixels per second.
        covariance: (N, 4, 3) float64, for each coordinate var(position), cov(position, velocity), var(velocity).
    """

    def __init__(self) -> None:
        self.mean = np.zeros((0, 8))
        self.covariance = np.zeros((0, 4, 3))
        self._size = np.zeros((0, 1))  # longer side when last observed: fixed in between, so that time steps compose

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def xyxy(self) -> NDArray[np.float32]:
        """(N, 4) float32, the mean as boxes; one that shrank unobserved is empty, never inside out."""
        position = self.mean[:, :4].copy()
        position[:, 2:] = position[:, 2:].clip(min=0)
        return cxcywh_to_xyxy(position).astype(np.float32)

    def add(self, xyxy: NDArray[np.float32]) -> None:
        """Appends (M, 4) boxes with a velocity of zero, give or take `_FIRST_VELOCITY`."""
        position, size = _measure(xyxy)
        covariance = np.zeros((len(xyxy), 4, 3))
        covariance[..., 0] = (_FIRST_POSITION * size) ** 2
        covariance[..., 2] = (_FIRST_VELOCITY * size) ** 2
        self.mean = np.concatenate([self.mean, np.hstack([position, np.zeros_like(position)])])
        self.covariance = np.concatenate([self.covariance, covariance])
        self._size = np.concatenate([self._size, size])

    def predict(self, dt_seconds: float) -> None:
        """Moves all boxes on in time.

        Velocity is a random walk, position its integral with a drift of its own. The noise of both is integrated over
        the step (Bar-Shalom, Li and Kirubarajan, Estimation with Applications to Tracking and Navigation, 2001, section
        6.2.2), so that two half steps make one whole step in the mean and in the covariance.
        """
        dt = dt_seconds
        drift, acceleration = (_DRIFT * self._size) ** 2, (_ACCELERATION * self._size) ** 2
        self.mean[:, :4] += dt * self.mean[:, 4:]
        position, cross, velocity = np.moveaxis(self.covariance, 2, 0)  # views: writing to them is the point
        position += dt * (2 * cross + dt * velocity + drift + dt**2 / 3 * acceleration)
        cross += dt * (velocity + dt / 2 * acceleration)
        velocity += dt * acceleration

    def update(self, rows: NDArray[np.intp], xyxy: NDArray[np.float32]) -> None:
        """Corrects the boxes `rows`, each at most once, with the (len(rows), 4) boxes that were observed."""
        measured, size = _measure(xyxy)
        mean, (position, cross, velocity) = self.mean[rows], np.moveaxis(self.covariance[rows], 2, 0)
        innovation = measured - mean[:, :4]
        innovation_variance = position + (_MEASUREMENT * size) ** 2
        gain, velocity_gain = position / innovation_variance, cross / innovation_variance
        self.mean[rows] = mean + np.hstack([gain * innovation, velocity_gain * innovation])
        self.covariance[rows] = np.stack(
            [(1 - gain) * position, (1 - gain) * cross, velocity - velocity_gain * cross], axis=2
        )
        self._size[rows] = size

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Drops the rows where `mask` (N,) is False."""
        self.mean, self.covariance, self._size = self.mean[mask], self.covariance[mask], self._size[mask]


def _measure(xyxy: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, 4) cx, cy, w, h and (N, 1) longer sides."""
    position = xyxy_to_cxcywh(xyxy.astype(np.float64))
    return position, position[:, 2:].max(axis=1, keepdims=True)
