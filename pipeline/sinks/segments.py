"""SegmentedMp4: the annotated video of one stream as a row of short files, for cameras that never end."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path

import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from vidan.pipeline.frame import Stamp
from vidan.pipeline.sinks.mp4 import FRAGMENT_SECONDS, Disk, Mp4Encoder
from vidan.pipeline.sinks.shelf import SegmentShelf

PAUSE_SECONDS = 10.0  # after a failure, before the next try

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Segments:
    """How videos are cut: where the segments of all streams go, who makes room for them, how many seconds each has."""

    shelf: SegmentShelf
    seconds: float


class SegmentedMp4:
    """Encodes pictures into ``FOLDER/START.mp4``, each file a video of its own that begins at 0.

    Segments end at whole multiples of their length in UTC, so that those of all cameras lie side by side; where the
    time of day is not known, in stream time. A picture of another size begins a new one, too. START is
    ``20260501T081000Z``, or ``000000600s``.

    A disk that fails or fills up stops no run: the segment ends, pictures are left out and counted, and a while later
    the next segment is tried.

    Args:
        folder: Of this stream, a folder of the shelf's.
        segments: How long they are, and who makes room for them.
        encoder: Name of FFmpeg's encoder.
        crf: As for `Mp4Encoder`.
        title: Name of the stream.
        clock: Seconds that only grow.

    Raises:
        OSError: If the folder of the stream cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        segments: Segments,
        *,
        encoder: str,
        crf: int,
        title: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.left_out = 0
        self._folder = folder
        self._shelf = segments.shelf
        self._seconds = segments.seconds
        self._encoder = encoder
        self._crf = crf
        self._title = title
        self._clock = clock
        self._folder.mkdir(parents=True, exist_ok=True)
        self._film: Mp4Encoder | None = None
        self._path = self._folder
        self._start = self._checked = 0.0  # stream seconds
        self._number: int | None = None
        self._shape: tuple[int, ...] = ()
        self._retry_at = -math.inf

    def encode(self, i420: NDArray[np.uint8], stamp: Stamp) -> None:
        """Adds a picture, to the next segment if it is time for it."""
        try:
            is_other = self._number_of(stamp) != self._number or i420.shape != self._shape
            if self._film is not None and is_other:
                self._end()
            if self._film is None and self._clock() < self._retry_at:
                self.left_out += 1
                return
            if self._film is None:
                self._begin(stamp)
            elif stamp.pts_seconds - self._checked >= FRAGMENT_SECONDS:
                self._require_room()
                self._checked = stamp.pts_seconds
            assert self._film is not None
            self._shape = i420.shape
            self._film.encode(i420, replace(stamp, pts_seconds=stamp.pts_seconds - self._start))
        except (FFmpegError, OSError) as error:
            self.left_out += 1
            self._pause(error)

    def close(self) -> None:
        """Completes the last segment."""
        try:
            if self._film is not None:
                self._end()
        except (FFmpegError, OSError) as error:
            self._pause(error)
        if self._retry_at > -math.inf:
            _logger.warning("the video of %s lacks %d pictures", self._title, self.left_out)

    def _number_of(self, stamp: Stamp) -> int:
        seconds = stamp.pts_seconds if stamp.utc is None else stamp.utc.timestamp()
        return math.floor(seconds / self._seconds)

    def _begin(self, stamp: Stamp) -> None:
        self._shelf.tidy()
        self._require_room()
        name = f"{int(stamp.pts_seconds):09d}s" if stamp.utc is None else f"{stamp.utc.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        self._path = _free_name(self._folder, name)
        self._film = Mp4Encoder(Disk(self._path), self._encoder, self._crf, title=self._title)
        self._shelf.begin(self._path)
        self._start = self._checked = stamp.pts_seconds
        self._number = self._number_of(stamp)
        if self._retry_at > -math.inf:
            _logger.warning(
                "the video of %s goes on in %s; %d pictures were left out", self._title, self._path, self.left_out
            )
            self._retry_at = -math.inf

    def _end(self) -> None:
        film, self._film = self._film, None
        assert film is not None
        try:
            film.close()
        finally:
            self._shelf.end(self._path)
            if self._path.stat().st_size == 0:  # the disk was full from the beginning
                self._path.unlink()

    def _require_room(self) -> None:
        if not self._shelf.has_room():
            raise OSError("the disk is nearly full, and what is left is for the event log")

    def _pause(self, error: Exception) -> None:
        """Ends the segment, what is in it stays playable; says so once, not at each try."""
        if self._film is not None:
            with suppress(FFmpegError, OSError):
                self._end()
        if self._retry_at == -math.inf:
            reason = getattr(error, "strerror", None) or error
            _logger.warning("the video of %s pauses: %s; counting goes on", self._title, reason)
        self._retry_at = self._clock() + PAUSE_SECONDS


def _free_name(folder: Path, name: str) -> Path:
    """``NAME.mp4``, or ``NAME-2.mp4`` and so on if a clock that was set back, or a restart, has taken it already."""
    path, number = folder / f"{name}.mp4", 1
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}.mp4"
    return path
