"""Events -> the table of the report: its first rows as they are, all of them packed for the script, and thumbnails."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from vidan.pipeline.events import Event
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks.files import EventLog

ROWS_WITHOUT_SCRIPT = 100
THUMBNAIL_BYTES = 4_000_000  # of all thumbnails in one page; stills beyond are links
THUMBNAIL_SIZE = (240, 135)  # pixels
COLUMNS = ("source", "rule", "event", "class", "direction", "certainty", "details")  # texts of an event's row

_IN_OTHER_COLUMNS = {"direction", "certainty", "segment", "class_share"}
_UNITS = {"dwell": " s", "waited": " s", "speed_kmh": " km/h"}


@dataclass(frozen=True, slots=True)
class Ledger:
    """A table of events.

    Attributes:
        name: Of the table, for the script.
        number: Of all events.
        rows: The first `ROWS_WITHOUT_SCRIPT` as texts: id, time, then one per word of `COLUMNS` and the track.
        packed: All of them: Base64 of gzip of JSON; see `_Packing`.
    """

    name: str
    number: int
    rows: tuple[Mapping[str, str], ...]
    packed: str

    @classmethod
    def of(cls, name: str, events: Iterable[Event], starts_utc: Mapping[str, str | None]) -> Ledger:
        """The table of a log.

        Args:
            name: Of the table.
            events: In the order of the log.
            starts_utc: When each stream began, ISO 8601, or None where nobody knows.
        """
        packing, rows = _Packing(), []
        for event in events:
            packing.add(event)
            if len(rows) < ROWS_WITHOUT_SCRIPT:
                rows.append(_row(event))
        return cls(name, packing.number, tuple(rows), packing.pack(starts_utc))


@dataclass(frozen=True, slots=True)
class Stills:
    """The evidence of a run.

    Attributes:
        place: Folder of the pictures and clips, relative to the page.
        thumbnails: JPEG in Base64 by event id, within `THUMBNAIL_BYTES`.
        stills: Ids of all events with a picture.
        clips: Ids of all events with a clip.
    """

    place: str
    thumbnails: Mapping[str, str]
    stills: frozenset[str]
    clips: frozenset[str]

    def to_json(self) -> str:
        """For the script. Ids are file names, which may be anything: `<` is escaped."""
        record = {
            "place": self.place,
            "thumbnails": self.thumbnails,
            "stills": sorted(self.stills - self.thumbnails.keys()),
            "clips": sorted(self.clips),
        }
        return json.dumps(record, separators=(",", ":")).replace("<", "\\u003c")

    @classmethod
    def of(cls, folder: RunFolder, origin: RunFolder, events: Iterable[Event], widths: Mapping[str, int]) -> Stills:
        """What lies in the folder of evidence.

        Args:
            folder: Of the page.
            origin: Of the run that had the pictures: the same, or that which was counted again.
            events: Those that may have evidence.
            widths: Of the pictures of each stream, in pixels, to which the events' boxes refer.
        """
        evidence = origin.evidence
        names = {path.name for path in evidence.iterdir()} if evidence.is_dir() else set()
        ids = {name.rpartition(".")[0] for name in names}
        kept = [event for event in events if event.id in ids] if ids else []
        if kept and origin != folder:
            kept = _unchanged(kept, origin)
        shown = [event for event in kept if f"{event.id}.jpg" in names]
        doubtful_first = sorted(shown, key=lambda event: event.details.get("certainty", "seen") == "seen")
        thumbnails: dict[str, str] = {}
        left = THUMBNAIL_BYTES
        for event in doubtful_first:
            jpeg = _thumbnail(evidence / f"{event.id}.jpg", event, widths.get(event.stream))
            left -= len(jpeg) * 4 // 3
            if left < 0:
                break
            if jpeg:
                thumbnails[event.id] = base64.b64encode(jpeg).decode()
        clips = (event.id for event in kept if f"{event.id}.mp4" in names)
        place = quote(Path(os.path.relpath(evidence, folder.path)).as_posix())
        return cls(place, thumbnails, frozenset(event.id for event in shown), frozenset(clips))


def _unchanged(events: Sequence[Event], origin: RunFolder) -> list[Event]:
    """The events that the run had just so: the picture of another one shows something else."""
    ids = {event.id for event in events}
    logs = chain(*(EventLog(log, optional=True) for log in (origin.events, origin.near_misses)))
    had = {event.id: event for event in logs if event.id in ids}
    return [event for event in events if had.get(event.id) == event]


def _row(event: Event) -> dict[str, str]:
    return {"id": event.id, "time": f"{event.pts_seconds:.2f}", "track": _text(event.track_id)} | dict(
        zip(COLUMNS, _texts(event), strict=True)
    )


def _texts(event: Event) -> tuple[str, ...]:
    """One per word of `COLUMNS`."""
    details = event.details
    rest = ((key, value) for key, value in details.items() if key not in _IN_OTHER_COLUMNS and value is not None)
    return (
        event.stream,
        event.rule,
        event.kind.value.replace("_", " "),
        event.label or "",
        _text(details.get("direction")),
        _text(details.get("certainty")),
        ", ".join(f"{key.replace('_', ' ')} {_number(value)}{_UNITS.get(key, '')}" for key, value in rest),
    )


class _Packing:
    """Columns instead of rows, each text once, times as differences: 100 000 events take 2 to 3 MB.

    The JSON holds ``texts`` (per word of `COLUMNS` the different texts and for each event its place among them),
    ``milliseconds`` (each minus the one before), ``tracks`` (0: none), ``ids`` (16 hex digits each, joined), and
    ``starts`` (milliseconds since 1970 per text of the first column, or null).
    """

    def __init__(self) -> None:
        self.number = 0
        self._texts = [_Dictionary() for _ in COLUMNS]
        self._milliseconds, self._tracks = array("q"), array("q")
        self._ids = io.StringIO()
        self._last = 0

    def add(self, event: Event) -> None:
        self.number += 1
        for dictionary, text in zip(self._texts, _texts(event), strict=True):
            dictionary.add(text)
        now = round(event.pts_seconds * 1000)
        self._milliseconds.append(now - self._last)
        self._last = now
        self._tracks.append(event.track_id or 0)
        self._ids.write(event.id)

    def pack(self, starts_utc: Mapping[str, str | None]) -> str:
        record = {
            "texts": [{"words": list(each.places), "rows": each.rows.tolist()} for each in self._texts],
            "milliseconds": self._milliseconds.tolist(),
            "tracks": self._tracks.tolist(),
            "ids": self._ids.getvalue(),
            "starts": [starts_utc.get(stream) for stream in self._texts[0].places],
        }
        data = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
        return base64.b64encode(gzip.compress(data, mtime=0)).decode()


class _Dictionary:
    """A column of texts: the different ones, and for each row the place of its own."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}
        self.rows = array("i")

    def add(self, text: str) -> None:
        self.rows.append(self.places.setdefault(text, len(self.places)))


def _thumbnail(path: Path, event: Event, stream_width: int | None) -> bytes:
    """The part of a still around the event, as JPEG; empty if the file is no picture."""
    try:
        with Image.open(path) as still:
            still.draft("RGB", (THUMBNAIL_SIZE[0] * 4, THUMBNAIL_SIZE[1] * 4))
            region = _region(event, still.width / stream_width if stream_width else 1.0, still.width, still.height)
            small = still.convert("RGB").crop(region)
    except OSError:
        return b""
    small.thumbnail(THUMBNAIL_SIZE)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=70, optimize=True)
    return out.getvalue()


def _region(event: Event, scale: float, width: int, height: int) -> tuple[int, int, int, int]:
    """The part of a still to show: the object with three times its size around it, within the picture."""
    if event.box is None:
        return 0, 0, width, height
    left, top, right, bottom = (side * scale for side in event.box)
    aspect = THUMBNAIL_SIZE[0] / THUMBNAIL_SIZE[1]
    tall = min(height, max(2.2 * (bottom - top), 2.2 * (right - left) / aspect, height / 4))
    wide = min(width, tall * aspect)
    x = min(max(0.0, (left + right - wide) / 2), width - wide)
    y = min(max(0.0, (top + bottom - tall) / 2), height - tall)
    return round(x), round(y), round(x + wide), round(y + tall)


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return "–".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _text(value: object) -> str:
    return "" if value is None else str(value)
