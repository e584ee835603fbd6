"""From pixels to metres on the ground, and how far off such a metre may be.

The ground is a plane, so a picture of it and a map of it differ by a homography. It is fitted in float64 (OpenCV's fit
takes float32, which loses half a metre in map coordinates such as UTM): the linear solution with normalised coordinates
first, then Gauss–Newton steps on the distances in metres. Its covariance goes with it to the first order (Hartley and
Zisserman, Multiple View Geometry, chapters 4.1, 4.4 and 5.2.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

SpeedUnit: TypeAlias = Literal["m/s", "km/h", "mph"]

UNITS: dict[SpeedUnit, float] = {"m/s": 1.0, "km/h": 3.6, "mph": 3600 / 1609.344}
"""How many of each are one metre per second."""

_ON_ONE_LINE = 0.005  # share of the area that is left without one point, below which all others lie on one line
_MISFIT = 0.1  # reprojection error over the extent of the ground points beyond which they cannot be meant so
_STEPS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Where on the ground the things on a picture stand.

    Attributes:
        reprojection_error: Root mean square distance in metres between the given ground points and where the picture
            puts them; 0 where the fit has nothing to spare: four points, or one length.
        matrix: (3, 3) from normalised picture coordinates to normalised ground coordinates; its last element is 1.
        covariance: (8, 8) of the other elements.
        pixels: Centre (2,) and scale of the picture's normalisation: normalised = (pixel − centre) × scale.
        metres: Centre (2,) and scale likewise of the ground's.
    """

    reprojection_error: float
    matrix: NDArray[np.float64]
    covariance: NDArray[np.float64]
    pixels: tuple[NDArray[np.float64], float]
    metres: tuple[NDArray[np.float64], float]

    @classmethod
    def from_points(cls, image: ArrayLike, ground: ArrayLike, accuracy: float | None = None) -> Calibration:
        """Fits points of the picture to points of the ground by least squares.

        Args:
            image: (N, 2) pixels, four or more.
            ground: (N, 2) metres, the same points in the same order; axes and origin are free.
            accuracy: Standard error of a ground coordinate in metres, when it is known. What the fit itself shows is
                taken where that is more; four points show nothing.

        Raises:
            ValueError: If the points leave the fit open (too many on one line), or fit no plane seen by a camera.
        """
        here, there = (np.asarray(points, np.float64).reshape(-1, 2) for points in (image, ground))
        if len(here) < 4 or len(here) != len(there):
            raise ValueError(
                f"needs four or more points of the picture, each with its place on the ground; {len(here)}"
            )
        for points, where in ((here, "of the picture"), (there, "on the ground")):
            _check_spread(points, where)
        pixels, metres = _normalisation(here), _normalisation(there)
        x, y = ((points - centre) * scale for points, (centre, scale) in ((here, pixels), (there, metres)))
        parameters = _fit(x, y)
        misses = _project(parameters, x) - y  # [N,2]
        error = float(np.sqrt((misses**2).sum(axis=1).mean()))
        if error > _MISFIT:
            worst = int((misses**2).sum(axis=1).argmax())
            raise ValueError(
                f"picture and ground fit together only to {error / metres[1]:.3g} m, point {worst + 1} worst of all; "
                "check the coordinates and their order"
            )
        slopes = _slopes(parameters, x).reshape(-1, 8)
        spare = 2 * len(x) - 8
        variance = (misses**2).sum() / spare if spare else 0.0
        variance = max(variance, ((accuracy or 0.0) * metres[1]) ** 2)
        covariance = np.asarray(variance * np.linalg.pinv(slopes.T @ slopes), np.float64)
        return cls(error / metres[1], np.append(parameters, 1.0).reshape(3, 3), covariance, pixels, metres)

    @classmethod
    def from_length(cls, start: ArrayLike, end: ArrayLike, metres: float, accuracy: float = 0.0) -> Calibration:
        """One scale for the whole picture: right where the camera looks straight down, and along this line.

        Args:
            start: x, y in pixels.
            end: Likewise.
            metres: Distance between the two on the ground, above 0.
            accuracy: Its standard error in metres.

        Raises:
            ValueError: If the two are the same place.
        """
        ends = np.array([start, end], np.float64)
        length = float(np.hypot(*(ends[1] - ends[0])))
        if length == 0:
            raise ValueError("the line has no length")
        both = np.zeros(8)
        both[[0, 4]] = 1.0  # one scale stands at two places of the matrix
        covariance = (accuracy / metres) ** 2 * np.outer(both, both)
        return cls(0.0, np.eye(3), covariance, (ends[0], 1 / length), (np.zeros(2), 1 / metres))

    def to_ground(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 2) metres for (N, 2) pixels; nan for what lies on the horizon or above it."""
        x = self._normalised(points)
        parameters = self.matrix.ravel()[:8]
        centre, scale = self.metres
        ground = np.full(x.shape, np.nan)
        below = _depths(parameters, x) > 0
        ground[below] = _project(parameters, x[below]) / scale + centre
        return ground

    def length_error(self, start: Sequence[float], end: Sequence[float]) -> float:
        """Standard error in metres of the distance on the ground between two pixels, from the calibration alone."""
        x = self._normalised(np.array([start, end], np.float64))
        parameters = self.matrix.ravel()[:8]
        begin, stop = _project(parameters, x)
        distance = np.hypot(*(stop - begin))
        if distance == 0:
            return 0.0
        slopes = _slopes(parameters, x)
        gradient = (stop - begin) / distance @ (slopes[1] - slopes[0])
        return float(np.sqrt(max(0.0, gradient @ self.covariance @ gradient))) / self.metres[1]

    def _normalised(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        centre, scale = self.pixels
        return (points - centre) * scale


def _check_spread(points: NDArray[np.float64], where: str) -> None:
    """Refuses points of which all, or all but one, lie on one line: they fix no plane.

    Raises:
        ValueError: If so.
    """
    area = shapely.MultiPoint(points).convex_hull.area
    rests = (np.delete(points, i, axis=0) for i in range(len(points)))
    if not area > 0 or any(shapely.MultiPoint(rest).convex_hull.area < _ON_ONE_LINE * area for rest in rests):
        raise ValueError(f"too many of the points {where} lie on one line: four of them must be corners of an area")


def _normalisation(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Centre and scale after which points lie about 1 around the origin."""
    centre = points.mean(axis=0)
    return centre, 1 / float(np.sqrt(((points - centre) ** 2).sum(axis=1).mean()))


def _fit(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """(8,) elements of the matrix, row by row, that bring x (N, 2) nearest to y (N, 2).

    Raises:
        ValueError: If some of the points would lie behind the camera.
    """
    equations = _derivatives(x, y)
    parameters = _least_squares(equations, y)
    if (_depths(parameters, x) <= 0).any():
        raise ValueError("the horizon would run between the points: two of them seem to have changed places")
    best, least = parameters, np.inf
    for _ in range(_STEPS):
        if (_depths(parameters, x) <= 0).any():
            break
        misses = (y - _project(parameters, x)).ravel()
        if not misses @ misses < least:
            break
        best, least = parameters, misses @ misses
        parameters = parameters + _least_squares(_slopes(parameters, x), misses)
    return best


def _least_squares(slopes: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(8,) parameters at which slopes (N, 2, 8) give all 2 N values best."""
    return np.asarray(np.linalg.lstsq(slopes.reshape(-1, 8), values.ravel(), rcond=None)[0], np.float64)


def _derivatives(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2, 8) how depth times (projected x − y) changes with the parameters."""
    rows = np.zeros((len(x), 2, 8))
    rows[:, 0, :2] = rows[:, 1, 3:5] = x
    rows[:, 0, 2] = rows[:, 1, 5] = 1.0
    rows[:, :, 6:] = -y[:, :, None] * x[:, None, :]
    return rows


def _depths(parameters: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) how far before the camera, up to a factor; 0 on the horizon."""
    return x @ parameters[6:] + 1.0


def _project(parameters: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    return (x @ parameters[:6].reshape(2, 3)[:, :2].T + parameters[[2, 5]]) / _depths(parameters, x)[:, None]


def _slopes(parameters: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2, 8) how the projected points change with the parameters."""
    return _derivatives(x, _project(parameters, x)) / _depths(parameters, x)[:, None, None]
