"""Everything that is told of a detector on labeled pictures, computed from one pass over them."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidan.detector import Detections, YoloDetector
from vidan.detector.data import Sample
from vidan.detector.evaluate import (
    DetectionMetrics,
    Mistakes,
    PrecisionRecall,
    ask_detector,
    best_confidence,
    confusion_matrix,
    evaluate_detections,
    find_mistakes,
    precision_recall,
    worst_pictures,
)


@dataclass(frozen=True, slots=True, eq=False)
class DetectionJudgement:
    """A detector's figures.

    Attributes:
        detector: What it says of itself, its device by name.
        classes: Names of the class ids.
        samples: The pictures.
        metrics: COCO's.
        together: Precision and recall of all classes.
        per_class: The same by class name; classes without objects are not there.
        confidence: At which the rest is told.
        sure: Detections of each picture from that confidence on.
        mistakes: Of each picture, over `sure`.
        confusion: See `confusion_matrix`.
        worst: Indices of pictures, most mistakes first.
        batch: Pictures at a time.
        milliseconds: (B,) per picture, of each batch.
    """

    detector: dict[str, object]
    classes: Sequence[str]
    samples: Sequence[Sample]
    metrics: DetectionMetrics
    together: PrecisionRecall
    per_class: dict[str, PrecisionRecall]
    confidence: float
    sure: list[Detections]
    mistakes: list[Mistakes]
    confusion: NDArray[np.int64]
    worst: list[int]
    batch: int
    milliseconds: NDArray[np.float64]


def judge(
    detector: YoloDetector,
    samples: Sequence[Sample],
    classes: Sequence[str],
    confidence: float | None,
    batch: int,
    on_picture: Callable[[int], object],
) -> DetectionJudgement:
    """Shows all pictures to a detector that keeps detections of low confidence.

    Args:
        detector: Knows all classes.
        samples: What is to be found.
        classes: Names of their class ids.
        confidence: For all but AP; None: where F1 of all classes together is largest.
        batch: Pictures at a time.
        on_picture: Told after every batch how many pictures are done.

    Raises:
        ValueError: If there is no object to find, or the detector does not know a class.
        DataError: If a picture cannot be read.
        ImportError: If faster-coco-eval is not installed.
    """
    detector.warm_up()
    answers = ask_detector(detector, samples, classes, batch, on_picture)
    metrics = evaluate_detections(answers.found, samples, classes)
    together, curves = precision_recall(answers.found, samples, len(classes))
    at = best_confidence(together) if confidence is None else confidence
    sure = [found[found.confidence >= at] for found in answers.found]
    mistakes = [find_mistakes(found, sample, at) for found, sample in zip(sure, samples, strict=True)]
    description = detector.describe()
    if description.get("device") == "cpu":
        description["device"] = f"cpu ({_processor()})"
    return DetectionJudgement(
        detector=description,
        classes=classes,
        samples=samples,
        metrics=metrics,
        together=together,
        per_class={name: curve for name, curve in zip(classes, curves, strict=True) if curve is not None},
        confidence=at,
        sure=sure,
        mistakes=mistakes,
        confusion=confusion_matrix(sure, samples, len(classes), at),
        worst=worst_pictures(mistakes),
        batch=batch,
        milliseconds=1000 * answers.seconds,
    )


def _processor() -> str:
    """The processor's name, as exactly as this system tells it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
