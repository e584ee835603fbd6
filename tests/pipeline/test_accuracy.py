"""Counts against manual ones: the laws of the errors, and the matching of events."""

from __future__ import annotations

from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.report.accuracy import MIN_INTERVALS, compare_counts, compare_events, geh, wilson
from vidan.pipeline.report.manual import ManualCount, ManualEvent, Movement
from vidan.pipeline.report.matching import match_times

IN = Movement("yard", "gate", None, "in")
TENTHS = st.integers(0, 100).map(lambda tenths: tenths / 10)


def crossing(seconds: float, direction: str = "in", label: str = "person", rule: str = "gate") -> Event:
    details = {"direction": direction, "certainty": "seen"}
    return Event(f"{seconds}", EventKind.LINE_CROSSED, "yard", rule, 1, label, seconds, None, 0, details=details)


@settings(deadline=None, max_examples=150)
@given(st.lists(TENTHS, max_size=12).map(sorted), st.lists(TENTHS, max_size=12).map(sorted), TENTHS)
def test_matching_is_one_to_one_within_the_tolerance_and_as_large_as_can_be(
    reference: list[float], counted: list[float], tolerance: float
) -> None:
    pairs = match_times(reference, counted, tolerance)
    for side in zip(*pairs, strict=True):
        assert len(set(side)) == len(pairs)
    assert all(abs(reference[i] - counted[j]) <= tolerance for i, j in pairs)
    if reference and counted:
        fits = np.abs(np.subtract.outer(reference, counted)) <= tolerance
        assert len(pairs) == (maximum_bipartite_matching(csr_array(fits)) >= 0).sum()


@settings(deadline=None, max_examples=50)
@given(st.lists(TENTHS, max_size=30))
def test_the_run_against_its_own_counts_has_no_error(times: list[float]) -> None:
    log = [crossing(seconds) for seconds in times]
    starts = range(11)
    manual = [ManualCount(IN, start, start + 1, sum(start <= t < start + 1 for t in times)) for start in starts]
    (accuracy,) = compare_counts(manual, log, {})
    assert accuracy.manual == accuracy.counted == len(times)
    assert (accuracy.error, accuracy.relative_error, accuracy.wape, accuracy.geh) == (0, 0, 0, 0)
    assert accuracy.confidence_interval() == ((0, 0) if times else None)
    for judged in compare_events([ManualEvent(IN, seconds) for seconds in times], log, {}, 0):
        assert (len(judged.true), judged.missed, judged.false, judged.double) == (len(times), (), (), ())
        assert judged.wrong == 0


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=12))
def test_errors_of_intervals_add_up_and_wape_is_never_below_the_error_of_the_sum(pairs: list[tuple[int, int]]) -> None:
    manual = [ManualCount(IN, 10 * i, 10 * i + 10, count) for i, (count, _) in enumerate(pairs)]
    log = [crossing(10 * i + 5) for i, (_, counted) in enumerate(pairs) for _ in range(counted)]
    (accuracy,) = compare_counts(manual, log, {})
    assert accuracy.error == sum(cell.error for cell in accuracy.cells) == sum(c - m for m, c in pairs)
    assert accuracy.counted == len(log)
    assert accuracy.wape >= abs(accuracy.relative_error)
    interval = accuracy.confidence_interval()
    assert (interval is None) == (len(pairs) < MIN_INTERVALS or not accuracy.manual)
    if interval is not None:
        ratios = [c / m - 1 if m else inf for m, c in pairs if m or c]
        assert min(ratios) - 1e-9 <= interval[0] <= interval[1] <= max(ratios) + 1e-9
        assert interval == accuracy.confidence_interval(), "the same input, the same interval"


@settings(deadline=None, max_examples=50)
@given(st.lists(TENTHS, max_size=12), st.lists(TENTHS, max_size=12), TENTHS)
def test_every_event_is_true_false_or_double_and_every_manual_one_true_or_missed(
    times: list[float], counted: list[float], tolerance: float
) -> None:
    manual = [ManualEvent(IN, seconds) for seconds in times]
    for judged in compare_events(manual, [crossing(seconds) for seconds in counted], {}, tolerance):
        assert len(judged.true) + len(judged.missed) == len(times)
        assert len(judged.true) + len(judged.false) + len(judged.double) == len(counted)
        for event in judged.false:
            assert all(abs(event.pts_seconds - seconds) > tolerance for seconds in times)


def test_an_event_at_the_end_of_an_interval_belongs_to_the_next_one() -> None:
    manual = [ManualCount(IN, 0, 10, 0), ManualCount(IN, 10, 20, 1)]
    (accuracy,) = compare_counts(manual, [crossing(10)], {})
    assert [cell.counted for cell in accuracy.cells] == [0, 1]


def test_only_what_was_meant_is_counted() -> None:
    vehicles = [crossing(1, label="bus"), crossing(1, label="car")]
    log = [crossing(1), crossing(1, "out"), *vehicles, crossing(1, rule="door")]
    for movement, counted in [
        (IN, 3),
        (Movement("yard", "gate", None, None), 4),
        (Movement("yard", "gate", "person", None), 2),
        (Movement("yard", "gate", "vehicle", "in"), 2),
        (Movement("street", "gate", None, "in"), 0),
    ]:
        (accuracy,) = compare_counts([ManualCount(movement, 0, 2, 0)], log, {"vehicle": frozenset({"bus", "car"})})
        assert accuracy.counted == counted, movement


def test_classes_of_one_direction_are_summed_up_per_interval() -> None:
    manual = [
        ManualCount(Movement("yard", "gate", label, "in"), start, start + 10, 1)
        for label in ("person", "bus")
        for start in range(0, 50, 10)
    ]
    (accuracy,) = compare_counts(manual, [crossing(5)], {})
    assert accuracy.manual == 10
    assert accuracy.intervals[0, 10] == (2, 1)
    assert len(accuracy.intervals) == MIN_INTERVALS
    assert accuracy.confidence_interval() is not None


def test_geh_is_of_hourly_volumes() -> None:
    assert geh(100, 121) == pytest.approx(sqrt(2 * 21**2 / 221))
    assert geh(0, 0) == 0
    (accuracy,) = compare_counts([ManualCount(IN, 0, 900, 1)], [crossing(1), crossing(2)], {})
    assert accuracy.geh == accuracy.cells[0].geh == pytest.approx(geh(4, 8))


def test_counting_what_never_happened_is_an_infinite_error() -> None:
    (accuracy,) = compare_counts([ManualCount(IN, 0, 10, 0)], [crossing(1)], {})
    assert (accuracy.relative_error, accuracy.wape) == (inf, inf)


def test_a_second_event_near_a_true_one_is_double_and_one_elsewhere_false() -> None:
    manual = [ManualEvent(IN, 5), ManualEvent(IN, 20)]
    (judged,) = compare_events(manual, [crossing(5.2), crossing(5.5), crossing(9)], {}, 1)
    assert [(seconds, event.pts_seconds) for seconds, event in judged.true] == [(5, 5.2)]
    assert [event.pts_seconds for event in judged.double] == [5.5]
    assert [event.pts_seconds for event in judged.false] == [9]
    assert judged.missed == (20,)
    assert (judged.recall, judged.precision, judged.wrong) == (0.5, 1 / 3, 1.5)
    assert judged.median_delay == pytest.approx(0.2)


def test_the_score_interval_is_wilsons() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # Newcombe, Stat. Med. 17 (1998), method 3
    assert wilson(0, 0) == (0, 1)
    assert wilson(10, 10)[1] == pytest.approx(1)
