"""One labeled picture, a file or a frame of a video, and how its pixels are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import TypeAlias

import av
import cv2
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray


class DataError(ValueError):
    """A data set cannot be read; the message says which file (and line) and what to do."""


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """A picture inside a video: the ``index``-th decoded frame, from 0."""

    video: Path
    index: int


ImageSource: TypeAlias = Path | VideoFrame

Outline: TypeAlias = tuple[NDArray[np.float32], ...]
"""The polygons that make up one object, each (N, 2) x, y in pixels; none where only its box is known."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A picture that is still on disk, and the objects in it.

    Attributes:
        image: Picture file, or frame of a video.
        size: Height and width of the picture in pixels.
        xyxy: (M, 4) float32, left, top, right, bottom in pixels of the picture.
        class_id: (M,) int64, index into the data set's class names.
        ignored: (M,) bool, True where a box is no target: a crowd, or an object that the annotators excluded.
            Training leaves such boxes out, evaluation forgives detections on them.
        outlines: Of each object, or empty where no annotation of the picture has any.

    Raises:
        ValueError: If the shapes do not fit together.
    """

    image: ImageSource
    size: tuple[int, int]
    xyxy: NDArray[np.float32]
    class_id: NDArray[np.int64]
    ignored: NDArray[np.bool_]
    outlines: tuple[Outline, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.xyxy)
        if self.xyxy.shape != (count, 4) or self.class_id.shape != (count,) or self.ignored.shape != (count,):
            raise ValueError(
                "Sample needs xyxy (M, 4), class_id (M,), ignored (M,); "
                f"got {self.xyxy.shape}, {self.class_id.shape}, {self.ignored.shape}"
            )
        if len(self.outlines) not in (0, count):
            raise ValueError(f"Sample needs one outline per object, or none; got {len(self.outlines)} of {count}")


def read_images(sources: Iterable[ImageSource]) -> Iterator[NDArray[np.uint8]]:
    """The pictures in the given order, (H, W, 3) uint8 RGB.

    A video is decoded once for every run of its frames with rising index, never held whole.

    Raises:
        DataError: If a picture or a video cannot be read, or a video is too short.
    """
    for video, run in groupby(sources, key=lambda source: source.video if isinstance(source, VideoFrame) else None):
        if video is None:
            yield from (_read_file(source) for source in run if isinstance(source, Path))
        else:
            yield from _read_frames(video, (source.index for source in run if isinstance(source, VideoFrame)))


def video_size(video: Path) -> tuple[int, int]:
    """Height and width of a video's pictures, from its header.

    Raises:
        DataError: If the file is no video that FFmpeg reads.
    """
    try:
        with av.open(str(video)) as container:
            stream = container.streams.video[0]
            return stream.height, stream.width
    except (FFmpegError, IndexError) as error:
        raise DataError(f"cannot open video {video}: {error}") from error


def count_frames(video: Path, most: int) -> tuple[int, str | None]:
    """How many frames of a video can be decoded, up to so many, and what ended it before: None for its regular end."""
    count = 0
    try:
        for _ in islice(_decode(video), most):
            count += 1
    except DataError as error:
        return count, str(error)
    return count, None


def _read_file(path: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise DataError(f"cannot read picture {path}: missing, damaged, or a format that OpenCV does not know")
    return np.asarray(image, np.uint8)


def _read_frames(video: Path, indices: Iterable[int]) -> Iterator[NDArray[np.uint8]]:
    frames, position = _decode(video), -1
    for index in indices:
        if index <= position:
            frames, position = _decode(video), -1
        for frame in frames:
            position += 1
            if position == index:
                yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                break
        else:
            raise DataError(f"video {video} ends after {position + 1} frames, frame {index + 1} is labeled")


def _decode(video: Path) -> Iterator[av.VideoFrame]:
    try:
        with av.open(str(video)) as container:
            yield from container.decode(video=0)
    except FFmpegError as error:
        raise DataError(f"cannot decode video {video}: {error}") from error
