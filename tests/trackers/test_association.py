"""Costs and assignment."""

from __future__ import annotations

from itertools import permutations

import lap
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.detector import box_iou
from vidan.trackers import reach
from vidan.trackers.association import assign, best_pairs
from vidan.trackers.reach import pair_iou, reach_of, touching_pairs


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 12), others=st.integers(0, 12))
def test_pairs_that_touch_are_those_with_an_iou_and_have_the_same(seed: int, count: int, others: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = (
        np.sort(rng.integers(0, 12, (n, 2, 2)), axis=1).reshape(n, 4)[:, [0, 1, 2, 3]] for n in (count, others)
    )
    first, second = first.astype(np.float32), second.astype(np.float32)
    iou = box_iou(first, second)
    rows, columns = touching_pairs(reach_of(first), reach_of(second))
    is_real = iou[rows, columns] > 0  # a box without area lies within others, and has no IoU with them
    assert sorted(zip(rows[is_real], columns[is_real], strict=True)) == sorted(zip(*iou.nonzero(), strict=True))
    rows, columns = rows[is_real], columns[is_real]
    np.testing.assert_allclose(
        pair_iou(reach_of(first[rows]), reach_of(second[columns]))[0], iou[rows, columns], rtol=1e-6
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 60), widest=st.sampled_from([3, 12, 100]))
def test_crowds_are_swept_for_the_same_pairs_in_the_same_order(seed: int, count: int, widest: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 100, (2, count, 2))
    boxes = np.concatenate([corner, corner + rng.integers(0, widest, (2, count, 2))], axis=2).astype(np.float32)
    one, other = (reach_of(xyxy) for xyxy in boxes)
    for swept, compared in zip(reach._sweep(one, other), reach._compare(one, other), strict=True):
        np.testing.assert_array_equal(swept, compared)


def test_heights_tell_apart_who_overlaps_alike() -> None:
    person = np.array([[0, 0, 10, 30]], np.float32)
    child_beside, adult_beside = np.array([[0, 10, 10, 30]], np.float32), np.array([[10 / 3, 0, 10, 30]], np.float32)
    (iou, height), (other_iou, other_height) = (
        pair_iou(reach_of(person), reach_of(other)) for other in (child_beside, adult_beside)
    )
    np.testing.assert_allclose(iou, other_iou)
    np.testing.assert_allclose([height, other_height], [[2 / 3], [1]], rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(2, 60), density=st.floats(0.02, 0.9))
def test_pairs_that_are_settled_early_cost_nothing(seed: int, size: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    worth = np.where(rng.random((size, size)) < density, rng.random((size, size)) ** 3, 0)
    rows, columns = worth.nonzero()
    chosen = best_pairs(rows, columns, worth[rows, columns])
    assert len(np.unique(chosen[0])) == len(np.unique(chosen[1])) == len(chosen[0])
    _, column_of_row, _ = lap.lapjv(-worth)
    assert worth[chosen].sum() == pytest.approx(worth[np.arange(size), column_of_row].sum())


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
