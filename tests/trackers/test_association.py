"""Costs and assignment."""

from __future__ import annotations

from itertools import permutations

import lap
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidan.detector import box_iou
from vidan.trackers import reach
from vidan.trackers.association import assign, best_pairs
from vidan.trackers.reach import overlapping, pair_iou, reach_of


def some_boxes(rng: np.random.Generator, count: int, *, room: int = 12, widest: int = 12) -> NDArray[np.float32]:
    corner = rng.integers(0, room, (count, 2))
    return np.hstack([corner, corner + rng.integers(0, widest, (count, 2))]).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 12), others=st.integers(0, 12))
def test_pairs_that_overlap_are_those_with_an_iou_and_have_the_same(seed: int, count: int, others: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = some_boxes(rng, count), some_boxes(rng, others)
    iou = box_iou(first, second)
    rows, columns, likeness = overlapping(reach_of(first), reach_of(second), with_heights=False)
    np.testing.assert_array_equal(np.stack([rows, columns]), np.stack(iou.nonzero()))
    np.testing.assert_allclose(likeness, iou[rows, columns], rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 60),
    widest=st.sampled_from([3, 12, 100]),
    is_grown=st.booleans(),
)
def test_crowds_have_the_same_pairs_in_the_same_order(seed: int, count: int, widest: int, is_grown: bool) -> None:
    rng = np.random.default_rng(seed)
    one, other = (reach_of(some_boxes(rng, count, room=100, widest=widest)) for _ in range(2))
    growth = rng.random((2, count)).astype(np.float32) if is_grown else None
    everybody = overlapping(one, other, growth)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reach, "_MANY_PAIRS", 0)
        swept = overlapping(one, other, growth)
    for one_by_one, at_once in zip(swept, everybody, strict=True):
        np.testing.assert_array_equal(one_by_one, at_once)


def test_boxes_grow_to_each_side_by_their_own_size() -> None:
    left, right = np.array([[0, 0, 10, 20]], np.float32), np.array([[16, 0, 24, 20]], np.float32)
    growth = np.array([[0.5], [0.25]], np.float32)
    grown = np.array([[-5, -5, 15, 25]], np.float32), np.array([[12, -5, 28, 25]], np.float32)
    _, _, likeness = overlapping(reach_of(left), reach_of(right), growth, with_heights=False)
    np.testing.assert_allclose(likeness, box_iou(*grown)[0], rtol=1e-6)
    assert len(overlapping(reach_of(left), reach_of(right))[0]) == 0


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
    assert (np.diff(chosen[0]) > 0).all()


def test_of_pairs_worth_the_same_nobody_is_in_two() -> None:
    rows, columns = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    for worth in ([1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.5], [0.5, 1.0, 1.0, 1.0]):
        chosen = best_pairs(rows, columns, np.array(worth))
        assert sorted(chosen[0]) == sorted(chosen[1]) == [0, 1]


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
