"""Scores against answers known by hand, and of the tracker on open footage."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from vidan.trackers import IOU_THRESHOLDS, ByteTracker, MotRows, evaluate_sequences, evaluate_tracks, read_mot


def rows(*table: tuple[int, int, float, int, int]) -> MotRows:
    """(frame, id, x, confidence, class), boxes 10 x 10."""
    frame, track_id, x, confidence, class_id = np.array(table, np.float64).reshape(-1, 5).T
    xyxy = np.stack([x, 0 * x, x + 10, 0 * x + 10], axis=1)
    return MotRows(frame.astype(np.int64), track_id.astype(np.int64), xyxy, confidence, class_id.astype(np.int64))


TWO_WALKERS = rows(*((frame, who, 100.0 * who + frame, 1, 1) for frame in range(1, 11) for who in (1, 2)))


def test_the_truth_scores_full_marks() -> None:
    metrics = evaluate_tracks({"a": TWO_WALKERS}, {"a": TWO_WALKERS})
    assert (metrics.hota, metrics.mota, metrics.idf1) == pytest.approx((1, 1, 1))
    assert (metrics.id_switches, metrics.false_positives, metrics.misses) == (0, 0, 0)
    assert metrics.gt_boxes == 20


def test_one_swap_of_ids_is_two_switches_and_half_the_identity() -> None:
    swapped = TWO_WALKERS.track_id.copy()
    late = TWO_WALKERS.frame > 5
    swapped[late] = 3 - swapped[late]
    answer = MotRows(TWO_WALKERS.frame, swapped, TWO_WALKERS.xyxy, TWO_WALKERS.confidence, TWO_WALKERS.class_id)
    metrics = evaluate_tracks({"a": TWO_WALKERS}, {"a": answer})
    assert metrics.id_switches == 2
    assert metrics.mota == pytest.approx(1 - 2 / 20)
    assert metrics.idf1 == pytest.approx(0.5)
    assert metrics.deta == pytest.approx(1)
    assert metrics.assa == pytest.approx(1 / 3)  # 5 frames together of 10 + 10 - 5


def test_a_missing_answer_is_all_misses_and_a_stranger_is_a_false_positive() -> None:
    nothing = evaluate_tracks({"a": TWO_WALKERS}, {"a": rows()})
    assert (nothing.misses, nothing.mota) == (20, 0)
    stranger = rows(*((frame, 9, 900.0, 1, 1) for frame in range(1, 11)))
    assert evaluate_tracks({"a": TWO_WALKERS}, {"a": stranger}).false_positives == 10


def test_distractors_and_rows_not_evaluated_count_neither_way() -> None:
    truth = rows((1, 1, 0, 1, 1), (1, 2, 100, 1, 8), (1, 3, 200, 0, 1), (1, 4, 300, 1, 3))
    answer = rows((1, 1, 0, 1, 1), (1, 2, 100, 1, 1))
    metrics = evaluate_tracks({"a": truth}, {"a": answer})
    assert (metrics.gt_boxes, metrics.misses, metrics.false_positives) == (1, 0, 0)
    on_a_car = evaluate_tracks({"a": truth}, {"a": rows((1, 1, 300, 1, 1))})
    assert on_a_car.false_positives == 1


def test_sequences_are_weighed_by_their_boxes() -> None:
    short = rows((1, 1, 0, 1, 1), (2, 1, 0, 1, 1))
    metrics = evaluate_tracks({"a": TWO_WALKERS, "b": short}, {"a": TWO_WALKERS, "b": rows()})
    assert metrics.mota == pytest.approx(20 / 22)


def test_every_sequence_has_scores_of_its_own() -> None:
    short = rows((1, 1, 0, 1, 1), (2, 1, 0, 1, 1))
    evaluation = evaluate_sequences({"a": TWO_WALKERS, "b": short}, {"a": TWO_WALKERS, "b": rows()})
    assert list(evaluation.sequences) == ["a", "b"]
    assert (evaluation.sequences["a"].mota, evaluation.sequences["b"].mota) == (1, 0)
    assert evaluation.combined.misses == evaluation.sequences["b"].misses == 2
    assert evaluation.sequences["a"] == evaluate_tracks({"a": TWO_WALKERS}, {"a": TWO_WALKERS})


def test_the_curves_say_up_to_which_overlap_boxes_fit() -> None:
    shifted = TWO_WALKERS.xyxy + np.array([2.5, 0, 2.5, 0])  # IoU 7.5 / 12.5
    answer = MotRows(TWO_WALKERS.frame, TWO_WALKERS.track_id, shifted, TWO_WALKERS.confidence, TWO_WALKERS.class_id)
    metrics = evaluate_tracks({"a": TWO_WALKERS}, {"a": answer})
    for curve in (metrics.hota_curve, metrics.deta_curve, metrics.assa_curve):
        assert [value > 0 for value in curve] == [threshold <= 0.6 for threshold in IOU_THRESHOLDS]
    assert metrics.hota == pytest.approx(sum(metrics.hota_curve) / len(IOU_THRESHOLDS))


def test_other_sequences_than_the_truth_are_refused() -> None:
    with pytest.raises(ValueError, match="ground truth is of"):
        evaluate_tracks({"a": TWO_WALKERS}, {"b": TWO_WALKERS})


def test_an_id_twice_in_a_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="sequence 'a': an id appears twice in frame 1 of the prediction: 1"):
        evaluate_tracks({"a": TWO_WALKERS}, {"a": rows((1, 1, 0, 1, 1), (1, 1, 50, 1, 1))})


def test_without_trackeval_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackeval", None)
    with pytest.raises(ImportError, match=r"pip install 'vidan\[eval\]'"):
        evaluate_tracks({"a": TWO_WALKERS}, {"a": TWO_WALKERS})


# Combined scores of the authors' tracker on the same detections: HOTA 0.3955, MOTA 0.524, IDF1 0.531, 174 switches.
def test_on_open_footage_the_tracker_is_no_worse_than_the_original(shared: Path) -> None:
    rates = {"ADL-Rundle-6": 30, "KITTI-17": 10, "PETS09-S2L1": 7, "TUD-Campus": 25, "TUD-Stadtmitte": 25}
    truth, answers = {}, {}
    for name, fps in rates.items():
        folder = shared / "tracking" / "mot15" / name
        truth[name] = read_mot(folder / "gt" / "gt.txt")
        tracker = ByteTracker(high_confidence=0.5, new_confidence=0.6)  # as theirs: these scores begin at 0.5
        detections = read_mot(folder / "det" / "det.txt").detections(int(truth[name].frame.max()))
        found = [tracker.update(frame, index / fps) for index, frame in enumerate(detections)]
        answers[name] = MotRows.from_tracks([tracks[tracks.confirmed] for tracks in found])
    metrics = evaluate_tracks(truth, answers)
    assert metrics.hota >= 0.3955
    assert metrics.mota >= 0.524
    assert metrics.idf1 >= 0.531
    assert metrics.id_switches <= 174
