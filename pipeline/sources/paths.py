"""From what a config names (files, globs, folders) to the files that are read, in the order people expect."""

from __future__ import annotations

import difflib
import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path

from vidan.pipeline.errors import SourceError
from vidan.pipeline.masking import mask_url_password


def natural_key(path: Path) -> tuple[tuple[int, str], ...]:
    """Sorts `cam2` before `cam10`: runs of digits compare as numbers."""
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", str(path)))


def expand(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """The files and folders that exist under these names; a glob gives its matches in natural order.

    Raises:
        SourceError: If a name does not exist or a glob matches nothing.
    """
    named = [paths] if isinstance(paths, str | Path) else list(paths)
    if urls := [str(name) for name in named if "://" in str(name)]:
        url = mask_url_password(urls[0])
        raise SourceError(f"{url} is a URL: only files can be read here; `vidan batch CONFIG URL` reads URLs")
    found = [match for name in named for match in _matches(Path(name))]
    if not found:
        raise SourceError("no file is named: give at least one path")
    return found


def _matches(name: Path) -> list[Path]:
    if os.path.exists(
        name
    ):  # unlike Path.exists, no error in a forbidden folder; first, for names that hold [ or ? themselves
        return [name]
    if not glob.has_magic(str(name)):
        raise SourceError(f"{name} does not exist{_near_miss(name)}")
    matches = sorted((Path(match) for match in glob.glob(str(name), recursive=True)), key=natural_key)
    if not matches:
        raise SourceError(f"no file matches {name}")
    return matches


def _near_miss(missing: Path) -> str:
    """`; did you mean clip.mp4?`, from what lies beside the first part of the path that does not exist."""
    while not missing.parent.is_dir():
        missing = missing.parent
    try:
        neighbours = {entry.name.lower(): entry for entry in missing.parent.iterdir()}
    except PermissionError:
        return ""
    close = difflib.get_close_matches(missing.name.lower(), neighbours, n=1)
    return f"; did you mean {neighbours[close[0]]}?" if close else ""
