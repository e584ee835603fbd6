"""Which detection found which object, by cases worked out by hand and by laws that hold for any."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.detector import Detections
from vidan.detector.data import Sample
from vidan.detector.evaluate import (
    best_confidence,
    confusion_matrix,
    evaluate_detections,
    find_mistakes,
    precision_recall,
    worst_pictures,
)

A, B, C = (0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)
NEAR_A = (0, 0, 10, 8)
CROWD = (0, 20, 100, 60)


def truth(boxes: Sequence[Sequence[float]], classes: Sequence[int], ignored: Sequence[bool] | None = None) -> Sample:
    return Sample(
        Path("unread.png"),
        (100, 100),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(classes, np.int64),
        np.array(ignored or [False] * len(classes), np.bool_),
    )


def seen(boxes: Sequence[Sequence[float]], classes: Sequence[int], scores: Sequence[float]) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(classes, np.int64)
    )


def test_the_surest_detection_finds_the_object_and_others_are_false() -> None:
    mistakes = find_mistakes(seen([NEAR_A, A, B], [0, 0, 0], [0.9, 0.8, 0.3]), truth([A, C], [0, 0]), 0.5)
    assert mistakes.right.tolist() == [True, False, False]
    assert mistakes.false.tolist() == [False, True, False]  # the third is not sure enough to be judged
    assert mistakes.missed.tolist() == [False, True]
    assert mistakes.count == 2


def test_an_object_is_found_by_its_own_class_only() -> None:
    mistakes = find_mistakes(seen([A, A], [1, 0], [0.9, 0.8]), truth([A], [0]), 0.5)
    assert (mistakes.right.tolist(), mistakes.false.tolist()) == ([False, True], [True, False])


def test_ignored_objects_forgive_any_number_and_are_never_missed() -> None:
    inside, half_out = (10, 25, 30, 45), (90, 30, 130, 50)
    found = seen([inside, inside, half_out, A], [0, 0, 0, 0], [0.9, 0.8, 0.7, 0.6])
    mistakes = find_mistakes(found, truth([CROWD, A], [0, 0], [True, True]), 0.5)
    assert mistakes.false.tolist() == [False, False, True, False]
    assert not mistakes.missed.any()


def test_the_confusion_matrix_pairs_equal_classes_first() -> None:
    found = [seen([A, NEAR_A, B, C], [1, 0, 1, 0], [0.9, 0.8, 0.7, 0.4])]
    objects = [truth([A, B, CROWD], [0, 0, 0], [False, False, True])]
    matrix = confusion_matrix(found, objects, 2, 0.5)
    # A is found as 0 by the poorer box, which leaves the better one of class 1 without a partner; B is taken for 1.
    assert matrix.tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 0]]
    assert confusion_matrix(found, objects, 2, 0.95).tolist() == [[0, 0, 2], [0, 0, 0], [0, 0, 0]]


def test_curves_count_what_is_right_from_the_surest_on() -> None:
    found = [seen([A, B], [0, 0], [0.9, 0.8]), seen([B, C], [0, 1], [0.7, 0.6])]
    together, (first, second, third) = precision_recall(found, [truth([A], [0]), truth([B, C], [0, 1])], 3)
    assert first is not None
    assert first.confidence.tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert first.precision.tolist() == [1, 1 / 2, 2 / 3]
    assert first.recall.tolist() == [1 / 2, 1 / 2, 1]
    assert second is not None
    assert second.recall.tolist() == [1]
    assert third is None
    assert together.at(0.75) == (1 / 2, 1 / 3)
    assert together.at(0.95) == (1.0, 0.0)
    assert best_confidence(together) == pytest.approx(0.6, abs=0.002)


def test_where_nothing_is_found_there_is_still_an_answer() -> None:
    together, _ = precision_recall([Detections.empty()], [truth([A], [0])], 1)
    assert best_confidence(together) == 0.5
    assert together.at(0.5) == (1.0, 0.0)


def test_pictures_without_mistakes_are_not_among_the_worst() -> None:
    objects = truth([A, B], [0, 0])
    answers = [seen([A, B], [0, 0], [0.9, 0.9]), seen([A], [0], [0.9]), Detections.empty()]
    assert worst_pictures([find_mistakes(found, objects, 0.5) for found in answers]) == [2, 1]


boxes = st.builds(
    lambda x, y, w, h: (x, y, x + w, y + h),
    *(st.integers(0, 60), st.integers(0, 60), st.integers(1, 40), st.integers(1, 40)),
)
objects = st.lists(st.tuples(boxes, st.integers(0, 1), st.booleans()), max_size=6)
found_objects = st.lists(st.tuples(boxes, st.integers(0, 1), st.floats(0.01, 1)), max_size=8)
pictures = st.lists(st.tuples(objects, found_objects), min_size=1, max_size=3)


@given(pictures)
@settings(max_examples=60, deadline=None)
def test_every_object_and_every_detection_is_in_the_matrix_at_most_once(
    drawn: list[tuple[list[tuple], list[tuple]]],
) -> None:
    samples = [truth([o[0] for o in own], [o[1] for o in own], [o[2] for o in own] or None) for own, _ in drawn]
    answers = [seen([f[0] for f in found], [f[1] for f in found], [f[2] for f in found]) for _, found in drawn]
    matrix = confusion_matrix(answers, samples, 2, 0.0)
    wanted = np.bincount(np.concatenate([s.class_id[~s.ignored] for s in samples]), minlength=2)
    given_classes = np.bincount(np.concatenate([found.class_id for found in answers]), minlength=2)
    assert matrix[:2].sum(axis=1).tolist() == wanted.tolist()
    assert (matrix[:, :2].sum(axis=0) <= given_classes).all()
    for sample, found in zip(samples, answers, strict=True):
        mistakes = find_mistakes(found, sample, 0.0)
        assert not (mistakes.right & mistakes.false).any()
        assert np.count_nonzero(mistakes.right) + np.count_nonzero(mistakes.missed) == np.count_nonzero(~sample.ignored)


@given(pictures)
@settings(max_examples=40, deadline=None)
def test_the_area_under_each_curve_is_the_ap50_of_coco(drawn: list[tuple[list[tuple], list[tuple]]]) -> None:
    """The area as COCO has it: of the curve's envelope, at 101 recalls."""
    samples = [truth([o[0] for o in own], [o[1] for o in own]) for own, _ in drawn]
    answers = [seen([f[0] for f in found], [f[1] for f in found], [f[2] for f in found]) for _, found in drawn]
    if not any(len(sample.xyxy) for sample in samples):
        return
    metrics = evaluate_detections(answers, samples, ("a", "b"))
    _, curves = precision_recall(answers, samples, 2)
    for name, curve in zip(("a", "b"), curves, strict=True):
        if curve is not None:
            envelope = np.maximum.accumulate(curve.precision[::-1])[::-1]
            places = np.searchsorted(curve.recall, np.linspace(0, 1, 101), side="left")
            sampled = np.append(envelope, 0)[np.minimum(places, len(envelope))]
            assert metrics.per_class[name].ap50 == pytest.approx(sampled.mean(), abs=1e-6)
