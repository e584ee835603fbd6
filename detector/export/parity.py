"""An exported network beside PyTorch: how far its answers are, what that costs, and whether it may be let out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from vidan.detector.data.samples import Sample
from vidan.detector.detections import Detections
from vidan.detector.evaluate import AveragePrecision, evaluate_detections, evaluate_detector
from vidan.detector.export.network import ExportNetwork
from vidan.detector.runtimes.decode import decode_candidates
from vidan.detector.runtimes.single import Maps
from vidan.detector.yolo import YoloDetector

BEST_CELLS = 100
"""Of each picture: where boxes are compared. The others' boxes nobody will see."""

SURE = 0.25
"""Confidence above which a detection of PyTorch is one that the exported network has to find, too."""

ROUNDS = 3
PICTURES_PER_ROUND = 8


class ParityError(Exception):
    """An exported network whose answers are too far from PyTorch's; no file was left."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far an exported network may be from PyTorch.

    Attributes:
        score: Largest difference of any score; None for int8, where single cells may differ more than is of interest.
        box_px: Largest difference of any side of the best boxes, in pixels of the network's input; None as before.
        agreement: Smallest AP50 with PyTorch's sure detections as the truth.
        ap50_loss: Largest loss of AP50 on labeled pictures.
    """

    score: float | None
    box_px: float | None
    agreement: float
    ap50_loss: float = 0.01

    @classmethod
    def of(cls, precision: str, ap50_loss: float) -> Bounds:
        """The bounds of fp32, fp16 or int8."""
        return {
            "fp32": cls(score=1e-3, box_px=0.5, agreement=0.99, ap50_loss=ap50_loss),
            "fp16": cls(score=0.03, box_px=2.0, agreement=0.98, ap50_loss=ap50_loss),
            "int8": cls(score=None, box_px=None, agreement=0.95, ap50_loss=ap50_loss),
        }[precision]


@dataclass(frozen=True, slots=True)
class Parity:
    """What the comparison found.

    Attributes:
        pictures: How many were compared.
        score: Largest difference of any score, 0..1; infinite where an answer is no number.
        box_px: Largest difference of any side of the best boxes, in pixels of the network's input.
        agreement: AP50 with PyTorch's sure detections as the truth; None if it has none on these pictures.
        ap_torch: On the labeled pictures; None without them.
        ap_exported: Likewise.
    """

    pictures: int
    score: float
    box_px: float
    agreement: float | None
    ap_torch: AveragePrecision | None = None
    ap_exported: AveragePrecision | None = None

    def violations(self, bounds: Bounds) -> list[str]:
        """In words, which bounds are not kept."""
        found = []
        if bounds.score is not None and self.score > bounds.score:
            found.append(f"a score differs by {self.score:.2g}, more than {bounds.score:g}")
        if bounds.box_px is not None and self.box_px > bounds.box_px:
            found.append(f"a box differs by {self.box_px:.2g} pixels, more than {bounds.box_px:g}")
        if self.agreement is not None and self.agreement < bounds.agreement:
            found.append(f"its AP50 by PyTorch's detections is {self.agreement:.3f}, less than {bounds.agreement:g}")
        if self.ap_torch is not None and self.ap_exported is not None:
            loss = self.ap_torch.ap50 - self.ap_exported.ap50
            if loss > bounds.ap50_loss:
                found.append(f"it loses {loss:.4f} of AP50, more than {bounds.ap50_loss:g}")
        return found


def compare(
    network: ExportNetwork,
    exported_maps: Maps,
    prepared: Sequence[NDArray[np.uint8]],
    *,
    torch_detector: YoloDetector,
    exported_detector: YoloDetector,
    pictures: Sequence[NDArray[np.uint8]],
    samples: Sequence[Sample] | None,
    classes: Sequence[str],
) -> Parity:
    """Compares raw answers, detections and, where labels are given, average precision.

    Args:
        network: The reference, in float32.
        exported_maps: The exported network.
        prepared: Letterboxed pictures (H, W, 3).
        torch_detector: The reference, with a low confidence threshold.
        exported_detector: The exported one, with the same.
        pictures: As they came; what both detectors are shown.
        samples: Labeled pictures.
        classes: Names of the class ids of `samples`; of the detectors', if there are no samples.
    """
    differences = [_difference(network, exported_maps, picture) for picture in prepared]
    parity = Parity(
        pictures=len(prepared),
        score=max(score for score, _ in differences),
        box_px=max(box for _, box in differences),
        agreement=_agreement(torch_detector.detect(pictures), exported_detector.detect(pictures), pictures, classes),
    )
    if samples is None:
        return parity
    return Parity(
        pictures=parity.pictures,
        score=parity.score,
        box_px=parity.box_px,
        agreement=parity.agreement,
        ap_torch=evaluate_detector(torch_detector, samples, classes),
        ap_exported=evaluate_detector(exported_detector, samples, classes),
    )


def time_per_picture(detectors: Mapping[str, YoloDetector], pictures: Sequence[NDArray[np.uint8]]) -> dict[str, float]:
    """Median milliseconds per picture of each, letterbox and suppression included.

    The detectors take turns, so that whatever else this machine does hits all of them.
    """
    shown = [pictures[i % len(pictures)] for i in range(PICTURES_PER_ROUND)]
    seconds: dict[str, list[float]] = {name: [] for name in detectors}
    for detector in detectors.values():
        detector.detect(shown)
    for _ in range(ROUNDS):
        for name, detector in detectors.items():
            start = time.perf_counter()
            detector.detect(shown)
            seconds[name].append(time.perf_counter() - start)
    return {name: 1000 * median(each) / len(shown) for name, each in seconds.items()}


def _difference(network: ExportNetwork, exported_maps: Maps, picture: NDArray[np.uint8]) -> tuple[float, float]:
    """Largest differences of a score, and of a side of one of the best boxes."""
    with torch.inference_mode():
        maps = [level[0].numpy() for level in network(torch.from_numpy(picture[None]))]
    answers = exported_maps(picture)
    if not all(np.isfinite(level).all() for level in answers):
        return np.inf, np.inf
    classes = network.model.head.classes
    expected, found = (
        decode_candidates(each, classes=classes, height=picture.shape[0], confidence=0) for each in (maps, answers)
    )
    best = np.argsort(-expected[4:].max(axis=0), kind="stable")[:BEST_CELLS]
    boxes = np.abs(expected[:4, best] - found[:4, best])
    return float(np.abs(expected[4:] - found[4:]).max()), float(boxes.max())


def _agreement(
    expected: Sequence[Detections],
    found: Sequence[Detections],
    pictures: Sequence[NDArray[np.uint8]],
    classes: Sequence[str],
) -> float | None:
    """AP50 of `found` where the sure ones of `expected` are the truth."""
    truth = []
    for detections, picture in zip(expected, pictures, strict=True):
        sure = detections[detections.confidence > SURE]
        height, width = picture.shape[:2]
        ignored = np.zeros(len(sure), np.bool_)
        truth.append(Sample(Path(), (height, width), sure.xyxy, sure.class_id, ignored))
    if not any(len(sample.xyxy) for sample in truth):
        return None
    return evaluate_detections(found, truth, classes).ap50
