"""What a detector answers on labeled pictures, in the classes of the labels, and how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from vidan.detector.data.samples import Sample, read_images
from vidan.detector.detections import Detections, Detector
from vidan.detector.evaluate.precision import DetectionMetrics, evaluate_detections


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """A detector's answers.

    Attributes:
        found: One per sample, class ids as in the samples.
        seconds: (B,) wall-clock time of each batch from pictures in memory to boxes, divided by its pictures.
    """

    found: list[Detections]
    seconds: NDArray[np.float64]


def ask_detector(
    detector: Detector,
    samples: Sequence[Sample],
    class_names: Sequence[str] | None = None,
    batch: int = 8,
    on_picture: Callable[[int], object] = lambda _done: None,
) -> Answers:
    """What a detector finds on labeled pictures.

    Args:
        detector: Its own confidence threshold applies.
        samples: Whose pictures it is shown.
        class_names: Names of the samples' class ids, each known to the detector; what it finds of its other classes is
            left out. None: the detector's own.
        batch: How many pictures are detected together.
        on_picture: Told after every batch how many pictures are done.

    Raises:
        ValueError: If the detector does not know a class.
        DataError: If a picture cannot be read.
    """
    names = tuple(class_names or detector.class_names)
    if unknown := set(names) - set(detector.class_names):
        raise ValueError(
            f"the detector does not know {sorted(unknown)}; its classes are {', '.join(detector.class_names)}"
        )
    images = read_images(sample.image for sample in samples)
    found: list[Detections] = []
    seconds = []
    while pictures := list(islice(images, batch)):
        start = time.perf_counter()
        answers = detector.detect(pictures)
        seconds.append((time.perf_counter() - start) / len(pictures))
        found.extend(_renumbered(each, detector.class_names, names) for each in answers)
        on_picture(len(found))
    return Answers(found, np.array(seconds))


def evaluate_detector(
    detector: Detector, samples: Sequence[Sample], class_names: Sequence[str] | None = None, batch: int = 8
) -> DetectionMetrics:
    """Average precision of a detector on labeled pictures.

    Args:
        detector: Its own confidence threshold applies; see `evaluate_detections`.
        samples: What is to be found.
        class_names: As in `ask_detector`.
        batch: How many pictures are detected together.

    Raises:
        ValueError: If the detector does not know a class; or as `evaluate_detections`.
        DataError: If a picture cannot be read.
        ImportError: If faster-coco-eval is not installed.
    """
    answers = ask_detector(detector, samples, class_names, batch)
    return evaluate_detections(answers.found, samples, class_names or detector.class_names)


def _renumbered(found: Detections, names: Sequence[str], new_names: Sequence[str]) -> Detections:
    """The detections of classes in ``new_names``, with their index there as class id."""
    new_id = np.array([new_names.index(name) if name in new_names else -1 for name in names], np.int64)
    class_id = new_id[found.class_id]
    return Detections(found.xyxy, found.confidence, class_id)[class_id >= 0]
