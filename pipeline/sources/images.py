"""A folder of pictures as a stream, read with OpenCV: the only place where pixels are BGR, and for one line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidan.pipeline.errors import SourceError
from vidan.pipeline.frame import Frame, Stamp
from vidan.pipeline.sources.clock import StreamClock
from vidan.pipeline.sources.conversion import fit
from vidan.pipeline.sources.paths import expand, natural_key
from vidan.pipeline.sources.thinning import Thinning
from vidan.pipeline.stages import SourceHealth

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}


class ImageFolderSource:
    """Numbered pictures at a steady rate. It is read once, by one thread; `close` may come from another.

    Picture `i` in natural order has index `i` and is at `i / fps` seconds. One that cannot be read leaves its place
    empty; those that stride and max_fps skip are not even opened, and count as decoded. All frames have the size of the
    first; pictures of another size are scaled to it.

    Args:
        name: Of the stream.
        path: A folder, or a glob; files that are hidden, or no pictures by their suffix, are ignored.
        fps: Pictures per second of stream time.
        start_time: Wall-clock time of the first picture (timezone-aware), when it is known.
        stride: Hand out every n-th picture.
        max_fps: Hand out at most so many pictures per second of stream time.

    Attributes:
        files: The pictures, in their order.
        height: Pixels of all frames, upright.
        width: Pixels of all frames, upright.

    Raises:
        SourceError: If the folder is missing, holds no pictures, or none that can be read.
        ValueError: If `fps` is not above 0.
    """

    live = False

    def __init__(
        self,
        name: str,
        path: str | Path,
        *,
        fps: float,
        start_time: datetime | None = None,
        stride: int = 1,
        max_fps: float | None = None,
    ) -> None:
        if not fps > 0:
            raise ValueError(f"fps must be above 0, got {fps}")
        self._name = name
        self._path = path
        self._fps = fps
        self.files = _picture_files(path)
        self._thinning = Thinning(stride, max_fps)
        self._clock = StreamClock(start_time)
        self._health = SourceHealth(expected=len(self.files), duration_seconds=len(self.files) / fps)
        self._sizes_differ = False
        self._closed = False

        self.height = self.width = 0  # until the first picture is read
        frames = self._read()
        first = next(frames, None)
        if first is None:
            raise SourceError(f"none of the {len(self.files)} pictures in {path} can be read")
        self._frames = chain([first], frames)

    @property
    def name(self) -> str:
        return self._name

    @property
    def start_time(self) -> datetime | None:
        """Wall-clock time of the first picture, when it is known."""
        return self._clock.start_time

    @property
    def health(self) -> SourceHealth:
        return self._health

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._frames:
            self._health.delivered += 1
            yield frame

    def close(self) -> None:
        """Ends the stream; may be called twice, and while another thread reads."""
        self._closed = True

    def describe(self) -> dict[str, Any]:
        """What is read, in plain values for the manifest."""
        return {
            "type": "images",
            "path": str(self._path),
            "width": self.width,
            "height": self.height,
            "fps": self._fps,
            "frames": len(self.files),
            "first": self.files[0].name,
            "last": self.files[-1].name,
        }

    def _read(self) -> Iterator[Frame]:
        for index, file in enumerate(self.files):
            if self._closed:
                return
            seconds = index / self._fps
            if not self._thinning.keeps(index, seconds):
                self._health.decoded += 1
                self._health.end_seconds = (index + 1) / self._fps
                continue
            image = _read_rgb(file)
            if image is None:
                self._note_unreadable(index)
                continue
            self._health.decoded += 1
            self._health.end_seconds = (index + 1) / self._fps
            stamp = Stamp(self._name, index, seconds, self._clock.utc(seconds))
            yield Frame.from_array(stamp, self._sized(image, file))

    def _note_unreadable(self, index: int) -> None:
        if self._health.corrupt == 0:
            self._health.problems.append(
                f"{self.files[index].name} cannot be read as a picture; such files are skipped"
            )
        self._health.corrupt += 1
        start, end = index / self._fps, (index + 1) / self._fps
        if self._health.gaps and self._health.gaps[-1][1] == start:
            start, _ = self._health.gaps.pop()
        self._health.gaps.append((start, end))

    def _sized(self, image: NDArray[np.uint8], file: Path) -> NDArray[np.uint8]:
        """The picture in the size of the first one, which it may be itself."""
        height, width = image.shape[:2]
        if not self.height:
            self.height, self.width = height, width
        if (height, width) != (self.height, self.width) and not self._sizes_differ:
            self._sizes_differ = True
            self._health.problems.append(
                f"{file.name} is {width}×{height}, the first picture {self.width}×{self.height}: "
                "pictures of another size are scaled to that of the first"
            )
        return fit(image, self.height, self.width)


def _picture_files(path: str | Path) -> list[Path]:
    """The pictures in a folder or of a glob, in natural order."""
    found = expand(path)
    if found[0].is_dir():
        found = sorted((file for file in found[0].iterdir() if not file.name.startswith(".")), key=natural_key)
    pictures = [file for file in found if file.suffix.lower() in SUFFIXES and file.is_file()]
    if not pictures:
        raise SourceError(f"{path} holds no pictures ({', '.join(sorted(SUFFIXES))})")
    return pictures


def _read_rgb(file: Path) -> NDArray[np.uint8] | None:
    """(H, W, 3) uint8 RGB, turned as its EXIF orientation says; None for what is no picture.

    16 bits become 8, gray becomes RGB, transparency is dropped.
    """
    try:
        data = np.fromfile(file, np.uint8)  # and not cv2.imread, which fails on paths like `café/1.jpg` on Windows
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except (OSError, cv2.error):
        return None
    return None if bgr is None else cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
