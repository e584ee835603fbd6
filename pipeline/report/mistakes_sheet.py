"""The pictures on which a detector is most mistaken, with what it found, invented and missed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidan.detector import Detections
from vidan.detector.data import Sample, VideoFrame, read_images
from vidan.detector.evaluate import Mistakes
from vidan.pipeline.drawing import Colour
from vidan.pipeline.report.dataset_sheet import picture_name
from vidan.pipeline.report.picture_sheet import DrawnBox, Tile, draw_sheet

PICTURES = 16
FRAMES_APART = 12
RIGHT: Colour = (120, 220, 120)
FALSE: Colour = (240, 80, 70)
MISSED: Colour = (255, 190, 40)


def mistakes_sheet(
    title: str,
    worst: Sequence[int],
    samples: Sequence[Sample],
    found: Sequence[Detections],
    mistakes: Sequence[Mistakes],
    classes: Sequence[str],
) -> NDArray[np.uint8]:
    """The worst pictures as one, (H, W, 3) uint8 RGB; of frames of a video that lie close together the worst only.

    Args:
        title: Of the sheet.
        worst: Indices of the pictures, the worst first.
        samples: All pictures.
        found: Detections of each.
        mistakes: Of each.
        classes: Names of the class ids.

    Raises:
        DataError: If a picture cannot be read.
    """
    chosen = _apart(worst, samples)
    order = np.argsort([_position(samples[index]) for index in chosen], kind="stable")  # a video is decoded once
    images: dict[int, NDArray[np.uint8]] = {}
    in_order = [chosen[place] for place in order.tolist()]
    for index, image in zip(in_order, read_images(samples[i].image for i in in_order), strict=True):
        images[index] = image
    tiles = (_tile(images[i], samples[i], found[i], mistakes[i], classes) for i in chosen)
    return draw_sheet(title, {"right": RIGHT, "false": FALSE, "missed": MISSED}, tiles)


def _apart(worst: Sequence[int], samples: Sequence[Sample]) -> list[int]:
    """The first of the worst that are no near repetitions of one before."""
    chosen: list[int] = []
    shown: dict[object, list[int]] = {}
    for index in worst:
        image = samples[index].image
        if isinstance(image, VideoFrame):
            others = shown.setdefault(image.video, [])
            if any(abs(image.index - other) < FRAMES_APART for other in others):
                continue
            others.append(image.index)
        chosen.append(index)
        if len(chosen) == PICTURES:
            break
    return chosen


def _position(sample: Sample) -> int:
    return sample.image.index if isinstance(sample.image, VideoFrame) else 0


def _tile(
    image: NDArray[np.uint8], sample: Sample, found: Detections, mistakes: Mistakes, classes: Sequence[str]
) -> Tile:
    """Right detections unnamed; the others say what they are taken for, or what they are."""
    named = len(classes) > 1
    boxes = [DrawnBox(box, RIGHT) for box in found.xyxy[mistakes.right].tolist()]
    missed: list[int] = sample.class_id[mistakes.missed].tolist()
    for box, number in zip(sample.xyxy[mistakes.missed].tolist(), missed, strict=True):
        boxes.append(DrawnBox(box, MISSED, classes[number] if named else ""))
    invented = found[mistakes.false]
    taken_for: list[int] = invented.class_id.tolist()
    for box, number, confidence in zip(invented.xyxy.tolist(), taken_for, invented.confidence.tolist(), strict=True):
        boxes.append(DrawnBox(box, FALSE, f"{classes[number]} {confidence:.2f}" if named else f"{confidence:.2f}"))
    right, false, missing = (int(np.count_nonzero(each)) for each in (mistakes.right, mistakes.false, mistakes.missed))
    return Tile(image, boxes, f"{picture_name(sample)}  {right} right, {false} false, {missing} missed")
