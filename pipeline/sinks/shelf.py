"""SegmentShelf: the video segments of all streams of a run; what is oldest goes when there is no more room for it.

Video is what fills disks, and what can be missed most easily: it gives way to the event log. Beneath a reserve of free
space old segments go first, and then no video is written at all until there is room again.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from vidan.pipeline.frame import FrameResult

SWEEP_SECONDS = 30.0  # between looks at the age of segments, which go also while no camera delivers

_logger = logging.getLogger(__name__)


class SegmentShelf:
    """Keeps the files ``FOLDER/STREAM/*.mp4`` within limits of age, size and free space; ages are those of the files.

    It is a sink that is told nothing: like others it is closed with the run, and with it the thread that looks at ages.

    Args:
        folder: Holds a folder per stream; it exists, maybe with segments of an earlier part of the run.
        keep_seconds: How old a segment may become after its last picture; None: as old as you like.
        keep_bytes: Of all segments together, at most; None: no limit.
        reserve_bytes: Free space of the disk that is left to others.
        free_bytes: Says how much space there is.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keep_seconds: float | None = None,
        keep_bytes: int | None = None,
        reserve_bytes: int = 0,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        self.folder = folder
        self._keep_seconds = keep_seconds
        self._keep_bytes = keep_bytes
        self._reserve_bytes = reserve_bytes
        self._free_bytes = free_bytes
        self._open: set[Path] = set()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._sweeper: threading.Thread | None = None
        if keep_seconds is not None:
            self._sweeper = threading.Thread(target=self._sweep, name="video-shelf", daemon=True)
            self._sweeper.start()

    def begin(self, path: Path) -> None:
        """Says that a segment is written from now on: it stays, whatever the limits."""
        with self._lock:
            self._open.add(path)

    def end(self, path: Path) -> None:
        """Says that a segment is complete."""
        with self._lock:
            self._open.discard(path)

    def has_room(self) -> bool:
        """Whether there is more than the reserve, if need be after the oldest segments have been removed."""
        return self._free_bytes(self.folder) > self._reserve_bytes or self.tidy()

    def tidy(self) -> bool:
        """Removes the oldest segments until all limits hold; False if they cannot: no segment is left to remove.

        Raises:
            OSError: If the folder cannot be read or a segment cannot be removed.
        """
        with self._lock:
            files = sorted((status.st_mtime, status.st_size, path) for path, status in self._stat_all())
            total = sum(size for _, size, _ in files)
            now = time.time()
            short = self._free_bytes(self.folder) <= self._reserve_bytes
            for written, size, path in files:
                too_old = self._keep_seconds is not None and now - written > self._keep_seconds
                too_much = self._keep_bytes is not None and total > self._keep_bytes
                if not (too_old or too_much or short):
                    break
                if path in self._open:
                    continue
                path.unlink(missing_ok=True)
                total -= size
                if short:
                    _logger.warning("%s is removed: the disk is nearly full", path)
                    short = self._free_bytes(self.folder) <= self._reserve_bytes
            return not short

    def write(self, result: FrameResult) -> None:
        """Does nothing: the segments come from the videos of the streams."""

    def close(self) -> None:
        """Ends the thread that looks at ages."""
        self._closing.set()
        if self._sweeper is not None:
            self._sweeper.join()

    def _stat_all(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self.folder.glob("*/*.mp4"):
            try:
                yield path, path.stat()
            except FileNotFoundError:  # somebody else has removed it
                continue

    def _sweep(self) -> None:
        while not self._closing.wait(SWEEP_SECONDS):
            try:
                self.tidy()
            except OSError as error:
                _logger.warning("old segments in %s cannot be removed: %s", self.folder, error.strerror)
