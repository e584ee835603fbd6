"""Letterbox: a picture scaled into a network's input with grey bars, and boxes taken back out of it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidan.detector.boxes import clip_boxes
from vidan.detector.detections import ImageLike

PADDING_GREY = 114


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How pictures of one size go into a network's input. All sizes are (height, width) in pixels.

    Attributes:
        source: Size of the picture.
        ratio: Letterboxed pixels per source pixel.
        scaled: Size of the picture inside the bars.
        padding: (vertical, horizontal) thickness of one bar before rounding; top and left are rounded
            down from a half, bottom and right up.
        shape: Size of the result, bars included.
    """

    source: tuple[int, int]
    ratio: float
    scaled: tuple[int, int]
    padding: tuple[float, float]
    shape: tuple[int, int]

    @classmethod
    def fit(
        cls,
        source: tuple[int, int],
        target: tuple[int, int],
        *,
        stride: int = 32,
        auto: bool = True,
        scaleup: bool = True,
    ) -> Letterbox:
        """The letterbox that fits a picture into a target, keeping its proportions.

        Args:
            source: (height, width) of the picture.
            target: (height, width) that the result may not exceed.
            stride: Coarsest cell of the network; a target is a multiple of it.
            auto: Leave out whole strides of padding: the smallest rectangle that the network takes.
            scaleup: Also enlarge pictures smaller than the target.

        Raises:
            ValueError: If a side of the picture has no pixels.
        """
        if min(source) < 1:
            raise ValueError(f"a picture needs at least one pixel, got height x width = {source[0]}x{source[1]}")
        ratio = min(target[0] / source[0], target[1] / source[1])
        if not scaleup:
            ratio = min(ratio, 1.0)
        scaled = (max(round(source[0] * ratio), 1), max(round(source[1] * ratio), 1))
        bars = [whole - part for whole, part in zip(target, scaled, strict=True)]
        if auto:
            bars = [bar % stride for bar in bars]
        return cls(
            source=source,
            ratio=ratio,
            scaled=scaled,
            padding=(bars[0] / 2, bars[1] / 2),
            shape=(scaled[0] + bars[0], scaled[1] + bars[1]),
        )

    @property
    def top_left(self) -> tuple[int, int]:
        """(row, column) where the picture begins."""
        return round(self.padding[0] - 0.1), round(self.padding[1] - 0.1)

    def apply(self, image: ImageLike) -> NDArray[np.uint8]:
        """The letterboxed picture, (*shape, 3) uint8 RGB, contiguous.

        A picture that can resize itself is asked for the scaled size only, so its full RGB form is never made.
        """
        scaled = self._scale(image)
        if self.shape == self.scaled:
            return np.ascontiguousarray(scaled)
        canvas = np.full((*self.shape, 3), PADDING_GREY, np.uint8)
        top, left = self.top_left
        canvas[top : top + self.scaled[0], left : left + self.scaled[1]] = scaled
        return canvas

    def undo(self, xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 4) boxes of the letterboxed picture in pixels of the source, cut off at its borders."""
        vertical, horizontal = self.padding
        offsets = np.array([horizontal, vertical, horizontal, vertical], np.float32)
        return clip_boxes((xyxy - offsets) / np.float32(self.ratio), *self.source)

    def _scale(self, image: ImageLike) -> NDArray[np.uint8]:
        height, width = self.scaled
        if not isinstance(image, np.ndarray):
            return image.resized(height, width)
        if image.shape[:2] == self.scaled:
            return image
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
