"""From folders, patterns, lists and tables to recordings: which file is of which camera, and when it began."""

from __future__ import annotations

import csv
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from vidan.pipeline.batch.names import NamePattern
from vidan.pipeline.errors import SourceError
from vidan.pipeline.sources.paths import expand, natural_key

VIDEO_ENDINGS = frozenset(
    [
        *(".3gp", ".asf", ".avi", ".flv", ".h264", ".h265", ".hevc", ".m2ts", ".m4v", ".mjpeg", ".mkv", ".mov"),
        *(".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
    ]
)
_LIST_ENDINGS = {".txt", ".lst"}
_COLUMNS = {"path", "camera", "start"}


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording.

    Attributes:
        path: Of the file.
        camera: Whose it is; None: nobody says.
        start: When it began (UTC) by its name or by a table; None: they do not say.
    """

    path: Path
    camera: str | None = None
    start: datetime | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A recording that nothing is done with, and why."""

    path: Path
    reason: str


def find_clips(named: Sequence[str], *, pattern: NamePattern | None = None, zone: tzinfo | None = None) -> list[Clip]:
    """The recordings under these names, each once: in the order in which they are named, in folders by their names.

    Args:
        named: Files, folders (searched in depth for files with the ending of a video), patterns such as ``*.mp4``,
            lists (.txt: a name per line) and tables (.csv: path, camera, start).
        pattern: Reads camera and start from names; what a table says goes before.
        zone: Of times in tables that tell none.

    Raises:
        SourceError: If a name does not exist, or a list or table cannot be read.
    """
    found: dict[Path, Clip] = {}
    for name in named:
        for clip in _clips_of(name, zone):
            path = Path(os.path.abspath(clip.path))
            told = pattern and pattern.read(path.as_posix())
            if told is not None:
                clip = Clip(path, clip.camera or told.camera, clip.start or told.start)
            found.setdefault(path, Clip(path, clip.camera, clip.start))
    return list(found.values())


def assign(clips: Iterable[Clip], cameras: Collection[str]) -> tuple[dict[str, list[Clip]], list[LeftOut]]:
    """The clips of each camera, and those that belong to none.

    A clip that nobody names the camera of is of the only one there is, or of the one whose name a folder above it has.

    Args:
        clips: In the order of the files.
        cameras: Names that the config knows; with a single one, every camera is taken.
    """
    of_camera: dict[str, list[Clip]] = {}
    left_out: list[LeftOut] = []
    known = {name.casefold(): name for name in cameras}
    for clip in clips:
        if clip.camera is not None:
            name = known.get(clip.camera.casefold()) or (clip.camera if len(cameras) == 1 else None)
            reason = f"the config has no stream of the camera {clip.camera}; it has {', '.join(cameras)}"
        else:
            above = [known[part.casefold()] for part in clip.path.parts[:-1] if part.casefold() in known]
            name = above[-1] if above else next(iter(cameras)) if len(cameras) == 1 else None
            reason = "neither its name nor a folder tells its camera: use --names, or a table"
        if name is None:
            left_out.append(LeftOut(clip.path, reason))
        else:
            of_camera.setdefault(name, []).append(clip)
    return of_camera, left_out


def _clips_of(name: str, zone: tzinfo | None) -> Iterable[Clip]:
    path = Path(name)
    if path.suffix.lower() == ".csv" and path.is_file():
        return _read_table(path, zone)
    if path.suffix.lower() in _LIST_ENDINGS and path.is_file():
        lines = [line.strip() for line in _text_of(path).splitlines()]
        names = [line for line in lines if line and not line.startswith("#")]
        return [clip for line in names for clip in _clips_of(os.path.join(path.parent, line), zone)]
    clips: list[Clip] = []
    for match in expand(name):
        if match.is_dir():
            inside = [file for file in match.rglob("*") if file.suffix.lower() in VIDEO_ENDINGS and file.is_file()]
            if not inside and match == path:
                raise SourceError(f"{match} holds no video: no file in it ends in {', '.join(sorted(VIDEO_ENDINGS))}")
            clips += map(Clip, sorted(inside, key=natural_key))
        else:
            clips.append(Clip(match))
    return clips


def _read_table(path: Path, zone: tzinfo | None) -> list[Clip]:
    """The clips of a CSV; paths are as seen from its folder.

    Raises:
        SourceError: If it lacks the column `path`, or says something that cannot be; with the line.
    """
    rows = csv.DictReader(_text_of(path).splitlines())
    columns = set(rows.fieldnames or ())
    unknown = columns - _COLUMNS
    if "path" not in columns or unknown:
        wrong = "has no column `path`" if "path" not in columns else f"has unknown columns {', '.join(sorted(unknown))}"
        raise SourceError(f"{path}:1: {wrong}; a table of footage has path and, if known, camera and start")
    clips: list[Clip] = []
    for row in rows:
        place = f"{path}:{rows.line_num}"
        file = Path(os.path.join(path.parent, (row["path"] or "").strip()))
        if not file.is_file():
            raise SourceError(f"{place}: there is no file {file}")
        clips.append(Clip(file, (row.get("camera") or "").strip() or None, _start(row.get("start"), zone, place)))
    return clips


def _start(text: str | None, zone: tzinfo | None, place: str) -> datetime | None:
    if not (text or "").strip():
        return None
    try:
        moment = datetime.fromisoformat((text or "").strip())
    except ValueError as error:
        raise SourceError(f"{place}: start {text!r} is no time such as 2026-05-01T08:00:00Z") from error
    if moment.tzinfo is None and zone is None:
        raise SourceError(f"{place}: start {text!r} says no time zone: add Z or an offset, or use --timezone")
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
