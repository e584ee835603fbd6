"""Augmentation of labeled pictures: mosaic, copy-paste, affine, mixup, colour and flips.

Functions of a `LabeledImage` and a random generator; the input is never written to. Order and numbers are those of
the YOLOv9 recipe (arXiv 2402.13616, appendix), but for copy-paste, which is off: it needs outlines of the objects, and
few data sets have them. Mosaic is from YOLOv4 (arXiv 2004.10934), mixup from arXiv 1710.09412, copy-paste from arXiv
2012.07177.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import compress
from typing import Annotated, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vidan.detector.boxes import box_area, clip_boxes
from vidan.detector.data.samples import Outline
from vidan.detector.letterbox import PADDING_GREY

SHORTEST_SIDE_PX = 2.0
SMALLEST_AREA_SHARE = 0.1
LONGEST_ASPECT = 100.0
MOST_COVERED = 0.3

Probability = Annotated[float, Field(ge=0, le=1)]
Gain = Annotated[float, Field(ge=0, lt=1)]


class Augmentation(BaseModel):
    """How much training pictures are varied; zeros vary nothing.

    Gains are half widths: ``scale`` 0.9 draws factors from 0.1 to 1.9. ``translate`` is in picture sizes, ``degrees``
    and ``shear`` in degrees, ``perspective`` per pixel; flips, ``mosaic`` and ``mixup`` are probabilities, mixup one
    among mosaics. ``copy_paste`` is a share of the objects of a mosaic; the published recipe has 0.3.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hsv_h: Gain = 0.015
    hsv_s: Gain = 0.7
    hsv_v: Gain = 0.4
    degrees: Annotated[float, Field(ge=0, le=180)] = 0.0
    translate: Gain = 0.1
    scale: Gain = 0.9
    shear: Annotated[float, Field(ge=0, lt=90)] = 0.0
    perspective: Annotated[float, Field(ge=0, le=0.001)] = 0.0
    flipud: Probability = 0.0
    fliplr: Probability = 0.5
    mosaic: Probability = 1.0
    mixup: Probability = 0.15
    copy_paste: Probability = 0.0


class LabeledImage(NamedTuple):
    """A picture in memory and its objects.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        xyxy: (M, 4) float32, pixels of the image.
        class_id: (M,) int64.
        outlines: Of each object, in pixels of the image, for those who copy; else empty.
    """

    image: NDArray[np.uint8]
    xyxy: NDArray[np.float32]
    class_id: NDArray[np.int64]
    outlines: tuple[Outline, ...] = ()


def mosaic(tiles: Sequence[LabeledImage], rng: np.random.Generator, size: tuple[int, int]) -> LabeledImage:
    """Four pictures around a random centre, on a canvas of twice ``size``.

    The centre lies uniformly in the middle half of the canvas; pictures touch it with their inner corner and are cut
    where they leave the canvas.

    Args:
        tiles: Top left, top right, bottom left, bottom right.
        rng: Draws the centre.
        size: Height and width of the network's input.

    Raises:
        ValueError: If there are not four tiles.
    """
    if len(tiles) != 4:
        raise ValueError(f"a mosaic has 4 tiles, got {len(tiles)}")
    height, width = 2 * size[0], 2 * size[1]
    centre_x, centre_y = (int(rng.uniform(side / 4, side * 3 / 4)) for side in (width, height))
    canvas = np.full((height, width, 3), PADDING_GREY, np.uint8)
    boxes, outlines = [], []
    for place, tile in enumerate(tiles):
        image, xyxy = tile.image, tile.xyxy
        tile_height, tile_width = image.shape[:2]
        left = centre_x - (tile_width if place % 2 == 0 else 0)
        top = centre_y - (tile_height if place < 2 else 0)
        right, bottom = min(left + tile_width, width), min(top + tile_height, height)
        cut_left, cut_top = max(left, 0), max(top, 0)
        canvas[cut_top:bottom, cut_left:right] = image[cut_top - top : bottom - top, cut_left - left : right - left]
        corner = np.array([left, top], np.float32)
        boxes.append(xyxy + np.tile(corner, 2))
        outlines += [tuple(polygon + corner for polygon in outline) for outline in tile.outlines or [()] * len(xyxy)]
    xyxy = clip_boxes(np.concatenate(boxes), height, width)
    visible = (xyxy[:, 2] > xyxy[:, 0]) & (xyxy[:, 3] > xyxy[:, 1])
    class_id = np.concatenate([tile.class_id for tile in tiles])[visible]
    known = tuple(compress(outlines, visible.tolist())) if any(outlines) else ()
    return LabeledImage(canvas, xyxy[visible], class_id, known)


def copy_paste(labeled: LabeledImage, rng: np.random.Generator, share: float) -> LabeledImage:
    """The picture with some of its objects once more, mirrored left to right: what an outline encloses, with its box.

    An object may be copied if its mirrored box covers less than `MOST_COVERED` of every box that is there; so many as
    `share` says are drawn of these. The result has no outlines.

    Args:
        labeled: Objects without outline are never copied.
        rng: Draws them.
        share: 0..1, of the objects that may be copied.
    """
    image, xyxy = labeled.image, labeled.xyxy
    width = image.shape[1]
    mirrored = np.stack([width - xyxy[:, 2], xyxy[:, 1], width - xyxy[:, 0], xyxy[:, 3]], axis=1)
    known = [index for index, outline in enumerate(labeled.outlines) if outline]
    free = [index for index in known if (_covered(xyxy, mirrored[index]) < MOST_COVERED).all()]
    chosen = rng.permutation(free)[: round(share * len(free))].astype(np.int64)
    if not len(chosen):
        return labeled._replace(outlines=())
    mask = np.zeros(image.shape[:2], np.uint8)
    for index in chosen.tolist():
        for polygon in labeled.outlines[index]:  # one by one: polygons that meet would cut holes into each other
            cv2.fillPoly(mask, [np.rint(polygon).astype(np.int32)], 1)
    pasted = np.where(mask[:, ::-1, None] > 0, image[:, ::-1], image)
    return LabeledImage(
        pasted, np.concatenate([xyxy, mirrored[chosen]]), np.concatenate([labeled.class_id, labeled.class_id[chosen]])
    )


def random_affine(
    labeled: LabeledImage, rng: np.random.Generator, size: tuple[int, int], augmentation: Augmentation
) -> LabeledImage:
    """The picture turned, scaled, sheared and moved at random, cut to ``size``; its centre goes near the new centre."""
    matrix, factor = _random_matrix(labeled.image.shape[:2], rng, size, augmentation)
    return warp(labeled, matrix, factor, size)


def warp(labeled: LabeledImage, matrix: NDArray[np.float64], factor: float, size: tuple[int, int]) -> LabeledImage:
    """The picture seen through a projective map, with the boxes that are still worth learning.

    A box becomes the bounding box of its moved corners, cut to the picture. It is kept if both sides exceed 2 px, more
    than a tenth of its scaled area is left and no side is 100 times the other.

    Args:
        labeled: Source.
        matrix: (3, 3), source pixels to result pixels.
        factor: Scale that the matrix contains, to compare areas.
        size: Height and width of the result.
    """
    height, width = size
    image, xyxy, class_id = labeled.image, labeled.xyxy, labeled.class_id
    if image.shape[:2] != size or not np.array_equal(matrix, np.eye(3)):
        projective = np.any(matrix[2, :2] != 0)
        transform = cv2.warpPerspective if projective else cv2.warpAffine
        image = transform(image, matrix if projective else matrix[:2], (width, height), borderValue=(PADDING_GREY,) * 3)
    if len(xyxy) == 0:
        return LabeledImage(np.asarray(image, np.uint8), xyxy, class_id)
    corners = xyxy[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)  # [M*4,2]
    moved = np.column_stack([corners, np.ones(len(corners))]) @ matrix.T
    moved = (moved[:, :2] / moved[:, 2:]).reshape(-1, 4, 2)  # [M,4,2]
    after = clip_boxes(np.concatenate([moved.min(1), moved.max(1)], axis=1).astype(np.float32), height, width)
    kept = _worth_learning(xyxy * factor, after)
    return LabeledImage(np.asarray(image, np.uint8), after[kept], class_id[kept])


def mixup(first: LabeledImage, second: LabeledImage, rng: np.random.Generator) -> LabeledImage:
    """Two pictures of one size laid over each other, weights from Beta(32, 32), with the objects of both."""
    share = rng.beta(32.0, 32.0)
    image = cv2.addWeighted(first.image, share, second.image, 1 - share, 0)
    return LabeledImage(
        np.asarray(image, np.uint8),
        np.concatenate([first.xyxy, second.xyxy]),
        np.concatenate([first.class_id, second.class_id]),
    )


def random_hsv(image: NDArray[np.uint8], rng: np.random.Generator, augmentation: Augmentation) -> NDArray[np.uint8]:
    """The picture with hue, saturation and brightness multiplied by 1 + uniform(-gain, gain) each."""
    gains = np.array([augmentation.hsv_h, augmentation.hsv_s, augmentation.hsv_v])
    if not gains.any():
        return image
    hue, saturation, brightness = 1 + rng.uniform(-1, 1, 3) * gains
    values = np.arange(256, dtype=np.float64)
    tables = np.empty((1, 256, 3), np.uint8)
    tables[0, :, 0] = values * hue % 180  # OpenCV's hue of 8-bit pictures is half of the angle
    tables[0, :, 1] = np.clip(values * saturation, 0, 255)
    tables[0, :, 2] = np.clip(values * brightness, 0, 255)
    hsv = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), tables)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


def flip_left_right(labeled: LabeledImage) -> LabeledImage:
    width = labeled.image.shape[1]
    left, top, right, bottom = labeled.xyxy.T
    return labeled._replace(image=labeled.image[:, ::-1], xyxy=np.stack([width - right, top, width - left, bottom], 1))


def flip_up_down(labeled: LabeledImage) -> LabeledImage:
    height = labeled.image.shape[0]
    left, top, right, bottom = labeled.xyxy.T
    return labeled._replace(image=labeled.image[::-1], xyxy=np.stack([left, height - bottom, right, height - top], 1))


def _random_matrix(
    source: tuple[int, int], rng: np.random.Generator, size: tuple[int, int], augmentation: Augmentation
) -> tuple[NDArray[np.float64], float]:
    """Source pixels to result pixels: centre, perspective, rotation with scale, shear, translation; and the scale."""
    (source_height, source_width), (height, width) = source, size
    centre, perspective, shear, translation = np.eye(3), np.eye(3), np.eye(3), np.eye(3)
    centre[:2, 2] = -source_width / 2, -source_height / 2
    perspective[2, :2] = rng.uniform(-augmentation.perspective, augmentation.perspective, 2)
    angle = math.radians(rng.uniform(-augmentation.degrees, augmentation.degrees))
    factor = rng.uniform(1 - augmentation.scale, 1 + augmentation.scale)
    cosine, sine = factor * math.cos(angle), factor * math.sin(angle)
    rotation = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
    shear[0, 1], shear[1, 0] = np.tan(np.radians(rng.uniform(-augmentation.shear, augmentation.shear, 2)))
    translation[:2, 2] = rng.uniform(0.5 - augmentation.translate, 0.5 + augmentation.translate, 2) * (width, height)
    return translation @ shear @ rotation @ perspective @ centre, factor


def _covered(xyxy: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """(M,) share of each box that one other box covers."""
    shared = np.concatenate([np.maximum(xyxy[:, :2], other[:2]), np.minimum(xyxy[:, 2:], other[2:])], axis=1)
    size = np.maximum(shared[:, 2:] - shared[:, :2], 0)
    return size.prod(axis=1) / np.maximum(box_area(xyxy), 1e-9)


def _worth_learning(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which boxes survive, by their scaled size before and their visible size after a warp."""
    width, height = (after[:, 2:] - after[:, :2]).T
    large = (width > SHORTEST_SIDE_PX) & (height > SHORTEST_SIDE_PX)
    visible = box_area(after) > SMALLEST_AREA_SHARE * box_area(before)
    return large & visible & (width < LONGEST_ASPECT * height) & (height < LONGEST_ASPECT * width)
