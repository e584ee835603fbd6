"""Copies of remote recordings: each comes once, goes on where it broke off, and leaves when all in it is detected."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable, Collection
from contextlib import closing, suppress
from pathlib import Path

from vidan.pipeline.batch.remote import Remote
from vidan.pipeline.errors import SourceError, cannot_write

CHUNK = 8 << 20
WAIT_SECONDS = 0.5

_logger = logging.getLogger(__name__)


class Downloads:
    """The copies on the disk, which together stay below a limit.

    Args:
        folder: Where they lie.
        limit: Of their bytes; a recording that is larger comes alone.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._held: dict[Path, int] = {}
        self._room = threading.Condition()

    def sweep(self, wanted: Collection[Path]) -> None:
        """Removes what an earlier batch has left and nobody wants any more."""
        keep = {path.parent for path in wanted}
        for folder in self._folder.glob("*"):
            if folder not in keep:
                shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Removes the folder, if nothing is left in it."""
        with suppress(OSError):
            self._folder.rmdir()

    def fetch(self, remote: Remote, path: Path, stopped: Callable[[], bool]) -> bool:
        """Copies a recording, as soon as there is room; False if it was stopped.

        Raises:
            SourceError: If it does not come.
            SinkError: If it cannot be written.
        """
        if not self._take(path, remote.size, stopped):
            return False
        try:
            return path.exists() or _copy(remote, path, stopped)
        except BaseException:
            self.release(path)
            raise

    def release(self, path: Path) -> None:
        """Removes the copy of a recording, if there is one."""
        with self._room:
            if self._held.pop(path, None) is None:
                return
            path.unlink(missing_ok=True)
            with suppress(OSError):  # what came of a copy that broke off stays there
                path.parent.rmdir()
            self._room.notify_all()

    def _take(self, path: Path, size: int, stopped: Callable[[], bool]) -> bool:
        with self._room:
            while self._held and sum(self._held.values()) + size > self._limit:
                if stopped():
                    return False
                self._room.wait(WAIT_SECONDS)
            self._held[path] = size
            return True


def _copy(remote: Remote, path: Path, stopped: Callable[[], bool]) -> bool:
    """Copies what lacks; the file gets its name when all is there."""
    part = path.with_name(f"{path.name}.part")
    _logger.info("copying %s (%.1f MB)", remote.shown, remote.size / 1e6)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as target, closing(remote.open(cache="none")) as source:
            source.seek(target.tell())
            while target.tell() < remote.size:
                if stopped():
                    return False
                block = source.read(CHUNK)
                if not block:
                    raise SourceError(f"{remote.shown} ended after {target.tell()} of {remote.size} bytes")
                target.write(block)
            target.flush()
            os.fsync(target.fileno())
        remote.check_unchanged()
        part.replace(path)
    except OSError as error:
        raise cannot_write("a copy of a recording", path, error) from error
    return True
