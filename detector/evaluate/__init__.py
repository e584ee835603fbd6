"""How good a detector is on labeled pictures: average precision, curves, confusion, mistakes, time."""

from vidan.detector.evaluate.answers import Answers, ask_detector, evaluate_detector
from vidan.detector.evaluate.matches import (
    MATCH_IOU,
    Mistakes,
    PrecisionRecall,
    best_confidence,
    confusion_matrix,
    find_mistakes,
    precision_recall,
    worst_pictures,
)
from vidan.detector.evaluate.precision import SIZES, AveragePrecision, DetectionMetrics, evaluate_detections

__all__ = [
    "MATCH_IOU",
    "SIZES",
    "Answers",
    "AveragePrecision",
    "DetectionMetrics",
    "Mistakes",
    "PrecisionRecall",
    "ask_detector",
    "best_confidence",
    "confusion_matrix",
    "evaluate_detections",
    "evaluate_detector",
    "find_mistakes",
    "precision_recall",
    "worst_pictures",
]
