"""TrackStore keeps what the rules saw, frame by frame, in Parquet; `read_tracks` gives it back to be counted again.

One row per track and frame, in the order in which the rules saw them, and behind the tracks of a frame the tracklets
that were never confirmed. A frame without either has one row whose `track` is null, so that "nobody there" and "not
looked at" stay different. Columns:

    source       string      name of the stream
    frame        int64       number of the picture in decoding order
    time         float64     seconds from the stream's first frame
    utc          timestamp   wall-clock time (us, UTC), null where unknown
    height width int32       of the picture, in pixels
    ended        list<int64> tracks given up at this frame, and unconfirmed ones that were seen in it for the last time;
                             in the first row of a frame, null in its other rows
    track        int64       track id, null in a frame without tracks (then all below are null too)
    class        string      name of the class that the track's vote gives
    class_id     int16       its index in `class_names`
    class_share  float32     0..1, share of the vote
    confidence   float32     0..1, of the detection
    confirmed    bool        false for tracklets that died before they were confirmed: nothing counts them
    observed     bool        false where the box was put between two sightings
    x1 y1 x2 y2        float32  the tracker's own box, pixels of the source
    sx1 sy1 sx2 sy2    float32  the smoothed box, on which the rules count

The key "vidan" of the file's metadata holds JSON: version, semantics, class_names.

A Parquet file cannot be read before its footer is written. So rows go to an Arrow stream beside it first, which is
readable up to the last complete batch after a crash, and become Parquet when the run closes: one file, or a folder of
files by stream and day (`track_partitions`).
"""

from __future__ import annotations

import heapq
import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vidan.detector import file_sha256
from vidan.pipeline.errors import SinkError, SourceError, cannot_write
from vidan.pipeline.frame import CountedFrame, FrameResult, Stamp
from vidan.pipeline.manifest import SEMANTICS_VERSION, hash_text, vidan_version
from vidan.pipeline.sinks.track_partitions import partition_files, read_partitions, write_partitions
from vidan.trackers import Tracks

BATCH_ROWS = 4096
BATCH_SECONDS = 10.0  # of stream time; a killed process loses at most this much, or `BATCH_ROWS` rows
ROW_GROUP_ROWS = 131_072

_PARTIAL_SUFFIX = ".partial"
_BOX, _SMOOTHED = ["x1", "y1", "x2", "y2"], ["sx1", "sy1", "sx2", "sy2"]
_TRACK_COLUMNS = [
    pa.field("track", pa.int64()),
    pa.field("class", pa.string()),
    pa.field("class_id", pa.int16()),
    pa.field("class_share", pa.float32()),
    pa.field("confidence", pa.float32()),
    pa.field("confirmed", pa.bool_()),
    pa.field("observed", pa.bool_()),
    *(pa.field(name, pa.float32()) for name in _BOX + _SMOOTHED),
]
_FRAME_COLUMNS = [
    pa.field("source", pa.string(), nullable=False),
    pa.field("frame", pa.int64(), nullable=False),
    pa.field("time", pa.float64(), nullable=False),
    pa.field("utc", pa.timestamp("us", tz="UTC")),
    pa.field("height", pa.int32(), nullable=False),
    pa.field("width", pa.int32(), nullable=False),
    pa.field("ended", pa.list_(pa.int64())),
]
_FLOATS = [field.name for field in _FRAME_COLUMNS + _TRACK_COLUMNS if pa.types.is_floating(field.type)]
_REPEATED = ["source", "class", "class_id", "height", "width"]
_OPTIONS: dict[str, Any] = {"compression": "zstd", "use_dictionary": _REPEATED, "use_byte_stream_split": _FLOATS}

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class StoredFrame:
    """A counted frame and the size of its picture, as the store keeps them.

    Attributes:
        counted: What the rules saw.
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.
    """

    counted: CountedFrame
    height: int
    width: int


class TrackStore:
    """Writes the counted frames of all streams of a run into one Parquet file, or into files by stream and day.

    Args:
        path: File to write; until `close` its rows stand in ``<path>.partial``.
        class_names: Of the detector.
        partitions: Folder to make instead of the one file.

    Raises:
        SinkError: If the file cannot be created.
    """

    def __init__(self, path: Path, class_names: Sequence[str], *, partitions: Path | None = None) -> None:
        self.path = path
        self._partitions = partitions
        self._class_names = pa.array(class_names, pa.string())
        facts = {"version": vidan_version(), "semantics": SEMANTICS_VERSION, "class_names": list(class_names)}
        self._schema = pa.schema(
            _FRAME_COLUMNS + _TRACK_COLUMNS, {"vidan": json.dumps(facts, ensure_ascii=False).encode()}
        )
        self._pending: list[StoredFrame] = []
        self._pending_rows = 0
        self._failure: SinkError | None = None
        self._closed = False
        try:
            self._file = _partial(path).open("wb", buffering=0)
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            self._stream = pa.ipc.new_stream(self._file, self._schema, options=options)
            self._stream.write_batch(pa.RecordBatch.from_pylist([], self._schema))  # brings the schema to the file now
        except OSError as error:
            raise cannot_write("the track file", path, error) from error

    def write(self, result: FrameResult) -> None:
        """Keeps the counted frames of a result.

        Raises:
            SinkError: If a batch cannot be written; from then on always, for a store with a hole counts wrong.
            ValueError: If the store is closed.
        """
        if self._closed:
            raise ValueError(f"{self.path}: write after close")
        if self._failure is not None:
            raise self._failure
        for counted in result.counted:
            self._pending.append(StoredFrame(_joined(counted), result.frame.height, result.frame.width))
            self._pending_rows += max(1, len(self._pending[-1].counted.tracks))
            first, stamp = self._pending[0].counted.stamp, counted.stamp
            waited = stamp.pts_seconds - first.pts_seconds if stamp.stream == first.stream else 0.0
            if self._pending_rows >= BATCH_ROWS or waited >= BATCH_SECONDS:
                self._write_batch()

    def close(self) -> None:
        """Turns what was written into the Parquet file; a second call does nothing.

        Raises:
            SinkError: If it cannot be written; the partial file stays and `read_tracks` reads it.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._failure is None:
                if self._pending:
                    self._write_batch()
                self._stream.close()
                self._convert()
        except OSError as error:
            raise cannot_write("the track file", self.path, error) from error
        finally:
            self._file.close()

    def _write_batch(self) -> None:
        try:
            self._stream.write_batch(_to_batch(self._pending, self._schema, self._class_names))
        except OSError as error:
            self._failure = cannot_write("the track file", self.path, error)
            raise self._failure from error
        self._pending, self._pending_rows = [], 0

    def _convert(self) -> None:
        target = self._partitions or self.path
        draft = target.with_name(target.name + ".tmp")
        try:
            if self._partitions is None:
                self._write_parquet(draft)
            else:
                write_partitions(_batches(_partial(self.path)), draft, self._schema, _OPTIONS)
        except OSError:
            with suppress(OSError):  # gives the space back: the manifest is still to be written
                shutil.rmtree(draft) if draft.is_dir() else draft.unlink(missing_ok=True)
            raise
        draft.replace(target)
        _partial(self.path).unlink()

    def _write_parquet(self, path: Path) -> None:
        with pq.ParquetWriter(path, self._schema, **_OPTIONS) as writer:
            group: list[pa.RecordBatch] = []
            for batch in _batches(_partial(self.path)):
                group.append(batch)
                if sum(len(batch) for batch in group) >= ROW_GROUP_ROWS:
                    _write_row_group(writer, group)
                    group = []
            if group:
                _write_row_group(writer, group)


@dataclass(frozen=True, slots=True)
class StoredTracks:
    """What `read_tracks` opened: whose classes, counted by which rules of counting, and the frames themselves.

    Attributes:
        path: The file that is read, complete or partial, or the folder of them.
        class_names: Of the detector that saw them.
        semantics: Version of the counting semantics of the run.
        version: Version of vidan that wrote the file.
    """

    path: Path
    class_names: tuple[str, ...]
    semantics: str
    version: str

    @property
    def is_complete(self) -> bool:
        """False where a crash has left only a part of them."""
        return self.path.suffix != _PARTIAL_SUFFIX

    def __iter__(self) -> Iterator[StoredFrame]:
        """All frames in the order in which the rules saw them, a row group in memory at a time."""
        if not self.is_complete:
            for batch in _batches(self.path):
                yield from _from_table(pa.Table.from_batches([batch]))
        elif self.path.is_dir():
            streams = map(_with_positions, read_partitions(self.path))
            for _, frame in heapq.merge(*streams, key=itemgetter(0)):
                yield frame
        else:
            with pq.ParquetFile(self.path) as file:
                for group in range(file.num_row_groups):
                    yield from _from_table(file.read_row_group(group))


def read_tracks(path: Path) -> StoredTracks:
    """Opens a track file, or a folder of them; where a crash left only the partial file, that one, as far as it goes.

    Raises:
        SourceError: If nothing is there, or it is no track file, or one with the columns of another vidan.
    """
    partial = _partial(path)
    source = partial if not path.exists() and partial.exists() else path
    if not source.exists():
        raise SourceError(f"cannot read the track file {path}: there is none")
    try:
        if source is partial:
            _logger.warning("%s was not completed, reading %s", path, partial)
            with pa.OSFile(str(partial)) as file, pa.ipc.open_stream(file) as stream:
                schema = stream.schema
        elif path.is_dir():
            files = partition_files(path)
            if not files:
                raise SourceError(f"{path} holds no tracks: there is no source=*/day=*/part-*.parquet in it")
            schema = pq.read_schema(files[0])
        else:
            schema = pq.read_schema(path)
        facts = json.loads(schema.metadata[b"vidan"])
        stored = StoredTracks(source, tuple(facts["class_names"]), facts["semantics"], facts["version"])
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise SourceError(f"cannot read the track file {path}: {error}") from error
    needed = {field.name for field in _FRAME_COLUMNS + _TRACK_COLUMNS} - {"source"}
    if missing := needed.difference(schema.names):
        raise SourceError(
            f"the track file {path} is of vidan {stored.version} and lacks {', '.join(sorted(missing))}: "
            "run it again, or read it with that vidan"
        )
    return stored


def hash_tracks(path: Path) -> str:
    """SHA-256 of a track file; of a folder, that of what ``sha256sum`` prints in it of its files by name."""
    if not path.is_dir():
        return file_sha256(path)
    return hash_text("".join(f"{file_sha256(file)}  {file.relative_to(path)}\n" for file in partition_files(path)))


def _to_batch(frames: Sequence[StoredFrame], schema: pa.Schema, class_names: pa.StringArray) -> pa.RecordBatch:
    counted = [frame.counted for frame in frames]
    rows = np.array([len(frame.tracks) for frame in counted])
    empty = np.repeat(rows == 0, np.maximum(rows, 1))  # the rows that stand for frames without tracks
    place = np.cumsum(~empty) - 1  # of each row in the concatenated tracks
    first = np.diff(np.repeat(np.arange(len(rows)), np.maximum(rows, 1)), prepend=-1) > 0

    def per_frame(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
        return pa.array(values, kind).take(pa.array(np.cumsum(first) - 1))

    def per_track(values: Sequence[np.ndarray], kind: pa.DataType) -> pa.Array:
        return pa.array(np.concatenate(values), kind).take(pa.array(place, mask=empty))

    stamps = [frame.stamp for frame in counted]
    ended = iter([frame.tracks.ended for frame in counted])
    class_ids = per_track([frame.tracks.class_id for frame in counted], pa.int16())
    columns = {
        "source": per_frame([stamp.stream for stamp in stamps], pa.string()),
        "frame": per_frame([stamp.index for stamp in stamps], pa.int64()),
        "time": per_frame([stamp.pts_seconds for stamp in stamps], pa.float64()),
        "utc": per_frame([stamp.utc for stamp in stamps], pa.timestamp("us", tz="UTC")),
        "height": per_frame([frame.height for frame in frames], pa.int32()),
        "width": per_frame([frame.width for frame in frames], pa.int32()),
        "ended": pa.array([next(ended) if is_first else None for is_first in first], pa.list_(pa.int64())),
        "track": per_track([frame.tracks.track_id for frame in counted], pa.int64()),
        "class": class_names.take(class_ids),
        "class_id": class_ids,
        "class_share": per_track([frame.tracks.class_share for frame in counted], pa.float32()),
        "confidence": per_track([frame.tracks.confidence for frame in counted], pa.float32()),
        "confirmed": per_track([frame.tracks.confirmed for frame in counted], pa.bool_()),
        "observed": per_track([frame.tracks.observed for frame in counted], pa.bool_()),
    }
    for i, (observed, smoothed) in enumerate(zip(_BOX, _SMOOTHED, strict=True)):
        columns[observed] = per_track([frame.observed_xyxy[:, i] for frame in counted], pa.float32())
        columns[smoothed] = per_track([frame.tracks.xyxy[:, i] for frame in counted], pa.float32())
    return pa.record_batch([columns[name] for name in schema.names], schema=schema)


def _from_table(table: pa.Table) -> Iterator[StoredFrame]:
    starts = np.flatnonzero(table["ended"].is_valid().to_numpy())
    present = table["track"].is_valid().to_numpy()
    track_id, class_id = (_column(table, name, np.int64) for name in ("track", "class_id"))
    class_share, confidence = (_column(table, name, np.float32) for name in ("class_share", "confidence"))
    confirmed, observed = (_column(table, name, np.bool_) for name in ("confirmed", "observed"))
    smoothed, tracker_xyxy = (
        np.stack([_column(table, name, np.float32) for name in names], axis=1) for names in (_SMOOTHED, _BOX)
    )
    heads = table.select([field.name for field in _FRAME_COLUMNS]).take(pa.array(starts)).to_pylist()
    for head, start, stop in zip(heads, starts, [*starts[1:], len(table)], strict=True):
        rows = slice(start, stop if present[start] else start)
        tracks = Tracks(
            track_id[rows],
            smoothed[rows],
            confidence[rows],
            class_id[rows],
            class_share[rows],
            confirmed[rows],
            observed[rows],
            tuple(head["ended"]),
        )
        stamp = Stamp(head["source"], head["frame"], head["time"], head["utc"])
        counted = _apart(CountedFrame(stamp, tracks, tracker_xyxy[rows]))
        yield StoredFrame(counted, head["height"], head["width"])


def _joined(counted: CountedFrame) -> CountedFrame:
    """The frame with the tracklets that were dismissed as the last rows of its tracks."""
    tracks, dismissed = counted.tracks, counted.dismissed
    if len(dismissed) == 0:
        return counted
    return CountedFrame(
        counted.stamp,
        Tracks.concatenated([tracks, dismissed], ended=tracks.ended + dismissed.ended),
        np.concatenate([counted.observed_xyxy, dismissed.xyxy]),
    )


def _apart(joined: CountedFrame) -> CountedFrame:
    """The frame that `_joined` took."""
    tracks, confirmed = joined.tracks, joined.tracks.confirmed
    if confirmed.all():
        return joined
    dismissed = tracks[~confirmed]
    young = set(dismissed.track_id.tolist())
    return CountedFrame(
        joined.stamp,
        replace(tracks[confirmed], ended=tuple(track_id for track_id in tracks.ended if track_id not in young)),
        joined.observed_xyxy[confirmed],
        replace(dismissed, ended=tuple(track_id for track_id in tracks.ended if track_id in young)),
    )


def _with_positions(tables: Iterable[pa.Table]) -> Iterator[tuple[int, StoredFrame]]:
    """The frames of one stream, each with its place among those of all streams."""
    for table in tables:
        yield from zip(table["position"].filter(table["ended"].is_valid()).to_pylist(), _from_table(table), strict=True)


def _column(table: pa.Table, name: str, dtype: type[np.generic]) -> np.ndarray:
    column = table[name]
    return column.fill_null(False if pa.types.is_boolean(column.type) else 0).to_numpy().astype(dtype, copy=False)


def _batches(partial: Path) -> Iterator[pa.RecordBatch]:
    """The complete batches of a partial file, less the empty one that stands first."""
    with pa.OSFile(str(partial)) as file, pa.ipc.open_stream(file) as stream:
        try:
            yield from (batch for batch in stream if len(batch))
        except (pa.ArrowInvalid, OSError):
            _logger.warning("%s: the last rows are torn, they are left out", partial)


def _write_row_group(writer: pq.ParquetWriter, batches: Sequence[pa.RecordBatch]) -> None:
    table = pa.Table.from_batches(batches)
    writer.write_table(table, row_group_size=len(table))  # whole: a frame never spans two groups


def _partial(path: Path) -> Path:
    return path.with_name(path.name + _PARTIAL_SUFFIX)
