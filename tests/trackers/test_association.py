"""Costs and assignment."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.trackers.association import assign, gate_groups, iou_cost


def test_cost_is_zero_for_the_same_box_and_one_without_overlap() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
    np.testing.assert_allclose(iou_cost(boxes, boxes), [[0, 1], [1, 0]])


def test_of_two_detections_in_one_place_the_surer_is_cheaper() -> None:
    box = np.array([[0, 0, 10, 10]], np.float32)
    cost = iou_cost(box, np.repeat(box, 2, axis=0), np.array([0.5, 0.9], np.float32))
    np.testing.assert_allclose(cost, [[0.5, 0.1]], atol=1e-6)


def test_different_groups_are_never_paired_however_well_they_fit() -> None:
    cost = gate_groups(np.zeros((1, 2)), np.array([3]), np.array([4, 3]))
    pairs = assign(cost, 0.8)
    assert pairs.columns.tolist() == [1]
    assert pairs.free_columns.tolist() == [0]


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (2, 0)])
def test_nobody_is_paired_with_nobody(shape: tuple[int, int]) -> None:
    pairs = assign(np.zeros(shape), 0.8)
    assert len(pairs.rows) == len(pairs.columns) == 0
    assert (len(pairs.free_rows), len(pairs.free_columns)) == shape


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 4), columns=st.integers(1, 4), limit=st.floats(0.1, 0.95))
def test_assignment_is_the_cheapest_of_all_and_obeys_the_limit(
    seed: int, rows: int, columns: int, limit: float
) -> None:
    cost = np.random.default_rng(seed).random((rows, columns))
    pairs = assign(cost, limit)
    assert (cost[pairs.rows, pairs.columns] <= limit).all()
    assert sorted([*pairs.rows, *pairs.free_rows]) == list(range(rows))
    assert sorted([*pairs.columns, *pairs.free_columns]) == list(range(columns))
    # by hand: `limit` is what a pair must be cheaper than to be worth making
    tall = cost if rows >= columns else cost.T
    best = min(
        sum(min(tall[row, column] - limit, 0) for column, row in enumerate(order))
        for order in permutations(range(tall.shape[0]), tall.shape[1])
    )
    assert (cost[pairs.rows, pairs.columns] - limit).sum() == pytest.approx(best, abs=1e-9)
