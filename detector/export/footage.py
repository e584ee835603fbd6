"""Pictures spread evenly over footage: what an export is calibrated and compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import av.container
import cv2
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


class FootageError(ValueError):
    """Footage that cannot be read; the message says which and why."""


def sample_footage(paths: Sequence[Path], count: int) -> list[NDArray[np.uint8]]:
    """About `count` pictures (H, W, 3) uint8 RGB, evenly from every path and evenly over each.

    Args:
        paths: Videos, pictures, or folders of pictures.
        count: Of all together, at least one from each path.

    Raises:
        FootageError: If something cannot be read, or holds no picture.
    """
    pictures: list[NDArray[np.uint8]] = []
    for position, path in enumerate(paths):
        share = max(1, (count * (position + 1)) // len(paths) - (count * position) // len(paths))
        found = list(_pictures(path, share))
        if not found:
            raise FootageError(f"{path}: holds no picture")
        pictures.extend(found)
    return pictures


def _pictures(path: Path, count: int) -> Iterator[NDArray[np.uint8]]:
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES)
        for i in _evenly(len(files), count):
            yield _picture(files[i])
    elif not path.is_file():
        raise FootageError(f"{path}: no such file or folder")
    elif path.suffix.lower() in PICTURE_SUFFIXES:
        yield _picture(path)
    else:
        yield from _frames(path, count)


def _picture(path: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise FootageError(f"{path}: cannot be read as a picture: damaged, or a format that OpenCV does not know")
    return np.asarray(image, np.uint8)


def _frames(path: Path, count: int) -> Iterator[NDArray[np.uint8]]:
    """Frames at even distances in time; each is sought, so that an hour of video is not decoded for it."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise FootageError(f"{path}: has no video stream")
            stream = container.streams.video[0]
            seconds = float((container.duration or 0) / av.time_base)
            start = float((stream.start_time or 0) * stream.time_base) if stream.time_base else 0.0
            last = -1.0
            for i in range(count):
                frame = _frame_at(container, start + seconds * (i + 0.5) / count)
                if frame is not None and (frame.time or 0.0) > last:  # a short clip has fewer frames than asked for
                    last = frame.time or 0.0
                    yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    except FFmpegError as error:
        raise FootageError(f"{path}: cannot be decoded as video ({error})") from error


def _frame_at(container: av.container.InputContainer, seconds: float) -> av.VideoFrame | None:
    """The first frame at or after a time; None if there is none."""
    container.seek(int(seconds * av.time_base))
    for frame in container.decode(video=0):
        if frame.time is None or frame.time >= seconds:
            return frame
    return None


def _evenly(total: int, count: int) -> list[int]:
    return sorted({int((i + 0.5) * total / count) for i in range(count)}) if total else []
