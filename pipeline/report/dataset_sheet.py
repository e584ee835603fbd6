"""The contact sheet of a data set: some of its pictures with their labels, chosen so that every class is seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidan.detector.data import Sample, read_images
from vidan.pipeline.drawing import Colour, track_colour
from vidan.pipeline.report.picture_sheet import DrawnBox, Tile, draw_sheet

PICTURES = 24
COLOURS_TOLD_APART = 6  # with more classes the boxes say their class
_IGNORED: Colour = (150, 150, 150)


def contact_sheet(title: str, parts: Sequence[Sequence[Sample]], classes: Sequence[str]) -> NDArray[np.uint8]:
    """Up to `PICTURES` labeled pictures, (H, W, 3) uint8 RGB, as many of each part: some for rare classes, the others
    evenly spread.

    Raises:
        DataError: If a picture cannot be read.
    """
    chosen = [part[index] for part in parts for index in _chosen(part, max(1, PICTURES // len(parts)))]
    seen: list[int] = sorted({number for sample in chosen for number in sample.class_id.tolist()})
    legend = {classes[index]: class_colour(index) for index in seen}
    named = len(legend) > COLOURS_TOLD_APART
    if any(sample.ignored.any() for sample in chosen):
        legend["ignored"] = _IGNORED
    images = read_images(sample.image for sample in chosen)
    tiles = (_tile(sample, image, classes if named else ()) for sample, image in zip(chosen, images, strict=True))
    return draw_sheet(f"{title}: {len(chosen)} of {sum(map(len, parts))} pictures", legend, tiles)


def class_colour(class_id: int) -> Colour:
    """The colour of a class on all pictures of a data set."""
    return track_colour(class_id + 1)


def picture_name(sample: Sample) -> str:
    """How a picture is called below it: by its file, or by its video and the frame, counted from 1."""
    if isinstance(sample.image, Path):
        return sample.image.name
    return f"{sample.image.video.name} frame {sample.image.index + 1}"


def _chosen(samples: Sequence[Sample], count: int) -> list[int]:
    """Indices of so many samples, rising; the first half of them for the rarest classes."""
    labeled = [index for index, sample in enumerate(samples) if len(sample.xyxy)] or list(range(len(samples)))
    holders: dict[int, list[int]] = {}
    for index in labeled:
        for class_id in set(samples[index].class_id.tolist()):
            holders.setdefault(class_id, []).append(index)
    chosen: set[int] = set()
    for own in sorted(holders.values(), key=len)[: count // 2]:
        if chosen.isdisjoint(own):
            chosen.add(own[len(own) // 2])
    others = [index for index in labeled if index not in chosen]
    return sorted(chosen | {others[index] for index in _spread(len(others), count - len(chosen))})


def _spread(length: int, count: int) -> list[int]:
    """At most so many positions, evenly over a list of that length."""
    return np.linspace(0, length - 1, min(length, count)).round().astype(int).tolist()


def _tile(sample: Sample, image: NDArray[np.uint8], names: Sequence[str]) -> Tile:
    """A picture with its boxes; each says its class if names are given."""
    boxes = []
    numbers: list[int] = sample.class_id.tolist()
    for box, number, ignored in zip(sample.xyxy.tolist(), numbers, sample.ignored.tolist(), strict=True):
        label = names[number] if names and not ignored else ""
        boxes.append(DrawnBox(box, _IGNORED if ignored else class_colour(number), label))
    return Tile(image, boxes, f"{picture_name(sample)}  ({len(boxes)})")
