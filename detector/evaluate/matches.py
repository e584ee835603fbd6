"""Which detection found which object: what curves over the confidence, confusion matrix and worst pictures rest on.

Two kinds of pairs are told apart. For precision and recall a detection can only find an object of its own class, as
COCO has it. For the confusion matrix classes may differ, since which ones are mixed up is the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidan.detector.boxes import box_area, box_iou
from vidan.detector.data.samples import Sample
from vidan.detector.detections import Detections

MATCH_IOU = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionRecall:
    """Precision and recall of one class over falling confidence; each step takes in one more detection.

    Attributes:
        confidence: (N,) falling.
        precision: (N,) share of the detections up to here that are right.
        recall: (N,) share of the objects that are found by them.
    """

    confidence: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    @property
    def f1(self) -> NDArray[np.float64]:
        """(N,) harmonic means of precision and recall."""
        total = self.precision + self.recall
        return np.divide(2 * self.precision * self.recall, total, out=np.zeros_like(total), where=total > 0)

    def at(self, confidence: float) -> tuple[float, float]:
        """Precision and recall of the detections from this confidence on; precision is 1 where there are none."""
        count = int(np.count_nonzero(self.confidence >= confidence))
        return (float(self.precision[count - 1]), float(self.recall[count - 1])) if count else (1.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Mistakes:
    """What went wrong on one picture at one confidence.

    Attributes:
        right: (N,) bool, detections that found an object of their class.
        false: (N,) bool, detections that found none, or one of another class.
        missed: (M,) bool, objects that no detection of their class found.
    """

    right: NDArray[np.bool_]
    false: NDArray[np.bool_]
    missed: NDArray[np.bool_]

    @property
    def count(self) -> int:
        return int(np.count_nonzero(self.false) + np.count_nonzero(self.missed))


def precision_recall(
    found: Sequence[Detections], samples: Sequence[Sample], classes: int
) -> tuple[PrecisionRecall, list[PrecisionRecall | None]]:
    """Precision and recall over the confidence: of all classes together, and of each; None for one without objects.

    Unlike the curve under which COCO measures the area, these are as they are: precision may rise again.

    Args:
        found: One per sample.
        samples: What is to be found; at least one object.
        classes: Number of classes.
    """
    mistakes = [find_mistakes(detections, sample, 0.0) for detections, sample in zip(found, samples, strict=True)]
    judged = [each.right | each.false for each in mistakes]
    confidence = np.concatenate([each.confidence[kept] for each, kept in zip(found, judged, strict=True)])
    class_id = np.concatenate([each.class_id[kept] for each, kept in zip(found, judged, strict=True)])
    right = np.concatenate([each.right[kept] for each, kept in zip(mistakes, judged, strict=True)])
    objects = np.bincount(np.concatenate([each.class_id[~each.ignored] for each in samples]), minlength=classes)
    per_class = [
        _curve(confidence[class_id == number], right[class_id == number], count) if count else None
        for number, count in enumerate(objects.tolist())
    ]
    return _curve(confidence, right, int(objects.sum())), per_class


def best_confidence(curve: PrecisionRecall) -> float:
    """The confidence at which F1 is largest, rounded down to three digits; 0.5 where nothing is found at all."""
    if len(curve.confidence) == 0:
        return 0.5
    return float(np.floor(1000 * curve.confidence[int(np.argmax(curve.f1))]) / 1000)


def find_mistakes(found: Detections, sample: Sample, confidence: float) -> Mistakes:
    """Right, false and missed of one picture, at IoU 0.5, the detections in falling order of their confidence.

    Each takes that free object of its class which it covers best. If there is none, an ignored object of its class
    forgives it if half of the detection lies inside, for that object may be a crowd of many.
    """
    right, false = np.zeros(len(found), np.bool_), np.zeros(len(found), np.bool_)
    overlap = box_iou(found.xyxy, sample.xyxy)
    overlap[found.class_id[:, None] != sample.class_id[None, :]] = 0
    forgiven = _is_forgiven(found, sample)
    free = ~sample.ignored
    for index in np.argsort(-found.confidence, kind="stable").tolist():
        if found.confidence[index] < confidence:
            break
        candidates = np.where(free, overlap[index], 0)
        best = len(candidates) - 1 - int(candidates[::-1].argmax()) if len(candidates) else -1  # the last, as COCO
        if best >= 0 and candidates[best] >= MATCH_IOU:
            free[best] = False
            right[index] = True
        elif not forgiven[index]:
            false[index] = True
    return Mistakes(right, false, free & ~sample.ignored)


def confusion_matrix(
    found: Sequence[Detections], samples: Sequence[Sample], classes: int, confidence: float
) -> NDArray[np.int64]:
    """(C + 1, C + 1) how often an object of the row was found as the column; the last row and column mean "nothing".

    Pairs are one to one at IoU 0.5: first those of the same class, then those of different ones, each the best covered
    first. Detections on ignored objects are left out.
    """
    matrix = np.zeros((classes + 1, classes + 1), np.int64)
    for detections, sample in zip(found, samples, strict=True):
        sure = detections[detections.confidence >= confidence]
        overlap = box_iou(sure.xyxy, sample.xyxy)
        overlap[:, sample.ignored] = 0
        same = sure.class_id[:, None] == sample.class_id[None, :]
        pairs = np.argwhere(overlap >= MATCH_IOU)
        order = np.lexsort((-overlap[tuple(pairs.T)], ~same[tuple(pairs.T)]))
        lonely, free = np.ones(len(sure), np.bool_), ~sample.ignored
        for own, other in pairs[order].tolist():
            if lonely[own] and free[other]:
                lonely[own] = free[other] = False
                matrix[sample.class_id[other], sure.class_id[own]] += 1
        lonely &= ~_is_forgiven(sure, sample)
        matrix[classes] += np.bincount(sure.class_id[lonely], minlength=classes + 1)
        matrix[:, classes] += np.bincount(sample.class_id[free], minlength=classes + 1)
    return matrix


def worst_pictures(mistakes: Sequence[Mistakes]) -> list[int]:
    """Indices of the pictures with mistakes, most mistakes first."""
    counts = np.array([each.count for each in mistakes], np.int64)
    return [index for index in np.argsort(-counts, kind="stable").tolist() if counts[index]]


def _is_forgiven(found: Detections, sample: Sample) -> NDArray[np.bool_]:
    """(N,) whether half of a detection lies inside an ignored object of its class."""
    ignored, class_id = sample.xyxy[sample.ignored], sample.class_id[sample.ignored]
    top_left = np.maximum(found.xyxy[:, None, :2], ignored[None, :, :2])
    bottom_right = np.minimum(found.xyxy[:, None, 2:], ignored[None, :, 2:])
    size = (bottom_right - top_left).clip(min=0)
    inside = size[..., 0] * size[..., 1] >= MATCH_IOU * box_area(found.xyxy)[:, None]
    return np.any(inside & (found.class_id[:, None] == class_id[None, :]), axis=1)


def _curve(confidence: NDArray[np.float32], right: NDArray[np.bool_], objects: int) -> PrecisionRecall:
    order = np.argsort(-confidence, kind="stable")
    hits = np.cumsum(right[order])
    return PrecisionRecall(confidence[order].astype(np.float64), hits / np.arange(1, len(order) + 1), hits / objects)
