"""Constant-velocity Kalman filter over many boxes at once, with the real time between frames.

The state of a box is centre, width and height, and their velocities. Width is kept rather than the aspect ratio of SORT
and DeepSORT (Bewley et al., arXiv:1602.00763; Wojke et al., arXiv:1703.07402), because then motion and measurement are
one linear law for each of the four coordinates. The four never mix: the 8 x 8 covariance of the textbook falls into
four 2 x 2 blocks, and the update of each is a scalar measurement that needs no matrix inverse.

Noise grows with the size of the box, as in DeepSORT and ByteTrack, but it is a density per second and not a number per
frame: a dropped frame or a variable rate widens the prediction by the time that has really passed. The unit of size is
the longer side, which for a standing person is DeepSORT's height and for a car seen from the side its length.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Standard deviations in sizes of the box: DeepSORT's 1/20 (position) and 1/160 (velocity) per frame of a video with
# 30 frames per second, as densities. Variances of independent steps add up, hence the roots.
_MEASUREMENT = 1 / 20
_DRIFT_PER_ROOT_SECOND = 1 / 20 * 30**0.5
_ACCELERATION_PER_ROOT_SECOND = 1 / 160 * 30**1.5
_FIRST_POSITION = 2 * 1 / 20
_FIRST_VELOCITY_PER_SECOND = 10 * 1 / 160 * 30


class BoxKalman:
    """Filtered boxes as parallel arrays: row i is the i-th box that was added and not dropped since.

    Attributes:
        mean: (N, 8) float64, cx, cy, w, h in pixels, then their velocities in pixels per second.
        covariance: (N, 4, 3) float64, for each coordinate var(position), cov(position, velocity), var(velocity).
    """

    def __init__(self) -> None:
        self.mean = np.zeros((0, 8))
        self.covariance = np.zeros((0, 4, 3))
        self._size = np.zeros(0)  # longer side when last observed: fixed in between, so that steps in time compose

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def xyxy(self) -> NDArray[np.float32]:
        """(N, 4) float32, the boxes of the mean; a shrinking box that nobody sees never turns inside out."""
        center, half = self.mean[:, :2], np.maximum(self.mean[:, 2:4], 0.0) / 2
        return np.hstack([center - half, center + half]).astype(np.float32)

    def add(self, xyxy: NDArray[np.floating]) -> None:
        """Appends boxes at rest, their velocity unknown within ten DeepSORT deviations."""
        position = _cxcywh(xyxy)
        size = position[:, 2:].max(axis=1, initial=0.0)
        variance = np.array([_FIRST_POSITION**2, 0.0, _FIRST_VELOCITY_PER_SECOND**2])
        self.mean = np.vstack([self.mean, np.hstack([position, np.zeros_like(position)])])
        self.covariance = np.concatenate(
            [self.covariance, np.tile(size[:, None, None] ** 2 * variance, (1, 4, 1))]
        )
        self._size = np.concatenate([self._size, size])

    def predict(self, dt_seconds: float) -> None:
        """Moves all boxes on by `dt_seconds`.

        Velocity is a random walk and position drifts beside it. Their noise is integrated over the step, so that two
        half steps are one whole step in the mean and in the covariance (Bar-Shalom, Li and Kirubarajan, Estimation with
        Applications to Tracking and Navigation, 2001, section 6.2.2).
        """
        dt = dt_seconds
        drift = (_DRIFT_PER_ROOT_SECOND * self._size[:, None]) ** 2
        acceleration = (_ACCELERATION_PER_ROOT_SECOND * self._size[:, None]) ** 2
        self.mean[:, :4] += dt * self.mean[:, 4:]
        position, cross, velocity = np.moveaxis(self.covariance, 2, 0)  # views: the lines below write into them
        position += 2 * dt * cross + dt**2 * velocity + dt * drift + dt**3 / 3 * acceleration
        cross += dt * velocity + dt**2 / 2 * acceleration
        velocity += dt * acceleration

    def update(self, rows: NDArray[np.intp], xyxy: NDArray[np.floating]) -> None:
        """Corrects the boxes of `rows` (each at most once) with what was observed, (len(rows), 4) float."""
        measured = _cxcywh(xyxy)
        size = measured[:, 2:].max(axis=1, initial=0.0)
        mean, (position, cross, velocity) = self.mean[rows], np.moveaxis(self.covariance[rows], 2, 0)
        innovation = measured - mean[:, :4]
        total = position + (_MEASUREMENT * size[:, None]) ** 2
        gain_position, gain_velocity = position / total, cross / total
        self.mean[rows] = mean + np.hstack([gain_position * innovation, gain_velocity * innovation])
        self.covariance[rows] = np.stack(
            [(1 - gain_position) * position, (1 - gain_position) * cross, velocity - gain_velocity * cross], axis=2
        )
        self._size[rows] = size

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Drops the rows where `mask` (N,) is False."""
        self.mean, self.covariance, self._size = self.mean[mask], self.covariance[mask], self._size[mask]


def _cxcywh(xyxy: NDArray[np.floating]) -> NDArray[np.float64]:
    left_top, right_bottom = xyxy[:, :2].astype(np.float64), xyxy[:, 2:].astype(np.float64)
    return np.hstack([(left_top + right_bottom) / 2, right_bottom - left_top])
