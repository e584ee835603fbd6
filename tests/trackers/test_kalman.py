"""The batched filter against the textbook, and the laws of time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidan.trackers import kalman
from vidan.trackers.kalman import BoxKalman
from vidan.trackers.observed_kalman import ObservedKalman
from vidan.trackers.reach import pair_iou, reach_of

LAWS = settings(max_examples=30, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def random_boxes(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    corner, size = rng.uniform(0, 1000, (count, 2)), rng.uniform(5, 300, (count, 2))
    return np.hstack([corner, corner + size]).astype(np.float32)


def wandering_filter(rng: np.random.Generator, count: int) -> BoxKalman:
    """A filter in no special state: some boxes corrected, time passed."""
    boxes = BoxKalman()
    boxes.add(random_boxes(rng, count))
    boxes.predict(0.04)
    rows = np.flatnonzero(rng.random(count) < 0.5)
    boxes.update(rows, random_boxes(rng, len(rows)))
    return boxes


class TextbookKalman:
    """One box, 8 x 8 matrices, the formulas of every textbook."""

    def __init__(self, xyxy: NDArray[np.float32]) -> None:
        position, size = self._measure(xyxy)
        self.x = np.concatenate([position, np.zeros(4)])
        self.p = np.diag(
            np.concatenate([np.full(4, (kalman._FIRST_POSITION * size) ** 2), (kalman._FIRST_VELOCITY * size) ** 2])
        )
        self.size = size

    def predict(self, dt: float) -> None:
        drift = np.full(4, (kalman._DRIFT * self.size) ** 2)
        acceleration = (kalman._ACCELERATION * self.size) ** 2
        f = np.block([[np.eye(4), dt * np.eye(4)], [np.zeros((4, 4)), np.eye(4)]])
        q = np.block(
            [
                [np.diag(dt * drift + dt**3 / 3 * acceleration), np.diag(dt**2 / 2 * acceleration)],
                [np.diag(dt**2 / 2 * acceleration), np.diag(dt * acceleration)],
            ]
        )
        self.x, self.p = f @ self.x, f @ self.p @ f.T + q

    def update(self, xyxy: NDArray[np.float32]) -> None:
        measured, size = self._measure(xyxy)
        h = np.hstack([np.eye(4), np.zeros((4, 4))])
        r = np.eye(4) * (kalman._MEASUREMENT * size) ** 2
        gain = self.p @ h.T @ np.linalg.inv(h @ self.p @ h.T + r)
        self.x = self.x + gain @ (measured - h @ self.x)
        self.p = (np.eye(8) - gain @ h) @ self.p
        self.size = size

    @staticmethod
    def _measure(xyxy: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
        left, top, right, bottom = xyxy.astype(np.float64)
        position = np.array([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top])
        return position, max(right - left, bottom - top)


@LAWS
@given(seed=SEEDS, count=st.integers(1, 6))
def test_many_boxes_at_once_are_filtered_as_each_alone_by_the_textbook(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    first = random_boxes(rng, count)
    batch, alone = BoxKalman(), [TextbookKalman(box) for box in first]
    batch.add(first)
    for _ in range(4):
        dt = float(rng.uniform(0.01, 2))
        batch.predict(dt)
        rows = np.flatnonzero(rng.random(count) < 0.6)
        seen = random_boxes(rng, len(rows))
        batch.update(rows, seen)
        for one in alone:
            one.predict(dt)
        for row, box in zip(rows, seen, strict=True):
            alone[row].update(box)
    for row, one in enumerate(alone):
        np.testing.assert_allclose(np.append(batch.position[row], batch.velocity[row]), one.x, rtol=1e-9, atol=1e-7)
        own = np.stack([np.diag(one.p[:4, :4]), np.diag(one.p[:4, 4:]), np.diag(one.p[4:, 4:])], axis=1)
        np.testing.assert_allclose(batch.covariance[row], own, rtol=1e-8, atol=1e-8)


@LAWS
@given(seed=SEEDS, dt=st.floats(0.001, 5), share=st.floats(0.05, 0.95))
def test_two_steps_in_time_are_one_step_of_their_sum(seed: int, dt: float, share: float) -> None:
    whole, parts = (wandering_filter(np.random.default_rng(seed), 5) for _ in range(2))
    whole.predict(dt)
    parts.predict(dt * share)
    parts.predict(dt * (1 - share))
    np.testing.assert_allclose(parts.position, whole.position, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(parts.velocity, whole.velocity, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(parts.covariance, whole.covariance, rtol=1e-9)


@LAWS
@given(seed=SEEDS, scale=st.floats(0.1, 10))
def test_a_picture_of_another_size_gives_the_same_answer_scaled(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    first, second = random_boxes(rng, 3), random_boxes(rng, 3)
    small, large = BoxKalman(), BoxKalman()
    for boxes, factor in ((small, 1.0), (large, scale)):
        boxes.add((first * factor).astype(np.float32))
        boxes.predict(0.1)
        boxes.update(np.arange(3), (second * factor).astype(np.float32))
    np.testing.assert_allclose(large.position, small.position * scale, rtol=1e-4, atol=1e-3 * scale)
    np.testing.assert_allclose(large.velocity, small.velocity * scale, rtol=1e-4, atol=1e-3 * scale)


def test_velocity_is_learned_in_pixels_per_second_whatever_the_frame_rate() -> None:
    for fps in (5, 30, 120):
        boxes = BoxKalman()
        for index in range(2 * fps + 1):
            x = 60 * index / fps
            box = np.array([[x, 0, x + 40, 100]], np.float32)
            if index == 0:
                boxes.add(box)
            else:
                boxes.predict(1 / fps)
                boxes.update(np.arange(1), box)
        assert boxes.velocity[0, 0] == pytest.approx(60, rel=0.05)
        assert boxes.velocity[0, 1:] == pytest.approx(np.zeros(3), abs=1e-6)


def test_a_box_that_shrinks_unseen_becomes_empty_and_not_inside_out() -> None:
    boxes = BoxKalman()
    boxes.add(np.array([[0, 0, 100, 100]], np.float32))
    boxes.velocity[0, 2:] = -50
    boxes.predict(10)
    left, top, right, bottom = boxes.xyxy(np.zeros(1, np.intp))[0]
    assert left == right
    assert top == bottom
    around = reach_of(np.array([[-1000, -1000, 1000, 1000]], np.float32))
    assert pair_iou(boxes.reach, around).tolist() == [[0], [0]]


def test_dropping_rows_keeps_the_others_in_order() -> None:
    boxes = wandering_filter(np.random.default_rng(1), 4)
    position = boxes.position.copy()
    boxes.keep(np.array([0, 2]))
    assert len(boxes) == 2
    np.testing.assert_array_equal(boxes.position, position[[0, 2]])


@LAWS
@given(seed=SEEDS, angle=st.floats(-1, 1), scale=st.floats(0.5, 2))
def test_a_turned_and_scaled_picture_is_what_the_textbook_makes_of_it(seed: int, angle: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    boxes = wandering_filter(rng, 3)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = rng.uniform(-100, 100, 2)
    before = np.concatenate([boxes.position, boxes.velocity], axis=1), boxes.covariance.copy()
    boxes.warp(np.column_stack([turn, shift]))

    jacobian = np.kron(np.eye(4), np.eye(2))
    jacobian[:2, :2] = jacobian[4:6, 4:6] = turn
    jacobian[2:4, 2:4] = jacobian[6:, 6:] = scale * np.eye(2)
    for row in range(3):
        mean = jacobian @ before[0][row] + np.concatenate([shift, np.zeros(6)])
        np.testing.assert_allclose(np.append(boxes.position[row], boxes.velocity[row]), mean, rtol=1e-9, atol=1e-9)
        var, cov, velocity_var = (np.diag(column) for column in before[1][row].T)
        full = jacobian @ np.block([[var, cov], [cov, velocity_var]]) @ jacobian.T
        np.testing.assert_allclose(np.diag(boxes.covariance[row, :, 0]), full[:4, :4], rtol=1e-9, atol=1e-6)
        np.testing.assert_allclose(np.diag(boxes.covariance[row, :, 1]), full[:4, 4:], rtol=1e-9, atol=1e-6)
        np.testing.assert_allclose(np.diag(boxes.covariance[row, :, 2]), full[4:, 4:], rtol=1e-9, atol=1e-6)


# --- the filter that remembers its sightings -------------------------------------------------------------------------


@LAWS
@given(seed=SEEDS, count=st.integers(1, 5))
def test_boxes_found_again_are_as_if_they_had_been_seen_walking_straight(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    steps = rng.uniform(0.02, 0.2, 10)
    times = np.append(0, steps.cumsum())
    last_seen = rng.integers(1, 9, count)  # frame after which each is hidden until the last one
    first, goal = random_boxes(rng, count), random_boxes(rng, count)
    observed, explicit = ObservedKalman(0.1), BoxKalman()
    observed.add(first)
    explicit.add(first)
    for frame, dt in enumerate(steps, start=1):
        observed.predict(dt)
        explicit.predict(dt)
        is_last = frame == len(steps)
        share = (times[frame] - times[last_seen]) / (times[-1] - times[last_seen])
        virtual = first + np.maximum(share, 0)[:, None] * (goal.astype(np.float64) - first)
        rows = np.arange(count) if is_last else np.flatnonzero(frame <= last_seen)
        observed.update(rows, goal if is_last else first[rows])
        explicit.update(np.arange(count), virtual.astype(np.float32))
    np.testing.assert_allclose(observed.position, explicit.position, rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(observed.velocity, explicit.velocity, rtol=1e-6, atol=1e-2)
    np.testing.assert_allclose(observed.covariance, explicit.covariance, rtol=1e-5, atol=1e-6)


def test_turning_round_is_half_a_turn_and_standing_still_is_no_idea() -> None:
    boxes = ObservedKalman(0.1)
    boxes.add(np.array([[0, 0, 10, 30], [100, 0, 110, 30]], np.float32))
    for index in range(1, 6):
        boxes.predict(0.05)
        boxes.update(np.arange(2), np.array([[4 * index, 0, 4 * index + 10, 30], [100, 0, 110, 30]], np.float32))
    walker, still = np.zeros(3, np.intp), np.ones(1, np.intp)
    next_xyxy = np.array([[24, 0, 34, 30], [16, 0, 26, 30], [20, 4, 30, 34]], np.float32)
    np.testing.assert_allclose(boxes.turn(walker, next_xyxy), [0, np.pi, np.pi / 2], atol=1e-6)
    np.testing.assert_allclose(boxes.turn(still, next_xyxy[:1]), [np.pi / 2])
