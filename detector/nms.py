"""Score threshold and class-wise greedy non-maximum suppression, in numpy and in torch, with one answer.

Both work on what a network answers for one image: (4 + classes, N) float32, rows centre x, centre y, width,
height in pixels, then one score per class. Overlaps are compared in float64: classes are kept apart by shifting
their boxes away from each other, and in float32 that shift would cost hundredths of a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidan.detector.boxes import box_area, cxcywh_to_xyxy
from vidan.detector.detections import Detections

if TYPE_CHECKING:
    from torch import Tensor

MAX_CANDIDATES = 30_000
"""Best scores of one image that are looked at; more is noise, and the work grows with its square."""


@dataclass(frozen=True, slots=True)
class NmsOptions:
    """What survives.

    Attributes:
        confidence: Only scores above it count.
        iou: A box that overlaps a better one by more than this is dropped.
        max_detections: Best survivors kept per image.
        classes: Class ids to keep, None for all.
        agnostic: Boxes of different classes suppress each other too.
        multi_label: One box may become a detection of several classes (evaluation); else of its best one.
    """

    confidence: float = 0.25
    iou: float = 0.45
    max_detections: int = 300
    classes: tuple[int, ...] | None = None
    agnostic: bool = False
    multi_label: bool = False


def suppress(prediction: NDArray[np.float32], options: NmsOptions) -> Detections:
    """Survivors of one image, best first, boxes in the pixels of the prediction."""
    scores = prediction[4:].T  # (N, classes)
    if options.multi_label:
        box, class_id = np.nonzero(scores > options.confidence)
    else:
        box = np.flatnonzero(scores.max(axis=1) > options.confidence)
        class_id = scores[box].argmax(axis=1)
    if options.classes is not None:
        wanted = np.isin(class_id, options.classes)
        box, class_id = box[wanted], class_id[wanted]

    confidence = scores[box, class_id]
    best_first = np.argsort(-confidence, kind="stable")[:MAX_CANDIDATES]
    box, class_id, confidence = box[best_first], class_id[best_first], confidence[best_first]
    xyxy = cxcywh_to_xyxy(prediction[:4].T[box])
    kept = _greedy(_apart(xyxy, class_id, options), options)
    return Detections(xyxy[kept], confidence[kept], class_id[kept].astype(np.int64))


def suppress_tensor(prediction: Tensor, options: NmsOptions) -> Detections:
    """The same on the device of a tensor; only the survivors come down."""
    import torch
    from torchvision.ops import nms

    scores = prediction[4:].T
    if options.multi_label:
        box, class_id = torch.nonzero(scores > options.confidence, as_tuple=True)
    else:
        best, best_class = scores.max(1)
        (box,) = torch.nonzero(best > options.confidence, as_tuple=True)
        class_id = best_class[box]
    if options.classes is not None:
        wanted = torch.isin(class_id, torch.tensor(options.classes, device=class_id.device, dtype=class_id.dtype))
        box, class_id = box[wanted], class_id[wanted]

    confidence, best_first = scores[box, class_id].sort(descending=True, stable=True)
    best_first = best_first[:MAX_CANDIDATES]
    box, class_id, confidence = box[best_first], class_id[best_first], confidence[:MAX_CANDIDATES]
    centre, half_size = prediction[:2].T[box], prediction[2:4].T[box] / 2
    xyxy = torch.cat((centre - half_size, centre + half_size), 1)
    apart = xyxy.double()
    if len(xyxy) and not options.agnostic:
        apart += (apart.max() - apart.min() + 1) * class_id[:, None]
    kept = nms(apart, confidence.double(), options.iou)[: options.max_detections]
    rows = torch.cat((xyxy, confidence[:, None], class_id[:, None]), 1)[kept].cpu().numpy()
    return Detections(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64))


def _apart(xyxy: NDArray[np.float32], class_id: NDArray[np.intp], options: NmsOptions) -> NDArray[np.float64]:
    """The boxes in float64, those of different classes moved out of each other's reach."""
    apart = xyxy.astype(np.float64)
    if len(xyxy) and not options.agnostic:
        apart += (apart.max() - apart.min() + 1) * class_id[:, None]
    return apart


def _greedy(xyxy: NDArray[np.float64], options: NmsOptions) -> NDArray[np.intp]:
    """Rows that no better row suppresses; rows come best first."""
    left, top, right, bottom = np.ascontiguousarray(xyxy.T)
    area = box_area(xyxy)
    alive = np.ones(len(xyxy), np.bool_)
    kept: list[int] = []
    for i in range(len(xyxy)):
        if len(kept) == options.max_detections:
            break
        if not alive[i]:
            continue
        kept.append(i)
        # One row of overlaps per survivor, on views: four times faster than `box_iou` of what is left.
        rest = slice(i + 1, None)
        width = np.maximum(np.minimum(right[i], right[rest]) - np.maximum(left[i], left[rest]), 0)
        height = np.maximum(np.minimum(bottom[i], bottom[rest]) - np.maximum(top[i], top[rest]), 0)
        intersection = width * height
        alive[rest] &= intersection <= options.iou * (area[i] + area[rest] - intersection)
    return np.array(kept, np.intp)
