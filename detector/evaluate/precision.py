"""How good detections are: average precision as COCO defines it, computed by faster-coco-eval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidan.detector.boxes import box_area, xyxy_to_xywh
from vidan.detector.data.samples import Sample
from vidan.detector.detections import Detections

SIZES = ("small", "medium", "large")
"""Of objects by their area: below 32², below 96², and above, in pixels of the picture."""


@dataclass(frozen=True, slots=True)
class AveragePrecision:
    """Area under the precision-recall curve, 0..1.

    Attributes:
        ap50_95: Mean over the IoU thresholds 0.50, 0.55, ... 0.95 that make a detection count as right.
        ap50: At IoU 0.50.
        ap75: At IoU 0.75.
        by_size: `ap50_95` of the objects of each of the `SIZES` alone; sizes without objects are not there. Detections
            of another size that match none of these objects are not held against them.
    """

    ap50_95: float
    ap50: float
    ap75: float
    by_size: Mapping[str, float] = field(default_factory=dict, kw_only=True)


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
    per_class = {name: _average(curve) for name, curve in curves.items() if (curve[..., 0] >= 0).all()}
    return DetectionMetrics(
        ap50_95=fmean(each.ap50_95 for each in per_class.values()),
        ap50=fmean(each.ap50 for each in per_class.values()),
        ap75=fmean(each.ap75 for each in per_class.values()),
        by_size={
            size: fmean(each.by_size[size] for each in per_class.values() if size in each.by_size)
            for size in SIZES
            if any(size in each.by_size for each in per_class.values())
        },
        per_class=per_class,
        images=len(samples),
        objects=objects,
    )


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
    """(10, 101, classes, 4) precision at IoU thresholds and recalls, for all objects and for each of the `SIZES`.

    It is -1 where a class has no objects.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise ImportError("evaluation needs faster-coco-eval: pip install 'vidan[eval]'") from error
    truth = COCO(ground_truth)
    evaluator = COCOeval_faster(truth, truth.loadRes(list(results)), "bbox")
    evaluator.evaluate()
    evaluator.accumulate()
    return np.asarray(evaluator.eval["precision"])[..., -1]  # of 100 detections per picture


def _average(curve: NDArray[np.float64]) -> AveragePrecision:
    """Of a class, (10, 101, 4)."""
    ap = curve.mean(axis=1)
    by_size = {size: float(ap[:, n].mean()) for n, size in enumerate(SIZES, 1) if (curve[..., n] >= 0).all()}
    return AveragePrecision(ap50_95=float(ap[:, 0].mean()), ap50=float(ap[0, 0]), ap75=float(ap[5, 0]), by_size=by_size)
