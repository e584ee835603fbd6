"""The best pairing of all: linear assignment in which most pairs do not come into question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lap
import numpy as np
from numpy.typing import NDArray

_FEW_PAIRS = 128
"""Up to here the solver is quicker than finding out what need not be solved."""

_DENSE = 40
"""Up to here a matrix with idle rows is solved sooner than its rows are numbered anew."""


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """Rows and columns of a cost matrix, paired or left alone; each array ascends except `columns`.

    Attributes:
        rows: (K,) intp.
        columns: (K,) intp; columns[k] is the partner of rows[k].
        free_rows: (N - K,) intp.
        free_columns: (M - K,) intp.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    free_rows: NDArray[np.intp]
    free_columns: NDArray[np.intp]


def assign(cost: NDArray[np.float64], limit: float) -> Assignment:
    """The pairing of least total cost in which nobody is in two pairs and every pair costs less than `limit`.

    A row and a column left alone cost `limit` together.

    Args:
        cost: (N, M), finite.
        limit: What a pair must be cheaper than.
    """
    rows, columns = np.nonzero(cost < limit)
    rows, columns = best_pairs(rows, columns, limit - cost[rows, columns])
    return Assignment(
        rows, columns, np.setdiff1d(np.arange(cost.shape[0]), rows), np.setdiff1d(np.arange(cost.shape[1]), columns)
    )


def best_pairs(
    rows: NDArray[np.intp], columns: NDArray[np.intp], worth: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The matching of greatest total worth among some pairs: nobody is in two of them.

    Exact. Of many pairs one that is worth more than its best rival on either side together is in it, because whoever
    gives it up can get no more than these two; taking it frees others from their rivals in turn. What is left are a few
    pairs, or the knots of crowded places.

    Args:
        rows: (P,) one partner of each pair, from 0; no pair is listed twice.
        columns: (P,) the other partner.
        worth: (P,) above 0.

    Returns:
        (K,) rows, ascending if they were, and (K,) columns of the chosen pairs.
    """
    if len(rows) < 2:
        return rows, columns
    settled = []
    while len(rows) > _FEW_PAIRS:
        is_settled = worth > _best_rival(rows, worth) + _best_rival(columns, worth)
        if not is_settled.any():
            break
        settled.append((rows[is_settled], columns[is_settled]))
        is_open = ~(_are_among(rows, is_settled) | _are_among(columns, is_settled))
        rows, columns, worth = rows[is_open], columns[is_open], worth[is_open]
    if len(rows) > 1:
        rows, columns = _untie(rows, columns, worth)
    if not settled:
        return rows, columns
    settled.append((rows, columns))
    rows, columns = (np.concatenate(parts) for parts in zip(*settled, strict=True))
    order = rows.argsort(kind="stable")  # of a few ascending parts
    return rows[order], columns[order]


def _untie(
    rows: NDArray[np.intp], columns: NDArray[np.intp], worth: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """`best_pairs` of few.

    If each column's best pair is with another row, or each row's with another column, these are the matching, for there
    is no greater total; so it is with most. Else lap's Jonker-Volgenant solver finds it.
    """
    if _is_once(rows) and _is_once(columns):
        return rows, columns
    for group in (columns, rows):
        is_best = _is_best(group, worth)
        if _is_once(rows[is_best]) and _is_once(columns[is_best]):
            return rows[is_best], columns[is_best]
    is_best = _solve(rows, columns, worth)
    return rows[is_best], columns[is_best]


def _are_among(numbers: NDArray[np.intp], chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(P,) bool, which numbers are also there where `chosen` is."""
    return (np.bincount(numbers, chosen) > 0).take(numbers)


def _is_once(numbers: NDArray[np.intp]) -> bool:
    """Whether no number is there twice."""
    return len(set(numbers.tolist())) == len(numbers)


def _is_best(group: NDArray[np.intp], worth: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """(P,) bool, the pairs of greatest worth in their groups."""
    best = np.zeros(group.item(group.argmax()) + 1, worth.dtype)
    np.maximum.at(best, group, worth)
    return worth == best[group]


def _best_rival(group: NDArray[np.intp], worth: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """(P,) the greatest worth among the other pairs of each pair's group, 0 where there is none."""
    order = np.lexsort((-worth, group))
    sorted_group, sorted_worth = group[order], np.append(worth[order], 0)
    places = np.arange(len(order))
    is_best = np.append(True, sorted_group[1:] != sorted_group[:-1])
    best = np.maximum.accumulate(np.where(is_best, places, 0))  # place of the best of each group
    has_second = np.append(~is_best[1:], False)
    rival = np.empty_like(worth)
    rival[order] = np.where(is_best, np.where(has_second, sorted_worth[places + 1], 0), sorted_worth[best])
    return rival


def _solve(rows: NDArray[np.intp], columns: NDArray[np.intp], worth: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """(P,) bool, the pairs of the best matching, by a dense matrix in which staying alone is worth nothing."""
    size = _span(rows, columns)
    if size > _DENSE:
        rows, columns = _renumber(rows), _renumber(columns)
        size = _span(rows, columns)
    cost = np.zeros((size, size))
    cost[rows, columns] = -worth
    column_of_row, _ = lap.lapjv(cost, return_cost=False)
    return column_of_row[rows] == columns


def _span(rows: NDArray[np.intp], columns: NDArray[np.intp]) -> int:
    return max(rows.item(rows.argmax()), columns.item(columns.argmax())) + 1


def _renumber(numbers: NDArray[np.intp]) -> NDArray[np.intp]:
    """The same numbers without holes, from 0."""
    return ((np.bincount(numbers) > 0).cumsum() - 1).take(numbers)
