"""Average precision, judged by the reference statistics and by cases worked out by hand."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from vidan.detector import Detections, ImageLike
from vidan.detector.data.samples import Sample
from vidan.detector.evaluate import evaluate_detections, evaluate_detector

NAMES = ("person", "dog")


def sample(boxes: Sequence[Sequence[float]], classes: Sequence[int], ignored: Sequence[bool] | None = None) -> Sample:
    return Sample(
        Path("unread.png"),
        (100, 100),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(classes, np.int64),
        np.array(ignored or [False] * len(classes), np.bool_),
    )


def detections(boxes: Sequence[Sequence[float]], classes: Sequence[int], scores: Sequence[float]) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(classes, np.int64)
    )


def test_statistics_agree_with_the_coco_evaluators(shared: Path) -> None:
    folder = shared / "reference" / "yolov9" / "metrics"
    arrays = np.load(folder / "detections.npz")
    expected = json.loads((folder / "metrics.json").read_text())
    objects, found = arrays["objects"], arrays["detections"]
    samples, predictions = [], []
    for image in range(expected["images"]):
        own, ours = objects[objects[:, 0] == image], found[found[:, 0] == image]
        samples.append(sample(own[:, 2:], own[:, 1]))
        predictions.append(detections(ours[:, 1:5], ours[:, 6], ours[:, 5]))
    names = [f"class {number}" for number in range(expected["classes"])]

    metrics = evaluate_detections(predictions, samples, names)

    stats = expected["faster_coco_eval"]["stats"]
    assert (metrics.ap50_95, metrics.ap50, metrics.ap75) == pytest.approx(stats[:3], abs=1e-6)
    assert list(metrics.per_class) == names[:4]  # the fifth class has no objects
    per_class = [each.ap50_95 for each in metrics.per_class.values()]
    assert per_class == pytest.approx(expected["pycocotools"]["ap_per_class"][:4], abs=1e-6)
    per_class = [each.ap50 for each in metrics.per_class.values()]
    assert per_class == pytest.approx(expected["pycocotools"]["ap50_per_class"][:4], abs=1e-6)
    assert (metrics.images, metrics.objects) == (24, 99)


def test_right_boxes_are_perfect_and_no_boxes_are_worthless() -> None:
    truth = [sample([[10, 10, 50, 50]], [0]), sample([], [])]
    assert evaluate_detections([detections([[10, 10, 50, 50]], [0], [0.9]), Detections.empty()], truth, NAMES).ap75 == 1
    assert evaluate_detections([Detections.empty(), Detections.empty()], truth, NAMES).ap50 == 0


def test_a_box_that_covers_half_counts_at_the_lowest_threshold_alone() -> None:
    metrics = evaluate_detections([detections([[0, 0, 52, 50]], [0], [0.9])], [sample([[0, 0, 100, 50]], [0])], NAMES)
    assert (metrics.ap50, metrics.ap75) == (1, 0)
    assert metrics.ap50_95 == pytest.approx(0.1)


def test_sizes_are_judged_by_themselves() -> None:
    small, large = [0, 0, 20, 20], [0, 0, 97, 97]
    found = [detections([small, [40, 40, 60, 60]], [0, 0], [0.9, 0.8])]
    metrics = evaluate_detections(found, [sample([small, large], [0, 0])], NAMES)
    assert metrics.by_size == pytest.approx({"small": 1, "large": 0})
    assert metrics.per_class["person"].by_size == metrics.by_size


def test_a_detection_on_an_ignored_object_does_no_harm() -> None:
    boxes = [[10, 10, 50, 50], [60, 60, 90, 90]]
    found = [detections(boxes, [0, 0], [0.5, 0.9])]
    assert evaluate_detections(found, [sample(boxes, [0, 0], [False, True])], NAMES).ap50 == 1
    assert evaluate_detections(found, [sample(boxes[:1], [0])], NAMES).ap50 == pytest.approx(0.5)


def test_what_cannot_be_judged_is_said() -> None:
    with pytest.raises(ValueError, match="got 0 for 1 samples"):
        evaluate_detections([], [sample([], [])], NAMES)
    with pytest.raises(ValueError, match="none of the 1 samples shows an object"):
        evaluate_detections([Detections.empty()], [sample([[1, 1, 9, 9]], [0], [True])], NAMES)


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(ImportError, match=r"pip install 'vidan\[eval\]'"):
        evaluate_detections([Detections.empty()], [sample([[1, 1, 9, 9]], [0])], NAMES)


class BrightSpots:
    """Finds the one bright rectangle of a picture and calls it a dog; class ids differ from those of the samples."""

    class_names = ("cat", "person", "dog")

    def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
        answers = []
        for image in images:
            assert isinstance(image, np.ndarray)
            rows, columns = np.nonzero(image[:, :, 0])
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            answers.append(detections([box, box], [2, 0], [0.8, 0.9]))
        return answers


def test_a_detector_is_judged_by_the_names_of_its_classes(tmp_path: Path) -> None:
    samples = []
    for index in range(3):
        picture = np.zeros((60, 80, 3), np.uint8)
        box = [10 + index, 20, 30 + index, 50]
        picture[box[1] : box[3], box[0] : box[2]] = 255
        path = tmp_path / f"{index}.png"
        cv2.imwrite(str(path), picture)
        one = sample([box], [1])
        samples.append(Sample(path, (60, 80), one.xyxy, one.class_id, one.ignored))

    assert evaluate_detector(BrightSpots(), samples, NAMES, batch=2).per_class["dog"].ap50_95 == pytest.approx(1)
    with pytest.raises(ValueError, match="does not know \\['horse'\\]; its classes are cat, person, dog"):
        evaluate_detector(BrightSpots(), samples, ("horse", "dog"))
