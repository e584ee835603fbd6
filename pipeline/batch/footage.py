"""From folders, patterns, lists and tables to recordings: which file is of which camera, and when it began."""

from __future__ import annotations

import csv
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path, PurePath

from vidan.pipeline.batch.names import NamePattern
from vidan.pipeline.batch.remote import Remote, find_remote, is_url
from vidan.pipeline.batch.remote_errors import shown_url
from vidan.pipeline.errors import SourceError
from vidan.pipeline.sources.paths import expand, natural_key
from vidan.pipeline.sources.recording import Recording

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
        path: Of the file, or of its copy.
        camera: Whose it is; None: nobody says.
        start: When it began (UTC) by its name or by a table; None: they do not say.
        remote: Where it lies, if not here.
    """

    path: Path
    camera: str | None = None
    start: datetime | None = None
    remote: Remote | None = None

    @property
    def place(self) -> PurePath:
        """The path that tells of it, here or there."""
        return self.path if self.remote is None else self.remote.place

    @property
    def shown(self) -> str:
        """Its path or URL for people."""
        return str(self.path) if self.remote is None else self.remote.shown

    def open(self) -> Recording:
        """The recording, from its copy, or from where it lies.

        Raises:
            SourceError: If it cannot be opened as a video.
        """
        if self.remote is None or self.path.exists():
            return Recording(self.path)
        return Recording(self.path, self.remote.open())


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A recording that nothing is done with, and why."""

    shown: str
    reason: str


def find_clips(
    named: Sequence[str], *, downloads: Path, pattern: NamePattern | None = None, zone: tzinfo | None = None
) -> list[Clip]:
    """The recordings under these names, each once: in the order in which they are named, in folders by their names.

    Args:
        named: Files, folders (searched in depth for files with the ending of a video), patterns such as ``*.mp4``,
            lists (.txt: a name per line), tables (.csv: path, camera, start), and URLs of files, folders and patterns.
        downloads: Where copies of remote recordings will lie.
        pattern: Reads camera and start from names; what a table says goes before.
        zone: Of times in tables that tell none.

    Raises:
        SourceError: If a name does not exist, or a list or table cannot be read.
    """
    found: dict[Path, Clip] = {}
    for name in named:
        for clip in _clips_of(name, zone, downloads):
            clip = replace(clip, path=Path(os.path.abspath(clip.path)))
            told = pattern and pattern.read(clip.place.as_posix())
            if told is not None:
                clip = replace(clip, camera=clip.camera or told.camera, start=clip.start or told.start)
            found.setdefault(clip.path, clip)
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
            above = [known[part.casefold()] for part in clip.place.parts[:-1] if part.casefold() in known]
            name = above[-1] if above else next(iter(cameras)) if len(cameras) == 1 else None
            reason = "neither its name nor a folder tells its camera: use --names, or a table"
        if name is None:
            left_out.append(LeftOut(clip.shown, reason))
        else:
            of_camera.setdefault(name, []).append(clip)
    return of_camera, left_out


def _clips_of(name: str, zone: tzinfo | None, downloads: Path) -> Iterable[Clip]:
    if is_url(name):
        found = sorted(find_remote(name, VIDEO_ENDINGS), key=lambda remote: natural_key(Path(remote.place)))
        return [Clip(downloads / remote.key / remote.place.name, remote=remote) for remote in found]
    path = Path(name)
    if path.suffix.lower() == ".csv" and path.is_file():
        return _read_table(path, zone, downloads)
    if path.suffix.lower() in _LIST_ENDINGS and path.is_file():
        lines = [line.strip() for line in _text_of(path).splitlines()]
        names = [line for line in lines if line and not line.startswith("#")]
        return [clip for line in names for clip in _clips_of(_seen_from(path, line), zone, downloads)]
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


def _seen_from(path: Path, name: str) -> str:
    """A name in a list or table, as seen from its folder."""
    return name if is_url(name) else os.path.join(path.parent, name)


def _read_table(path: Path, zone: tzinfo | None, downloads: Path) -> list[Clip]:
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
        name = _seen_from(path, (row["path"] or "").strip())
        camera, start = (row.get("camera") or "").strip() or None, _start(row.get("start"), zone, place)
        if is_url(name):
            found = list(_clips_of(name, zone, downloads))
            if start is not None and len(found) > 1:
                raise SourceError(
                    f"{place}: {shown_url(name)} names {len(found)} recordings, which cannot all begin at one time"
                )
            clips += [replace(clip, camera=camera, start=start) for clip in found]
            continue
        if not Path(name).is_file():
            raise SourceError(f"{place}: there is no file {name}")
        clips.append(Clip(Path(name), camera, start))
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
