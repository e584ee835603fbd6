"""Hashes of recordings, which are large: each is read for it once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from vidan.detector import file_sha256
from vidan.pipeline.batch.files import write_json
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

    def known(self, path: Path) -> str | None:
        """The hash of a file that has not changed since; None where it is not known."""
        found = self._known.get(str(path))
        try:
            return found[2] if found is not None and found[:2] == _stat(path) else None
        except OSError:
            return None

    def of(self, path: Path) -> str:
        """The hash of a file, read if need be.

        Raises:
            SourceError: If it cannot be read.
        """
        known = self.known(path)
        if known is not None:
            return known
        try:
            before = _stat(path)
            sha256 = file_sha256(path)
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror}") from error
        self._known[str(path)] = [*before, sha256]
        return sha256

    def save(self) -> None:
        write_json(self._path, dict(self._known))


def _stat(path: Path) -> list[int]:
    facts = os.stat(path)
    return [facts.st_size, facts.st_mtime_ns]
