"""Augmentations keep boxes on the things they belong to."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidan.detector.data.augment import (
    Augmentation,
    LabeledImage,
    copy_paste,
    flip_left_right,
    flip_up_down,
    mixup,
    mosaic,
    random_affine,
    random_hsv,
    warp,
)

NOTHING = Augmentation(
    hsv_h=0, hsv_s=0, hsv_v=0, degrees=0, translate=0, scale=0, shear=0, perspective=0, fliplr=0, mosaic=0, mixup=0
)

seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(32, 90), st.integers(32, 90))  # height, width


def noise(seed: int, size: tuple[int, int], count: int = 5) -> LabeledImage:
    """A picture of noise with boxes inside it."""
    rng = np.random.default_rng(seed)
    height, width = size
    corners = rng.uniform(0, 1, (2, count, 2)) * (width, height)
    xyxy = np.concatenate([corners.min(0), corners.max(0)], axis=1).astype(np.float32)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return LabeledImage(image, xyxy, rng.integers(0, 9, count))


def with_block(size: tuple[int, int], box: tuple[int, int, int, int], colour: int = 255) -> LabeledImage:
    """A black picture with one bright block, and the box around it."""
    left, top, right, bottom = box
    image = np.zeros((*size, 3), np.uint8)
    image[top:bottom, left:right] = colour
    return LabeledImage(image, np.array([box], np.float32), np.zeros(1, np.int64))


def bright_box(image: NDArray[np.uint8]) -> list[int]:
    rows, columns = np.nonzero(image[:, :, 0] > 180)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def assert_equal(actual: LabeledImage, expected: LabeledImage) -> None:
    np.testing.assert_array_equal(actual.image, expected.image)
    np.testing.assert_allclose(actual.xyxy, expected.xyxy, atol=1e-4)
    np.testing.assert_array_equal(actual.class_id, expected.class_id)


def assert_inside(labeled: LabeledImage) -> None:
    height, width = labeled.image.shape[:2]
    assert (labeled.xyxy >= 0).all()
    assert (labeled.xyxy <= (width, height, width, height)).all()
    assert (labeled.xyxy[:, 2:] > labeled.xyxy[:, :2]).all()
    assert labeled.image.dtype == np.uint8
    assert labeled.xyxy.dtype == np.float32
    assert len(labeled.xyxy) == len(labeled.class_id)


@settings(max_examples=25, deadline=None)
@given(seeds, sizes)
def test_flipping_twice_changes_nothing(seed: int, size: tuple[int, int]) -> None:
    labeled = noise(seed, size)
    for flip in (flip_left_right, flip_up_down):
        assert_equal(flip(flip(labeled)), labeled)


def test_a_flipped_box_stays_on_its_object() -> None:
    labeled = with_block((40, 60), (5, 10, 20, 15))
    for flip in (flip_left_right, flip_up_down):
        flipped = flip(labeled)
        assert flipped.xyxy[0].tolist() == bright_box(flipped.image)


@settings(max_examples=25, deadline=None)
@given(seeds, sizes)
def test_an_affine_of_no_strength_changes_nothing(seed: int, size: tuple[int, int]) -> None:
    labeled = noise(seed, size)._replace(xyxy=np.array([[1, 2, 30, 31]] * 5, np.float32))
    assert_equal(random_affine(labeled, np.random.default_rng(seed), size, NOTHING), labeled)


@settings(max_examples=40, deadline=None)
@given(seeds, sizes, sizes, st.booleans())
def test_boxes_stay_inside_after_any_affine(
    seed: int, source: tuple[int, int], size: tuple[int, int], perspective: bool
) -> None:
    strong = Augmentation(degrees=180, shear=20, translate=0.5, scale=0.9, perspective=0.001 if perspective else 0)
    result = random_affine(noise(seed, source), np.random.default_rng(seed), size, strong)
    assert result.image.shape == (*size, 3)
    assert_inside(result)
    assert (result.xyxy[:, 2:] - result.xyxy[:, :2] > 2).all()


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([[1, 0, 7], [0, 1, -3], [0, 0, 1]], (17, 17, 37, 27)),  # moved
        ([[0.5, 0, 0], [0, 0.5, 0], [0, 0, 1]], (5, 10, 15, 15)),  # halved
        ([[0, -1, 60], [1, 0, 0], [0, 0, 1]], (30, 10, 40, 30)),  # turned by a quarter
        ([[1, 0, 0], [0, 1, 0], [0.005, 0, 1]], (9.52, 17.39, 26.09, 28.57)),  # in perspective
    ],
)
def test_a_warped_box_stays_on_its_object(matrix: list[list[float]], expected: tuple[float, ...]) -> None:
    warped = warp(with_block((60, 60), (10, 20, 30, 30)), np.array(matrix, np.float64), 1.0, (60, 60))
    np.testing.assert_allclose(warped.xyxy[0], expected, atol=0.01)
    np.testing.assert_allclose(bright_box(warped.image), expected, atol=1.01)


@pytest.mark.parametrize(
    ("box", "scale", "kept"),
    [
        ((10, 10, 30, 30), 1.0, True),
        ((-19, 10, 1, 30), 1.0, False),  # one column of twenty is left: thinner than 2 px
        ((-90, 10, 5, 30), 1.0, False),  # 5 % of the area is left
        ((-90, 10, 15, 30), 1.0, True),  # 14 % are left
        ((10, 10, 30, 30), 0.1, False),  # 2 px is not more than 2 px
        ((10, 10, 32, 32), 0.1, True),  # 2.2 px; scaling alone does not make the area share small
        ((0, 10, 400, 13), 1.0, False),  # 133 times as wide as high
    ],
)
def test_boxes_not_worth_learning_are_dropped(box: tuple[float, ...], scale: float, kept: bool) -> None:
    labeled = LabeledImage(np.zeros((400, 400, 3), np.uint8), np.array([box], np.float32), np.zeros(1, np.int64))
    result = warp(labeled, np.diag([scale, scale, 1.0]), scale, (400, 400))
    assert len(result.xyxy) == len(result.class_id) == kept


@settings(max_examples=25, deadline=None)
@given(seeds, sizes)
def test_a_mosaic_holds_its_tiles_around_a_centre_in_the_middle_half(seed: int, size: tuple[int, int]) -> None:
    height, width = size
    whole = (0, 0, width, height)
    tiles = [with_block(size, whole, colour) for colour in (50, 100, 150, 200)]
    result = mosaic(tiles, np.random.default_rng(seed), size)
    assert result.image.shape == (2 * height, 2 * width, 3)
    assert_inside(result)
    for box, colour in zip(result.xyxy.astype(int), (50, 100, 150, 200), strict=True):
        left, top, right, bottom = box
        assert (result.image[top:bottom, left:right] == colour).all()
        assert (result.image == colour).sum() == 3 * (right - left) * (bottom - top)
    centre_x, centre_y = result.xyxy[0, 2:]
    assert width // 2 <= centre_x <= width * 1.5
    assert height // 2 <= centre_y <= height * 1.5


def test_a_mosaic_takes_four_tiles() -> None:
    with pytest.raises(ValueError, match="4 tiles, got 3"):
        mosaic([noise(0, (32, 32))] * 3, np.random.default_rng(0), (32, 32))


def test_mixup_keeps_the_objects_of_both_and_blends_about_half() -> None:
    bright, dark = with_block((32, 32), (0, 0, 32, 32), 200), with_block((32, 32), (4, 4, 8, 8), 0)
    result = mixup(bright, dark, np.random.default_rng(1))
    assert result.xyxy.tolist() == [[0, 0, 32, 32], [4, 4, 8, 8]]
    assert 60 < result.image.mean() < 140


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_colour_gains_keep_grey_grey_and_stay_within_the_gain(seed: int) -> None:
    grey = np.full((8, 8, 3), 100, np.uint8)
    result = random_hsv(grey, np.random.default_rng(seed), Augmentation(hsv_v=0.4)).astype(int)
    assert (result == result[0, 0, 0]).all()  # no saturation, so hue cannot show
    assert 59 <= result[0, 0, 0] <= 140


def test_no_colour_gain_is_no_change() -> None:
    image = noise(3, (40, 40)).image
    np.testing.assert_array_equal(random_hsv(image, np.random.default_rng(0), NOTHING), image)


def outlined(seed: int, size: tuple[int, int]) -> LabeledImage:
    """Grey, with discs of different colours that do not meet, every third of them without outline."""
    rng = np.random.default_rng(seed)
    height, width = size
    image = np.full((height, width, 3), 90, np.uint8)
    boxes, outlines = [], []
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    for i, x in enumerate(range(12, width - 12, 24)):
        y, radius = rng.uniform(12, height - 12), rng.uniform(4, 11)
        outline = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1).astype(np.float32)
        cv2.fillPoly(image, [np.rint(outline).astype(np.int32)], (10 + i, 200, 30))
        boxes.append([*outline.min(0), *outline.max(0)])
        outlines.append(() if i % 3 == 2 else (outline,))
    return LabeledImage(image, np.array(boxes, np.float32), np.arange(len(boxes)), tuple(outlines))


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(40, 120), st.integers(60, 240), st.sampled_from([0.3, 1.0]))
def test_copied_objects_come_on_top_and_lie_where_their_boxes_say(
    seed: int, height: int, width: int, share: float
) -> None:
    labeled = outlined(seed, (height, width))
    before = labeled.image.copy()
    result = copy_paste(labeled, np.random.default_rng(seed), share)
    count = len(labeled.xyxy)
    np.testing.assert_array_equal(labeled.image, before)
    assert_inside(result)
    np.testing.assert_array_equal(result.xyxy[:count], labeled.xyxy)
    np.testing.assert_array_equal(result.class_id[:count], labeled.class_id)
    copied = result.class_id[count:].tolist()
    assert len(set(copied)) == len(copied) <= round(share * sum(map(bool, labeled.outlines)))
    for label, box in zip(copied, result.xyxy[count:], strict=True):
        assert labeled.outlines[label]
        colour = (result.image[..., 0] == 10 + label) & (result.image[..., 1] == 200)
        mirrored = colour & ~((before[..., 0] == 10 + label) & (before[..., 1] == 200))
        rows, columns = np.nonzero(mirrored)
        left, top, right, bottom = box
        if len(rows):  # another copy may lie on it
            assert left - 1.5 <= columns.min() <= columns.max() <= right + 1
            assert top - 1 <= rows.min() <= rows.max() <= bottom + 1
    changed = (result.image != before).any(axis=2)
    for left, top, right, bottom in result.xyxy[count:]:
        changed[max(int(top) - 1, 0) : int(bottom) + 2, max(int(left) - 2, 0) : int(right) + 2] = False
    assert not changed.any()  # nothing but the objects was pasted


def test_nothing_is_pasted_over_another_object() -> None:
    """Of two discs, mirror images of each other, neither may be copied; the third, aside, may."""
    ring = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], np.float32)
    places = [(10, 20), (80, 20), (20, 50)]
    outlines = tuple((ring + np.array(place, np.float32),) for place in places)
    boxes = np.array([[x, y, x + 10, y + 10] for x, y in places], np.float32)
    labeled = LabeledImage(np.zeros((80, 100, 3), np.uint8), boxes, np.arange(3), outlines)
    result = copy_paste(labeled, np.random.default_rng(0), 1.0)
    assert result.class_id.tolist() == [0, 1, 2, 2]
    assert result.xyxy[3].tolist() == [70, 50, 80, 60]
    assert len(copy_paste(labeled._replace(outlines=()), np.random.default_rng(0), 1.0).xyxy) == 3


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_outlines_stay_on_their_objects_in_a_mosaic(seed: int) -> None:
    tiles = [outlined(seed + i, (60, 80)) for i in range(3)] + [noise(seed, (60, 80))]
    result = mosaic(tiles, np.random.default_rng(seed), (60, 80))
    assert len(result.outlines) == len(result.xyxy)
    for box, outline in zip(result.xyxy, result.outlines, strict=True):
        for polygon in outline:
            clipped = np.clip(np.array([*polygon.min(0), *polygon.max(0)]), 0, (160, 120, 160, 120))
            np.testing.assert_allclose(clipped, box, atol=1e-3)
