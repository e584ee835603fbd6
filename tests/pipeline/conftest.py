"""Clips that are encoded on the spot, every picture with its number painted in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Protocol, cast

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from numpy.typing import NDArray

BITS = 6


def paint_number(number: int, height: int, width: int) -> NDArray[np.uint8]:
    """(height, width, 3) RGB: the bits of `number` as light and dark bars on top, the lowest at the left; red below.

    The left half of the lower part is red, the right half blue, so that turned and mirrored pictures can be told apart.
    """
    image = np.empty((height, width, 3), np.uint8)
    for bit, columns in enumerate(np.array_split(np.arange(width), BITS)):
        image[: height // 2, columns] = 230 if number >> bit & 1 else 25
    image[height // 2 :, : width // 2] = (200, 40, 40)
    image[height // 2 :, width // 2 :] = (40, 40, 200)
    return image


@pytest.fixture
def picture() -> Callable[[int, int, int], NDArray[np.uint8]]:
    """The picture that the factory encodes under a number, before any loss: `picture(number, height, width)`."""
    return paint_number


@pytest.fixture
def read_number() -> Callable[[NDArray[np.uint8]], int]:
    """Reads the number off a decoded upright picture."""

    def read(image: NDArray[np.uint8]) -> int:
        height, width = image.shape[:2]
        row = image[height // 4].mean(axis=-1)
        return sum(int(row[int((bit + 0.5) * width / BITS)] > 128) << bit for bit in range(BITS))

    return read


class VideoFactory(Protocol):
    def __call__(
        self,
        name: str = "clip.mp4",
        *,
        codec: str = "libx264",
        pixel_format: str = "yuv420p",
        size: tuple[int, int] = (96, 128),
        fps: int = 10,
        numbers: Sequence[int] = range(30),
        times: Sequence[int] | None = None,
        time_base: Fraction | None = None,
        options: dict[str, str] | None = None,
        container_options: dict[str, str] | None = None,
        metadata: dict[str, str] | None = None,
        rotation: tuple[int, bool, bool] | None = None,
        ruined: Collection[int] = (),
    ) -> Path: ...


@pytest.fixture
def video_factory(tmp_path: Path) -> VideoFactory:
    """Encodes a clip: `numbers` are painted into its pictures, the `ruined` packets hold only zeros.

    `times` are presentation times in ticks of `time_base` (by default 1 / fps), `size` is (height, width), `rotation`
    counter-clockwise degrees with horizontal and vertical mirroring.
    """

    def encode(
        name: str = "clip.mp4",
        *,
        codec: str = "libx264",
        pixel_format: str = "yuv420p",
        size: tuple[int, int] = (96, 128),
        fps: int = 10,
        numbers: Sequence[int] = range(30),
        times: Sequence[int] | None = None,
        time_base: Fraction | None = None,
        options: dict[str, str] | None = None,
        container_options: dict[str, str] | None = None,
        metadata: dict[str, str] | None = None,
        rotation: tuple[int, bool, bool] | None = None,
        ruined: Collection[int] = (),
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w", options=container_options or {}) as container:
            container.metadata.update(metadata or {})
            stream = cast(VideoStream, container.add_stream(codec, rate=fps, options=options or {}))
            stream.height, stream.width = size
            stream.pix_fmt = pixel_format
            if time_base is not None:
                stream.codec_context.time_base = time_base
            if rotation is not None:
                stream.set_display_rotation(*rotation)
            packets = []
            for order, number in enumerate(numbers):
                frame = av.VideoFrame.from_ndarray(paint_number(number, *size), format="rgb24")
                frame.pts = order if times is None else times[order]
                frame.time_base = time_base or Fraction(1, fps)
                packets += stream.encode(frame)
            packets += stream.encode(None)
            for order, packet in enumerate(packets):
                if order in ruined:
                    packet.update(bytes(packet.size))
                container.mux(packet)
        return path

    return encode
