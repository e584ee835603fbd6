"""Speeds on the ground: uniform motion is exact, wrong boxes do no harm, errors are honest, each pass is told once."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.pipeline.calibration import UNITS, Calibration
from vidan.pipeline.events import EventKind
from vidan.pipeline.rules.speed import SpeedRule
from vidan.pipeline.speedometer import Speedometer

ROAD = Calibration.from_points([(50, 560), (700, 560), (420, 200), (300, 200)], [(0, 0), (7, 0), (7, 60), (0, 60)])
FROM_ABOVE = Calibration.from_length((0, 0), (100, 0), 10.0)  # ten pixels are a metre
PICTURE = shapely.box(0, 0, 1000, 1000)


def pixels(ground: np.ndarray) -> np.ndarray:
    """(N, 2) where `ROAD` shows (N, 2) points of the ground."""
    (pixel_centre, pixel_scale), (centre, scale) = ROAD.pixels, ROAD.metres
    homogeneous = np.column_stack([(ground - centre) * scale, np.ones(len(ground))]) @ np.linalg.inv(ROAD.matrix).T
    return homogeneous[:, :2] / homogeneous[:, 2:] / pixel_scale + pixel_centre


def rule(calibration: Calibration = FROM_ABOVE, area: shapely.Polygon = PICTURE, **options) -> SpeedRule:
    return SpeedRule(name="road", calibration=calibration, area=area, class_names=["person", "car"], **options)


def along(*steps: float, start: float = 100.0) -> list[tuple[float, float]]:
    """A path to the right with these steps per frame, in pixels."""
    return [(start, 500.0), *((start + x, 500.0) for x in np.cumsum(steps).tolist())]


def read(seconds, points, calibration=ROAD, smoothing: float = 0.0):
    """What a speedometer with a window of one second reads at the end of a path."""
    speedometer = Speedometer(calibration, 1.0, smoothing)
    for now, point in zip(seconds, points, strict=True):
        speedometer.note([1], now, np.array([point]))
    return speedometer.read(1)


times = st.lists(st.floats(0.02, 0.3), min_size=60, max_size=60).map(np.cumsum)


@settings(max_examples=60, deadline=None)
@given(seconds=times, x=st.floats(1, 6), y=st.floats(5, 30), velocity=st.tuples(st.floats(-0.2, 0.2), st.floats(-2, 2)))
def test_uniform_motion_is_exact_at_any_frame_rate(seconds, x, y, velocity) -> None:
    ground = np.array([x, y]) + (seconds - seconds.mean())[:, None] * velocity
    reading = read(seconds, pixels(ground))
    assert reading is not None
    assert reading.speed == pytest.approx(np.hypot(*velocity), abs=1e-8)
    assert reading.error == pytest.approx(0, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_wrong_boxes_do_no_harm(data) -> None:
    seconds = np.arange(21) / 20
    points = pixels(np.column_stack([np.full(21, 3.0), 10 + 12 * seconds]))
    wrong = data.draw(st.lists(st.integers(0, 20), max_size=2, unique=True))
    for i in wrong:
        points[i] = data.draw(st.tuples(st.floats(0, 700), st.floats(220, 560)))
    reading = read(seconds, points)
    assert reading is not None
    assert reading.speed == pytest.approx(12, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(scale=st.floats(0.05, 20), seed=st.integers(0, 99))
def test_scaling_the_picture_scales_no_speed(scale: float, seed: int) -> None:
    image, ground = np.array([(50, 560), (700, 560), (420, 200), (300, 200)]), [(0, 0), (7, 0), (7, 60), (0, 60)]
    seconds = np.arange(12) / 10
    points = np.random.default_rng(seed).normal((300, 500), 2, (12, 2)) - seconds[:, None] * (0, 120)
    small, large = (Calibration.from_points(image * factor, ground, 0.1) for factor in (1, scale))
    assert read(seconds, points * scale, large) == pytest.approx(read(seconds, points, small), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2, 0.4])
def test_an_error_holds_the_truth_also_where_smoothing_hides_the_jitter(smoothing: float) -> None:
    generator = np.random.default_rng(7)
    seconds, reach = np.arange(26) / 25, int(smoothing * 25)
    weights = 1 - (np.arange(-reach, reach + 1) / 25 / max(smoothing, 1e-9)) ** 2
    held = 0
    for _ in range(300):
        jitter = generator.normal(0, 0.1, (26 + 2 * reach, 2))
        smooth = np.column_stack([np.convolve(axis, weights / weights.sum(), "valid") for axis in jitter.T])
        ground = np.column_stack([np.full(26, 3.0), 10 + 14 * seconds]) + smooth
        reading = read(seconds, ground * 10, FROM_ABOVE, smoothing=smoothing)
        assert reading is not None
        held += abs(reading.speed - 14) <= reading.error
    assert 0.78 <= held / 300 <= 0.99


def test_the_calibration_has_its_share_in_the_error() -> None:
    seconds = np.arange(11) / 10
    points = np.column_stack([100 * seconds, np.full(11, 50.0)])
    reading = read(seconds, points, Calibration.from_length((0, 0), (100, 0), 10.0, accuracy=0.5))
    assert reading == (pytest.approx(10), pytest.approx(2 * 10 * 0.05))  # 5 % of the scale, twice


# --- passes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS)
def test_a_pass_is_told_with_its_median_speed_in_the_unit(walk, notice, unit) -> None:
    [event] = notice(rule(unit=unit), walk({4: along(*[10] * 30)}))  # ten frames a second: 10 m/s
    assert event.kind is EventKind.SPEED_MEASURED
    assert event.track_id == 4
    assert event.details["speed"] == pytest.approx(10 * UNITS[unit], rel=1e-3)
    assert event.details["max"] == pytest.approx(10 * UNITS[unit], rel=1e-3)
    assert event.details["unit"] == unit
    assert event.details["seconds"] == pytest.approx(3)
    assert event.pts_seconds == pytest.approx(3)


def test_too_fast_is_told_once_per_pass_and_at_once(walk, notice) -> None:
    area = shapely.box(0, 0, 400, 1000)
    path = [*along(*[10] * 30), *along(*[-10] * 5, start=400), *[(600, 500)] * 25, *along(*[10] * 25)]
    events = notice(rule(area=area, unit="m/s", limit=9.0, window=0.5), walk({1: path}))
    kinds = [event.kind.value for event in events]
    assert kinds == ["speeding", "speed_measured", "speeding", "speed_measured"]
    assert events[0].pts_seconds == pytest.approx(0.5)
    assert events[0].details["limit"] == 9.0


def test_a_limit_is_broken_only_beyond_the_error(walk, notice) -> None:
    unsure = Calibration.from_length((0, 0), (100, 0), 10.0, accuracy=0.6)  # ± 12 % at 95 %
    for speed, expected in ((10.5, 0), (12.0, 1)):
        events = notice(rule(unsure, unit="m/s", limit=10.0), walk({1: along(*[speed] * 30)}))
        assert sum(event.kind is EventKind.SPEEDING for event in events) == expected


def test_a_glimpse_outside_does_not_end_a_pass(walk, notice) -> None:
    path = along(*[10] * 40)
    path[15] = (-50, 500)
    [event] = notice(rule(), walk({1: path}))
    assert event.details["seconds"] == pytest.approx(4)


def test_a_pass_that_is_too_short_is_a_near_miss(walk, notice) -> None:
    [event] = notice(rule(), walk({1: along(*[10] * 3)}))
    assert (event.kind, event.details["reason"]) == (EventKind.NEAR_MISS, "short")
    [event] = notice(rule(), walk({1: along(*[10] * 6)}))
    assert event.kind is EventKind.SPEED_MEASURED


def test_only_what_was_seen_is_measured(walk, notice) -> None:
    scenes = walk({1: along(*[10] * 30)})
    for _, tracks in scenes[10:20]:
        tracks.observed[:] = False
        tracks.xyxy[:] += 300  # a gap filled in wrongly
    [event] = notice(rule(unit="m/s"), scenes)
    assert event.details["max"] == pytest.approx(10, rel=1e-3)


def test_only_classes_that_count_are_told(walk, notice) -> None:
    paths, classes = {1: along(*[10] * 30), 2: along(*[10] * 30)}, {1: [0] * 31, 2: [1] * 31}
    [event] = notice(rule(class_ids=frozenset({1})), walk(paths, classes=classes))
    assert (event.track_id, event.label) == (2, "car")


def test_a_rule_forgets_what_ended(walk, notice) -> None:
    road = rule()
    notice(road, walk({track: along(*[10] * 20) for track in range(1, 6)} | {9: along(*[5] * 60)}))
    assert not road._passes
    assert not road._events._made
    assert not road._speedometer._trails


def test_a_rule_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="window above 0"):
        rule(window=0)
