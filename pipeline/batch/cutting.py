"""How recordings are cut into parts that are detected beside each other, and joined again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidan.pipeline.batch.detecting import ANALYSED, Piece
from vidan.pipeline.batch.files import seal, write_json
from vidan.pipeline.batch.timeline import Probed
from vidan.pipeline.errors import SinkError
from vidan.pipeline.sources.clock import StreamClock
from vidan.pipeline.sources.packet_index import PacketIndex, index_packets
from vidan.pipeline.sources.thinning import Thinning

CUTS = "cuts.json"


@dataclass(frozen=True, slots=True)
class Cut:
    """How a file is cut into parts.

    Attributes:
        pieces: The parts, each a job of its own; None: the file is one job.
        part_pictures: Pictures in a part, about; in a file that is one job, exactly.
        note: Why it was not cut.
    """

    pieces: tuple[Piece, ...] | None
    part_pictures: int
    note: str | None = None


def read_cut(folder: Path) -> Cut | None:
    """How an earlier batch has begun to cut a file; None where it has not."""
    try:
        record = json.loads((folder / CUTS).read_text(encoding="utf-8"))
        pieces = record["pieces"]
        return Cut(
            None if pieces is None else tuple(Piece(**piece) for piece in pieces),
            record["part_pictures"],
            record["note"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def decide_cut(file: Probed, folder: Path, part_seconds: float, *, stride: int, max_fps: float | None) -> Cut:
    """How a file is cut, as an earlier batch has begun to do it, or anew; it is written down before anything is done.

    Args:
        file: What its header tells.
        folder: Of its detections; it is made.
        part_seconds: Length of the parts, about.
        stride: Every so many pictures are detected.
        max_fps: So many a second, at most; None: all.

    Raises:
        SourceError: If the file cannot be opened.
        SinkError: If it cannot be written down.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"cannot make the folder {folder}: {error.strerror}") from error
    if (begun := read_cut(folder)) is not None:
        return begun
    part_pictures = max(1, round(part_seconds * file.fps))
    index = None
    if (file.seconds or 2 * part_seconds) > 1.5 * part_seconds:
        index = index_packets(file.clip.path)
    cuts = [] if index is None else index.cuts(part_seconds)
    if index is None or not cuts:
        return write_cut(folder, Cut(None, part_pictures))
    _write_analysed(folder, index, stride, max_fps)
    starts = [None, *cuts]
    pieces = tuple(
        Piece(
            number,
            start,
            stop,
            None if start is None else index.key_before(start),
            0 if start is None else int(np.searchsorted(index.pts, start)),
        )
        for number, (start, stop) in enumerate(zip(starts, [*cuts, None], strict=True))
    )
    return write_cut(folder, Cut(pieces, part_pictures))


def write_cut(folder: Path, cut: Cut) -> Cut:
    """Writes down how a file is cut."""
    pieces = None if cut.pieces is None else [
        {"number": piece.number, "start": piece.start, "stop": piece.stop, "seek": piece.seek, "first": piece.first}
        for piece in cut.pieces
    ]  # fmt: skip
    write_json(folder / CUTS, {"pieces": pieces, "part_pictures": cut.part_pictures, "note": cut.note})
    return cut


def uncut(folder: Path, cut: Cut, note: str) -> Cut:
    """A file that could not be cut becomes one job: what its parts hold is thrown away."""
    for path in folder.glob("*.parquet"):
        path.unlink(missing_ok=True)
    return write_cut(folder, Cut(None, cut.part_pictures, note))


def seal_cut(folder: Path, path: Path, cut: Cut) -> str | None:
    """Joins the parts of a file that was cut; the reason why they do not fit, if so.

    Args:
        folder: Of its detections.
        path: Of the file.
        cut: How it was cut.

    Raises:
        SourceError: If a part or the file cannot be read.
    """
    assert cut.pieces is not None
    index = index_packets(path)
    if index is None:
        return "its packets are other ones than before"
    return seal(folder, path, index, len(cut.pieces))


def _write_analysed(folder: Path, index: PacketIndex, stride: int, max_fps: float | None) -> None:
    """Which pictures stride and max_fps leave, where they do not leave all: a part alone cannot tell."""
    if stride == 1 and max_fps is None:
        return
    clock, thinning = StreamClock(), Thinning(stride, max_fps)
    clock.begin(index.time_base, index.frame_seconds)
    times = index.pts.tolist()
    kept = [
        thinning.keeps(number, clock.advance(pts, following))
        for number, (pts, following) in enumerate(zip(times, [*times[1:], None], strict=True))
    ]
    try:
        np.save(folder / ANALYSED, np.array(kept, np.bool_))
    except OSError as error:
        raise SinkError(f"cannot write {folder / ANALYSED}: {error.strerror}") from error
