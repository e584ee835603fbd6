"""How well tracks agree with ground truth, judged by TrackEval: HOTA, CLEAR MOT and identity."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidan.detector import box_iou
from vidan.trackers.association import assign
from vidan.trackers.mot import PEDESTRIAN, MotRows

_DISTRACTORS = (2, 7, 8, 12)
"""MOT17's person on vehicle, static person, distractor, reflection: boxes on them are neither right nor wrong."""

_MATCH_IOU = 0.5


IOU_THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Where HOTA is evaluated: 0.05 to 0.95."""


@dataclass(frozen=True, slots=True)
class TrackMetrics:
    """Scores of one sequence or several; every ratio 0..1, higher is better, except `mota`, which can be negative.

    Attributes:
        hota: Geometric mean of `deta` and `assa`, averaged over IoU 0.05 to 0.95 (Luiten et al., IJCV 2021).
        deta: Detection part of HOTA.
        assa: Association part of HOTA.
        mota: 1 - (misses + false positives + id switches) / ground-truth boxes, at IoU 0.5.
        idf1: F1 of boxes that carry the right identity, at IoU 0.5 (Ristani et al., 2016).
        id_switches: How often a ground-truth track changes its predicted id.
        fragmentations: How often a ground-truth track is interrupted.
        false_positives: Predicted boxes without ground truth.
        misses: Ground-truth boxes without prediction.
        gt_boxes: Evaluated ground-truth boxes.
        hota_curve: HOTA at each of `IOU_THRESHOLDS`.
        deta_curve: Its detection part at each of them.
        assa_curve: Its association part at each of them.
    """

    hota: float
    deta: float
    assa: float
    mota: float
    idf1: float
    id_switches: int
    fragmentations: int
    false_positives: int
    misses: int
    gt_boxes: int
    hota_curve: tuple[float, ...]
    deta_curve: tuple[float, ...]
    assa_curve: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores by sequence, and of all boxes together, which is no mean of the others: long sequences weigh more."""

    sequences: Mapping[str, TrackMetrics]
    combined: TrackMetrics


def evaluate_tracks(gt: Mapping[str, MotRows], predicted: Mapping[str, MotRows]) -> TrackMetrics:
    """Scores over all sequences together, of `evaluate_sequences`."""
    return evaluate_sequences(gt, predicted).combined


def evaluate_sequences(gt: Mapping[str, MotRows], predicted: Mapping[str, MotRows]) -> Evaluation:
    """Scores of predicted tracks, sequence by sequence and over all of the ground truth together.

    The preparation is MOTChallenge's: ground truth that is not a pedestrian or has confidence 0 is not asked for, and a
    predicted box that fits a distractor best counts neither way.

    Args:
        gt: Ground truth by name of the sequence.
        predicted: Tracker results by the same names.

    Raises:
        ValueError: If the names differ, or an id appears twice in a frame.
        ImportError: If TrackEval is not installed.
    """
    if gt.keys() != predicted.keys():
        raise ValueError(f"ground truth is of {sorted(gt)}, predictions of {sorted(predicted)}")
    metrics = require_trackeval().metrics
    quiet = {"PRINT_CONFIG": False, "THRESHOLD": _MATCH_IOU}
    judges = (metrics.HOTA(), metrics.CLEAR(quiet), metrics.Identity(quiet))
    found: dict[str, list[dict[str, Any]]] = {}
    for name in gt:
        sequence = _sequence(name, gt[name], predicted[name])
        found[name] = [judge.eval_sequence(sequence) for judge in judges]
    combined = [
        judge.combine_sequences({name: scores[i] for name, scores in found.items()}) for i, judge in enumerate(judges)
    ]
    return Evaluation({name: _to_metrics(*scores) for name, scores in found.items()}, _to_metrics(*combined))


def _to_metrics(hota: dict[str, Any], clear: dict[str, Any], identity: dict[str, Any]) -> TrackMetrics:
    return TrackMetrics(
        hota=float(np.mean(hota["HOTA"])),
        deta=float(np.mean(hota["DetA"])),
        assa=float(np.mean(hota["AssA"])),
        mota=float(clear["MOTA"]),
        idf1=float(identity["IDF1"]),
        id_switches=int(clear["IDSW"]),
        fragmentations=int(clear["Frag"]),
        false_positives=int(clear["CLR_FP"]),
        misses=int(clear["CLR_FN"]),
        gt_boxes=int(clear["CLR_TP"] + clear["CLR_FN"]),
        hota_curve=tuple(hota["HOTA"].tolist()),
        deta_curve=tuple(hota["DetA"].tolist()),
        assa_curve=tuple(hota["AssA"].tolist()),
    )


def require_trackeval() -> ModuleType:
    """TrackEval, without which no tracks are scored.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        return importlib.import_module("trackeval")
    except ImportError as error:
        raise ImportError("scoring tracks needs TrackEval: pip install 'vidan[eval]'") from error


def _sequence(name: str, gt: MotRows, predicted: MotRows) -> dict[str, Any]:
    """One sequence in the form of TrackEval's metrics: ids from 0, one entry per frame, similarity as IoU."""
    gt_frames, predicted_frames, similarities = [], [], []
    for frame in np.union1d(gt.frame, predicted.frame):
        truth, answer = gt[gt.frame == frame], predicted[predicted.frame == frame]
        answer = answer[~_on_distractor(truth, answer)]
        truth = truth[(truth.class_id == PEDESTRIAN) & (truth.confidence != 0)]
        for rows, whose in ((truth, "ground truth"), (answer, "prediction")):
            ids, times = np.unique(rows.track_id, return_counts=True)
            if len(ids) < len(rows):
                raise ValueError(
                    f"sequence {name!r}: an id appears twice in frame {frame} of the {whose}: {ids[times > 1][0]}"
                )
        gt_frames.append(truth.track_id)
        predicted_frames.append(answer.track_id)
        similarities.append(box_iou(truth.xyxy, answer.xyxy))
    gt_ids, gt_id_count = _relabel(gt_frames)
    predicted_ids, predicted_id_count = _relabel(predicted_frames)
    return {
        "num_timesteps": len(similarities),
        "num_gt_ids": gt_id_count,
        "num_tracker_ids": predicted_id_count,
        "num_gt_dets": sum(len(ids) for ids in gt_ids),
        "num_tracker_dets": sum(len(ids) for ids in predicted_ids),
        "gt_ids": gt_ids,
        "tracker_ids": predicted_ids,
        "similarity_scores": similarities,
    }


def _on_distractor(truth: MotRows, answer: MotRows) -> NDArray[np.bool_]:
    """(N,) bool, which rows of the answer fit, one to one and at IoU 0.5, a distractor better than anybody else."""
    pairs = assign(1 - box_iou(truth.xyxy, answer.xyxy), 1 - _MATCH_IOU)
    result = np.zeros(len(answer), np.bool_)
    result[pairs.columns] = np.isin(truth.class_id[pairs.rows], _DISTRACTORS)
    return result


def _relabel(ids_of_frames: list[NDArray[np.int64]]) -> tuple[list[NDArray[np.int64]], int]:
    """The same ids numbered from 0 without holes, and how many there are."""
    known, labels = np.unique(np.concatenate([np.zeros(0, np.int64), *ids_of_frames]), return_inverse=True)
    bounds = np.cumsum([len(ids) for ids in ids_of_frames])[:-1]
    return np.split(labels, bounds), len(known)
