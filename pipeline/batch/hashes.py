"""Hashes of recordings, which are large: each is read for it once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from vidan.detector import file_sha256
from vidan.pipeline.batch.files import write_json
from vidan.pipeline.batch.footage import Clip
from vidan.pipeline.errors import SourceError


class Hashes:
    """SHA-256 of files, remembered with their size and time of change, so that no file is read for it twice."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, list[Any]] = {}
        if path.exists():
            try:
                self._known = dict(json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError):
                self._known = {}  # they are read again

    def known(self, clip: Clip) -> str | None:
        """The hash of a recording that has not changed since; None where it is not known."""
        found = self._known.get(str(clip.path))
        try:
            return found[2] if found is not None and found[:2] == _state(clip) else None
        except OSError:
            return None

    def of(self, clip: Clip) -> str:
        """The hash of a recording, read if need be; a remote one must have been copied.

        Raises:
            SourceError: If it cannot be read.
        """
        known = self.known(clip)
        if known is not None:
            return known
        try:
            before = _state(clip)
            sha256 = file_sha256(clip.path)
        except OSError as error:
            raise SourceError(f"{clip.path} cannot be read: {error.strerror}") from error
        self._known[str(clip.path)] = [*before, sha256]
        return sha256

    def save(self) -> None:
        write_json(self._path, dict(self._known))


def _state(clip: Clip) -> list[Any]:
    """What differs when the content does."""
    if clip.remote is not None:
        return [clip.remote.size, clip.remote.version]
    facts = os.stat(clip.path)
    return [facts.st_size, facts.st_mtime_ns]
