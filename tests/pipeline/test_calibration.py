"""From pixels to metres: every plane that a camera sees is found again, and what fixes no plane is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.pipeline.calibration import Calibration

ROAD = np.array([(0, 0), (7, 0), (7, 60), (0, 60)], float)  # metres
TRAPEZOID = np.array([(50, 560), (700, 560), (420, 200), (300, 200)], float)  # pixels, the same corners


def seen(camera: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """(N, 2) where a camera sees (N, 2) points of the ground."""
    homogeneous = np.column_stack([ground, np.ones(len(ground))]) @ camera.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


@st.composite
def cameras(draw: st.DrawFn) -> np.ndarray:
    """(3, 3) from metres to pixels, for which all of a square of ten metres lies before the camera."""
    turn, skew, zoom = draw(st.floats(-3, 3)), draw(st.floats(-0.3, 0.3)), draw(st.floats(5, 80))
    linear = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[1, skew], [0, 0.6]]
    tilt = draw(st.tuples(st.floats(-0.04, 0.04), st.floats(-0.04, 0.04)))
    return np.array([[*linear[0], 300], [*linear[1], 200], [*tilt, 1]])


grounds = st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), max_size=6).map(
    lambda more: np.array([(0, 0), (10, 0), (10, 10), (0, 10), *more], float)
)


@settings(max_examples=100, deadline=None)
@given(camera=cameras(), ground=grounds, origin=st.sampled_from([(0, 0), (449_000, 5_411_000)]))
def test_every_plane_before_a_camera_is_found_again(camera, ground, origin) -> None:
    """Also in map coordinates of millions of metres."""
    calibration = Calibration.from_points(seen(camera, ground), ground + origin)
    elsewhere = np.array([(1.0, 2.0), (5.0, 5.0), (9.0, 1.0)])
    assert calibration.to_ground(seen(camera, elsewhere)) == pytest.approx(elsewhere + origin, abs=1e-6)
    assert calibration.reprojection_error == pytest.approx(0, abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(camera=cameras(), ground=grounds, scale=st.floats(0.01, 100))
def test_scaling_the_picture_scales_nothing(camera, ground, scale: float) -> None:
    image = seen(camera, ground)
    small, large = Calibration.from_points(image, ground, 0.1), Calibration.from_points(image * scale, ground, 0.1)
    points = seen(camera, np.array([(1.0, 2.0), (8.0, 7.0)]))
    assert large.to_ground(points * scale) == pytest.approx(small.to_ground(points), abs=1e-6)
    assert large.length_error(*points * scale) == pytest.approx(small.length_error(*points), rel=1e-4)


def test_points_that_disagree_show_an_error() -> None:
    ground = np.array([*ROAD, (3.5, 30), (0, 30), (7, 30)])
    image = seen(camera_of_the_road(), ground)
    ground[4] += 0.7, 0
    calibration = Calibration.from_points(image, ground)
    assert 0.1 < calibration.reprojection_error < 0.7 / np.sqrt(len(ground))  # least squares shares it out
    assert calibration.length_error((50, 560), (300, 200)) > 0


def test_the_error_of_a_length_is_that_of_many_calibrations() -> None:
    generator = np.random.default_rng(3)
    ground = np.array([*ROAD, (3.5, 30), (0, 30)])
    image, sigma = seen(camera_of_the_road(), ground), 0.05
    start, end = seen(camera_of_the_road(), np.array([(3.0, 10.0), (3.0, 40.0)]))
    lengths = []
    for _ in range(400):
        calibration = Calibration.from_points(image, ground + generator.normal(0, sigma, ground.shape))
        lengths.append(np.hypot(*np.diff(calibration.to_ground(np.array([start, end])), axis=0)[0]))
    claimed = Calibration.from_points(image, ground, accuracy=sigma).length_error(start, end)
    assert claimed == pytest.approx(np.std(lengths), rel=0.15)


def test_above_the_horizon_is_no_ground() -> None:
    calibration = Calibration.from_points(TRAPEZOID, ROAD)
    ground = calibration.to_ground(np.array([(350.0, 400.0), (350.0, -500.0)]))
    assert np.isfinite(ground[0]).all()
    assert np.isnan(ground[1]).all()


def test_a_known_length_is_a_scale() -> None:
    calibration = Calibration.from_length((100, 100), (100, 300), 10.0, accuracy=0.5)
    start, end = calibration.to_ground(np.array([(0.0, 0.0), (60.0, 80.0)]))
    assert np.hypot(*(end - start)) == pytest.approx(5)
    assert calibration.length_error((0, 0), (60, 80)) == pytest.approx(5 * 0.5 / 10)


@pytest.mark.parametrize(
    ("image", "ground", "complaint"),
    [
        (TRAPEZOID[:3], ROAD[:3], "four or more"),
        ([(0, 0), (1, 1), (2, 2), (3, 3)], ROAD, "points of the picture lie on one line"),
        ([(100, 100), (200, 200), (300, 301), (400, 100)], ROAD, "points of the picture lie on one line"),
        (TRAPEZOID, [(0, 0), (5, 0), (10, 0), (0, 9)], "points on the ground lie on one line"),
        (TRAPEZOID, [(1, 1)] * 4, "points on the ground lie on one line"),
        (TRAPEZOID[[0, 1, 3, 2]], ROAD, "horizon would run between the points"),
        ([*TRAPEZOID, (370, 300)], [*ROAD, (20, 33)], "point 5 worst"),
    ],
)  # fmt: skip
def test_what_fixes_no_plane_is_refused(image, ground, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Calibration.from_points(image, ground)


def test_a_line_without_length_is_refused() -> None:
    with pytest.raises(ValueError, match="no length"):
        Calibration.from_length((5, 5), (5, 5), 3)


def camera_of_the_road() -> np.ndarray:
    """(3, 3) from metres to pixels, as `TRAPEZOID` shows it."""
    rows = []
    for (x, y), (u, v) in zip(ROAD, TRAPEZOID, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return np.append(np.linalg.solve(np.array(rows), TRAPEZOID.ravel()), 1).reshape(3, 3)
