"""From decoded pictures of any pixel format and orientation to upright RGB arrays of one size."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from av.buffer import Buffer
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from vidan.pipeline.frame import Frame, Stamp


class Orientation(NamedTuple):
    """How a stored picture is turned upright: first transposed, then mirrored."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Orientation:
        """From the display matrix that phones write (ISO 14496-12, 8.3.2), to the nearest quarter turn.

        The matrix a b u, c d v, x y w shows the stored pixel (p, q) at (a p + c q + x, b p + d q + y).
        """
        # Not `frame.side_data`: the frame would keep that, and it keeps the frame, so that each picture would lie in
        # memory until Python looks for garbage in circles, some 150 pictures later.
        side_data = _side_data(frame)
        if SideDataType.DISPLAYMATRIX not in side_data:
            return cls()
        a, b, _, c, d, *_ = memoryview(bytes(side_data[SideDataType.DISPLAYMATRIX])).cast("i")
        if abs(b) > abs(a):
            return cls(True, mirror_x=c < 0, mirror_y=b < 0)
        return cls(False, mirror_x=a < 0, mirror_y=d < 0)

    def upright_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the shown picture, from those of the stored one."""
        return (width, height) if self.transpose else (height, width)

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The stored (H, W, 3) picture as it is shown."""
        if self.transpose:
            image = cv2.transpose(image).astype(np.uint8, copy=False)
        if self.mirror_x or self.mirror_y:
            axis = -1 if self.mirror_x and self.mirror_y else int(self.mirror_x)
            image = cv2.flip(image, axis).astype(np.uint8, copy=False)
        return image


def _side_data(frame: av.VideoFrame) -> Mapping[SideDataType, Buffer]:
    make: Any = SideDataContainer  # no type checker knows that it takes a frame
    return make(frame)


class RgbConverter:
    """Gives the upright RGB arrays of one source's pictures, all of the size of the first; any thread may call it.

    The whole picture is converted, and a smaller one is scaled from it (`Frame.resized`), for swscale is fast only
    where it need not scale. Measured on one core: 768×576 to RGB 0.16 ms, and to half the size with cv2 0.30 ms in all,
    where swscale needs 0.67 ms to do both at once; 1080p to 640×360 1.3 against 3.1 ms, 4K 5.6 against 7.4 ms. And so
    the small picture has the very colours of the large one, which whoever draws has converted anyway.

    Args:
        height: Pixels of the upright pictures.
        width: Pixels of the upright pictures.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height = height
        self.width = width
        self._reformatter = VideoReformatter()
        self._lock = threading.Lock()  # a reformatter serves one call at a time

    def to_rgb(self, frame: av.VideoFrame, orientation: Orientation) -> NDArray[np.uint8]:
        """(height, width, 3) uint8 RGB, with the picture's own colour matrix and range."""
        with self._lock:
            # One thread: slicing a picture costs more than it saves, and other stages want the cores.
            converted = self._reformatter.reformat(frame, format="rgb24", threads=1)
        image = np.ascontiguousarray(converted.to_ndarray(), np.uint8)  # rows of odd widths are padded
        return fit(orientation.apply(image), self.height, self.width)


class FrameMaker:
    """Makes the frames of one source from decoded pictures, all of the size of the first.

    Args:
        problems: Is told of pictures of another size, once per size.
    """

    def __init__(self, problems: list[str]) -> None:
        self._problems = problems
        self._converter: RgbConverter | None = None
        self._odd_sizes: set[tuple[int, int]] = set()

    @property
    def height(self) -> int | None:
        """Pixels of all frames, upright; None before the first."""
        return self._converter and self._converter.height

    @property
    def width(self) -> int | None:
        """Pixels of all frames, upright; None before the first."""
        return self._converter and self._converter.width

    def make(self, stamp: Stamp, frame: av.VideoFrame, orientation: Orientation) -> Frame:
        """The frame of a picture, which is converted when somebody looks at it."""
        size = height, width = orientation.upright_size(frame.height, frame.width)
        if self._converter is None:
            self._converter = RgbConverter(height, width)
        expected = self._converter.height, self._converter.width
        if size != expected and size not in self._odd_sizes:
            self._odd_sizes.add(size)
            self._problems.append(
                f"pictures change from {expected[1]}×{expected[0]} to {width}×{height} at {stamp.pts_seconds:.1f} s; "
                "they are scaled to the first size"
            )
        return Frame(stamp, *expected, partial(self._converter.to_rgb, frame, orientation))


def fit(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The picture in the size of its stream, which is that of the first picture."""
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
