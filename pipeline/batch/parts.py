"""What was detected in a part of a file, in Parquet: one row per picture, written whole or not at all.

    pts, duration  int64           of the picture in ticks of its file, null where unknown
    after_loss     bool            something between it and the picture before could not be decoded
    height, width  int32           of the upright picture as it is in the file
    analysed       bool            false for pictures that stride or max_fps skip
    dark, repeated bool            what the watch for frozen and dark pictures thinks of it
    xyxy           list<float32>   boxes, four numbers each, in pixels of the file's first picture
    confidence     list<float32>
    class_id       list<int16>

The key "vidan" of the metadata holds what else is known of the part (`PartFacts`), as JSON.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vidan.detector import Detections
from vidan.pipeline.errors import SourceError, cannot_write
from vidan.pipeline.picture_watch import Look

_SCHEMA = pa.schema(
    [
        pa.field("pts", pa.int64()),
        pa.field("duration", pa.int64()),
        pa.field("after_loss", pa.bool_(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("analysed", pa.bool_(), nullable=False),
        pa.field("dark", pa.bool_(), nullable=False),
        pa.field("repeated", pa.bool_(), nullable=False),
        pa.field("sharpness", pa.float64()),
        pa.field("xyxy", pa.list_(pa.float32()), nullable=False),
        pa.field("confidence", pa.list_(pa.float32()), nullable=False),
        pa.field("class_id", pa.list_(pa.int16()), nullable=False),
    ]
)
_NO_LOOK = Look(False, False)


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One picture of a file.

    Attributes:
        pts: Presentation time in ticks, None where missing.
        duration: In ticks, None where unknown.
        after_loss: See `vidan.pipeline.sources.recording.Picture`.
        size: (height, width) of the upright picture as it is in the file.
        look: What the watch thinks of it.
        found: What was detected; None for pictures that nobody analysed.
    """

    pts: int | None
    duration: int | None
    after_loss: bool
    size: tuple[int, int]
    look: Look = _NO_LOOK
    found: Detections | None = None


@dataclass(frozen=True, slots=True)
class PartFacts:
    """What is known of a part besides its pictures.

    Attributes:
        detector: What detected, as it describes itself.
        seconds: How long it took, with decoding, by the clock.
        lead_crc: Checksum of the last picture before the part, where it was decoded on the way; None: it was not.
        last_crc: Checksum of its last picture.
    """

    detector: dict[str, Any]
    seconds: float
    lead_crc: int | None = None
    last_crc: int | None = None


def part_path(folder: Path, number: int) -> Path:
    """The file of a part of which there may be many."""
    return folder / f"{number:05d}.parquet"


def write_part(path: Path, rows: Sequence[Row], facts: PartFacts) -> None:
    """Writes a part; whoever finds the file finds all of it.

    Raises:
        SinkError: If it cannot be written.
    """
    columns = {
        "pts": [row.pts for row in rows],
        "duration": [row.duration for row in rows],
        "after_loss": [row.after_loss for row in rows],
        "height": [row.size[0] for row in rows],
        "width": [row.size[1] for row in rows],
        "analysed": [row.found is not None for row in rows],
        "dark": [row.look.is_dark for row in rows],
        "repeated": [row.look.is_repeated for row in rows],
        "sharpness": [row.look.sharpness for row in rows],
        "xyxy": [[] if row.found is None else row.found.xyxy.ravel() for row in rows],
        "confidence": [[] if row.found is None else row.found.confidence for row in rows],
        "class_id": [[] if row.found is None else row.found.class_id.astype(np.int16) for row in rows],
    }
    schema = _SCHEMA.with_metadata({"vidan": json.dumps(asdict(facts), ensure_ascii=False)})
    table = pa.table({name: pa.array(columns[name], schema.field(name).type) for name in schema.names}, schema=schema)
    draft = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with draft.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise cannot_write("detections", path, error) from error


def read_facts(path: Path) -> PartFacts:
    """The facts of a part.

    Raises:
        SourceError: If it cannot be read.
    """
    try:
        return PartFacts(**json.loads(pq.read_schema(path).metadata[b"vidan"]))
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error


def read_times(path: Path) -> pa.Table:
    """The columns pts, height and width of a part.

    Raises:
        SourceError: If it cannot be read.
    """
    try:
        return pq.read_table(path, columns=["pts", "height", "width"])
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error


def read_rows(path: Path) -> Iterator[Row]:
    """The pictures of a part, in their order.

    Raises:
        SourceError: If it cannot be read.
    """
    try:
        table = pq.read_table(path).combine_chunks()
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error
    if not len(table):
        return
    plain = {name: table[name].to_pylist() for name in _SCHEMA.names[:9]}
    lists = {name: table[name].chunk(0) for name in _SCHEMA.names[9:]}
    ends = {name: lists[name].offsets.to_numpy() for name in lists}
    values = {name: lists[name].values.to_numpy() for name in lists}

    def cell(name: str, i: int) -> np.ndarray:
        return values[name][ends[name][i] : ends[name][i + 1]]

    for i in range(len(table)):
        found = None
        if plain["analysed"][i]:
            boxes = cell("xyxy", i).reshape(-1, 4)
            found = Detections(boxes, cell("confidence", i), cell("class_id", i).astype(np.int64))
        yield Row(
            plain["pts"][i],
            plain["duration"][i],
            plain["after_loss"][i],
            (plain["height"][i], plain["width"][i]),
            Look(plain["dark"][i], plain["repeated"][i], plain["sharpness"][i]),
            found,
        )


def _damaged(path: Path, error: Exception) -> SourceError:
    return SourceError(f"{path} is damaged: {error}; remove it, and what it held is detected again")
