"""Letterbox: the same picture and the same boxes as the reference, and the way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidan.detector.letterbox import PADDING_GREY, Letterbox

REFERENCE = json.loads((Path(__file__).parents[1] / "fixtures" / "yolov9_letterbox.json").read_text())


def _case_id(case: dict[str, Any]) -> str:
    flags = [f"stride{case['stride']}", *(flag for flag in ("auto", "scaleup") if case[flag])]
    return f"{case['height']}x{case['width']}-{'-'.join(flags)}"


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=_case_id)
def test_every_case_of_the_reference(case: dict[str, Any]) -> None:
    letterbox = Letterbox.fit(
        (case["height"], case["width"]),
        tuple(case["target"]),
        stride=case["stride"],
        auto=case["auto"],
        scaleup=case["scaleup"],
    )
    assert letterbox.ratio == pytest.approx(case["ratio"][0])
    assert letterbox.padding == tuple(reversed(case["pad_wh"]))
    assert letterbox.scaled == tuple(case["resized_hw"])
    assert letterbox.top_left == tuple(case["pad_top_left"])
    assert letterbox.shape == tuple(case["out_hw"])

    picture = letterbox.apply(_pattern(case["height"], case["width"]))
    height, width = picture.shape[:2]
    assert picture.shape == (*case["out_hw"], 3)
    np.testing.assert_allclose(picture.mean((0, 1)), case["mean_pixel"], atol=0.1)
    spots = [(0, 0), (height // 2, width // 2), (height // 3, width // 4), (height - 1, width - 1)]
    samples = np.array([picture[spot] for spot in spots], np.int64)
    assert np.abs(samples - case["pixel_samples"]).max() <= 1, "bilinear rounding of another OpenCV is at most 1"

    boxes = letterbox.undo(np.array(REFERENCE["boxes"], np.float32))
    np.testing.assert_allclose(boxes, case["boxes_back_from_ratio_pad"], atol=1e-3)


sides = st.integers(1, 2000)
targets = st.tuples(st.integers(1, 30), st.integers(1, 30)).map(lambda cells: (cells[0] * 32, cells[1] * 32))


@settings(max_examples=60, deadline=None)
@given(st.tuples(sides, sides), targets, st.booleans(), st.booleans())
def test_any_picture_fits_a_network(
    source: tuple[int, int], target: tuple[int, int], auto: bool, scaleup: bool
) -> None:
    letterbox = Letterbox.fit(source, target, auto=auto, scaleup=scaleup)
    assert all(side % 32 == 0 and 0 < side <= limit for side, limit in zip(letterbox.shape, target, strict=True))
    assert auto or letterbox.shape == target
    assert scaleup or letterbox.ratio <= 1


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(16, 2000), st.integers(16, 2000)), targets)
def test_boxes_come_back_to_where_they_were(source: tuple[int, int], target: tuple[int, int]) -> None:
    letterbox = Letterbox.fit(source, target)
    height, width = source
    boxes = np.array([[0, 0, width, height], [width * 0.25, height * 0.5, width * 0.75, height * 0.625]], np.float32)
    vertical, horizontal = letterbox.padding
    inside = boxes * np.float32(letterbox.ratio) + np.array([horizontal, vertical, horizontal, vertical], np.float32)
    np.testing.assert_allclose(letterbox.undo(inside), boxes, atol=0.02)


def test_no_boxes_are_no_boxes() -> None:
    assert Letterbox.fit((10, 10), (32, 32)).undo(np.zeros((0, 4), np.float32)).shape == (0, 4)


def test_bars_are_grey_and_the_picture_is_between_them() -> None:
    picture = Letterbox.fit((100, 200), (64, 64), auto=False).apply(np.full((100, 200, 3), 250, np.uint8))
    assert (picture[:16] == PADDING_GREY).all()
    assert (picture[16:48] == 250).all()
    assert (picture[48:] == PADDING_GREY).all()


class VideoFrame:
    """A picture that counts what it is asked for."""

    height, width = 1080, 1920

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def resized(self, height: int, width: int) -> NDArray[np.uint8]:
        self.asked.append((height, width))
        return np.full((height, width, 3), 7, np.uint8)


def test_a_video_frame_is_only_asked_for_its_scaled_form() -> None:
    frame = VideoFrame()
    picture = Letterbox.fit((1080, 1920), (640, 640)).apply(frame)
    assert frame.asked == [(360, 640)]
    assert picture.shape == (384, 640, 3)
    assert (picture[12:372] == 7).all()


def test_a_picture_that_fits_already_is_not_copied() -> None:
    image = _pattern(64, 96)
    assert np.shares_memory(Letterbox.fit((64, 96), (64, 96)).apply(image), image)


def test_a_picture_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="0x640"):
        Letterbox.fit((0, 640), (640, 640))


def _pattern(height: int, width: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width]
    return np.stack(((3 * x + y) % 256, (x + 2 * y) % 256, (x ^ y) % 256), -1).astype(np.uint8)
