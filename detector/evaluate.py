"""How good detections are: average precision as COCO defines it, computed by faster-coco-eval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidan.detector.boxes import box_area, xyxy_to_xywh
from vidan.detector.data.samples import Sample, read_images
from vidan.detector.detections import Detections, Detector


@dataclass(frozen=True, slots=True)
class AveragePrecision:
    """Area under the precision-recall curve, 0..1.

    Attributes:
        ap50_95: Mean over the IoU thresholds 0.50, 0.55, ... 0.95 that make a detection count as right.
        ap50: At IoU 0.50.
        ap75: At IoU 0.75.
    """

    ap50_95: float
    ap50: float
    ap75: float


@dataclass(frozen=True, slots=True)
class DetectionMetrics(AveragePrecision):
    """Means over the classes that have objects, and the same for each of them.

    Attributes:
        per_class: Class name -> its average precision; classes without objects are not there.
        images: How many pictures were judged.
        objects: How many objects they show, ignored ones left out.
    """

    per_class: Mapping[str, AveragePrecision]
    images: int
    objects: int


def evaluate_detections(
    predictions: Sequence[Detections], samples: Sequence[Sample], class_names: Sequence[str]
) -> DetectionMetrics:
    """Average precision of the 100 best detections of each picture.

    Detections on ignored objects count neither as right nor as wrong.

    Args:
        predictions: One per sample, in pixels of its picture. A low confidence threshold, such as 0.001, is part of the
            definition: what a threshold hides cannot raise the recall.
        samples: What is to be found.
        class_names: Names of the class ids of both.

    Raises:
        ValueError: If predictions and samples differ in number, or there is no object to find.
        ImportError: If faster-coco-eval is not installed.
    """
    if len(predictions) != len(samples):
        raise ValueError(f"every sample needs its predictions: got {len(predictions)} for {len(samples)} samples")
    objects = sum(int(np.count_nonzero(~sample.ignored)) for sample in samples)
    if objects == 0:
        raise ValueError(f"none of the {len(samples)} samples shows an object, so there is nothing to judge")
    precision = _precision(_ground_truth(samples, class_names), _results(predictions))
    curves = {name: precision[:, :, index] for index, name in enumerate(class_names)}
    per_class = {name: _average(curve) for name, curve in curves.items() if (curve >= 0).all()}
    return DetectionMetrics(
        ap50_95=fmean(each.ap50_95 for each in per_class.values()),
        ap50=fmean(each.ap50 for each in per_class.values()),
        ap75=fmean(each.ap75 for each in per_class.values()),
        per_class=per_class,
        images=len(samples),
        objects=objects,
    )


def evaluate_detector(
    detector: Detector, samples: Sequence[Sample], class_names: Sequence[str] | None = None, batch: int = 8
) -> DetectionMetrics:
    """Average precision of a detector on labeled pictures.

    Args:
        detector: Its own confidence threshold applies; see `evaluate_detections`.
        samples: What is to be found.
        class_names: Names of the samples' class ids, each known to the detector; objects of its other classes are not
            judged. None: the detector's own.
        batch: How many pictures are detected together.

    Raises:
        ValueError: If the detector does not know a class; or as `evaluate_detections`.
        DataError: If a picture cannot be read.
        ImportError: If faster-coco-eval is not installed.
    """
    names = tuple(class_names or detector.class_names)
    if unknown := set(names) - set(detector.class_names):
        raise ValueError(
            f"the detector does not know {sorted(unknown)}; its classes are {', '.join(detector.class_names)}"
        )
    images = read_images(sample.image for sample in samples)
    predictions: list[Detections] = []
    while pictures := list(islice(images, batch)):
        predictions.extend(detector.detect(pictures))
    judged = [_renumbered(found, detector.class_names, names) for found in predictions]
    return evaluate_detections(judged, samples, names)


def _renumbered(found: Detections, names: Sequence[str], new_names: Sequence[str]) -> Detections:
    """The detections of classes in ``new_names``, with their index there as class id."""
    new_id = np.array([new_names.index(name) if name in new_names else -1 for name in names], np.int64)
    class_id = new_id[found.class_id]
    return Detections(found.xyxy, found.confidence, class_id)[class_id >= 0]


def _ground_truth(samples: Sequence[Sample], class_names: Sequence[str]) -> dict[str, Any]:
    """The samples as the content of a COCO instances file; ids of pictures and classes are their positions."""
    annotations: list[dict[str, Any]] = []
    for image_id, sample in enumerate(samples):
        columns = (sample.class_id, xyxy_to_xywh(sample.xyxy), box_area(sample.xyxy), sample.ignored.astype(int))
        for class_id, box, area, crowd in zip(*(column.tolist() for column in columns), strict=True):
            annotation = {"image_id": image_id, "category_id": class_id, "bbox": box, "area": area, "iscrowd": crowd}
            annotations.append({"id": len(annotations) + 1, **annotation})
    return {
        "images": [{"id": index, "height": s.size[0], "width": s.size[1]} for index, s in enumerate(samples)],
        "categories": [{"id": index, "name": name} for index, name in enumerate(class_names)],
        "annotations": annotations,
    }


def _results(predictions: Sequence[Detections]) -> Iterator[dict[str, Any]]:
    """The detections as the entries of a COCO results file."""
    for image_id, found in enumerate(predictions):
        rows = zip(found.class_id.tolist(), xyxy_to_xywh(found.xyxy).tolist(), found.confidence.tolist(), strict=True)
        for class_id, box, confidence in rows:
            yield {"image_id": image_id, "category_id": class_id, "bbox": box, "score": confidence}


def _precision(ground_truth: dict[str, Any], results: Iterator[dict[str, Any]]) -> NDArray[np.float64]:
    """(10, 101, classes) precision at IoU thresholds and recalls; -1 for a class without objects."""
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise ImportError("evaluation needs faster-coco-eval: pip install 'vidan[eval]'") from error
    truth = COCO(ground_truth)
    evaluator = COCOeval_faster(truth, truth.loadRes(list(results)), "bbox")
    evaluator.evaluate()
    evaluator.accumulate()
    return np.asarray(evaluator.eval["precision"])[:, :, :, 0, -1]  # objects of every area, 100 detections per picture


def _average(curve: NDArray[np.float64]) -> AveragePrecision:
    ap = curve.mean(axis=1)
    return AveragePrecision(ap50_95=float(ap.mean()), ap50=float(ap[0]), ap75=float(ap[5]))
