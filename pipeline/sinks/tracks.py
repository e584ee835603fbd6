"""TrackStore keeps what the rules saw, frame by frame, in Parquet; `read_tracks` gives it back to be counted again.

`track_rows` describes the columns. The key "vidan" of the file's metadata holds JSON: version, semantics, class_names.

A Parquet file cannot be read before its footer is written. So rows go to an Arrow stream beside it first, which is
readable up to the last complete batch after a crash, and become Parquet when the run closes: one file, or a folder of
files by stream and day (`track_partitions`).
"""

from __future__ import annotations

import heapq
import json
import logging
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vidan.detector import file_sha256
from vidan.pipeline.errors import SinkError, SourceError, cannot_write
from vidan.pipeline.frame import FrameResult
from vidan.pipeline.provenance import SEMANTICS_VERSION, hash_text, vidan_version
from vidan.pipeline.sinks.track_partitions import merged_partitions, partition_files, read_partitions, write_partitions
from vidan.pipeline.sinks.track_rows import (
    FRAME_COLUMNS,
    PARQUET_OPTIONS,
    TRACK_COLUMNS,
    StoredFrame,
    from_table,
    to_batch,
    with_positions,
)

BATCH_ROWS = 4096
BATCH_SECONDS = 10.0  # of stream time; a killed process loses at most this much, or `BATCH_ROWS` rows
ROW_GROUP_ROWS = 131_072

_PARTIAL_SUFFIX = ".partial"
_logger = logging.getLogger(__name__)


class TrackStore:
    """Writes the counted frames of all streams of a run into one Parquet file, or into files by stream and day.

    Args:
        path: File to write; until `close` its rows stand in ``<path>.partial``.
        class_names: Of the detector.
        partitions: Folder to make instead of the one file.
        keep: Streams of which the rows of an earlier session of the run stay.

    Attributes:
        reached: By stream, how far the rows go that stayed.

    Raises:
        SinkError: If the file cannot be created.
    """

    def __init__(
        self, path: Path, class_names: Sequence[str], *, partitions: Path | None = None, keep: Collection[str] = ()
    ) -> None:
        self.path = path
        self.reached: dict[str, Reached] = {}
        self._partitions = partitions
        self._class_names = pa.array(class_names, pa.string())
        facts = {"version": vidan_version(), "semantics": SEMANTICS_VERSION, "class_names": list(class_names)}
        self._schema = pa.schema(
            FRAME_COLUMNS + TRACK_COLUMNS, {"vidan": json.dumps(facts, ensure_ascii=False).encode()}
        )
        self._pending: list[StoredFrame] = []
        self._pending_rows = 0
        self._failure: SinkError | None = None
        self._closed = False
        draft = _partial(path).with_suffix(".resumed") if keep else _partial(path)
        try:
            self._file = draft.open("wb", buffering=0)
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            self._stream = pa.ipc.new_stream(self._file, self._schema, options=options)
            self._stream.write_batch(pa.RecordBatch.from_pylist([], self._schema))  # brings the schema to the file now
            if keep:
                self._carry_over(keep)
                draft.replace(_partial(path))
                _remove(partitions or path)
        except (OSError, pa.ArrowException) as error:
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
            self._pending.append(StoredFrame(counted, result.frame.height, result.frame.width))
            self._pending_rows += max(1, len(counted.tracks) + len(counted.dismissed))
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

    def _carry_over(self, keep: Collection[str]) -> None:
        """Copies the rows of these streams that an earlier session has left, complete or not."""
        for batch in _earlier_batches(self._partitions or self.path, self.path, self._schema):
            for source in batch["source"].unique().to_pylist():
                if source in keep:
                    own = batch.filter(pc.call_function("equal", [batch["source"], source]))
                    self._stream.write_batch(own)
                    self.reached[source] = Reached.of(own).or_further(self.reached.get(source))

    def _write_batch(self) -> None:
        try:
            self._stream.write_batch(to_batch(self._pending, self._schema, self._class_names))
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
                write_partitions(_batches(_partial(self.path)), draft, self._schema, PARQUET_OPTIONS)
        except OSError:
            with suppress(OSError):  # gives the space back: the manifest is still to be written
                shutil.rmtree(draft) if draft.is_dir() else draft.unlink(missing_ok=True)
            raise
        draft.replace(target)
        _partial(self.path).unlink()

    def _write_parquet(self, path: Path) -> None:
        with pq.ParquetWriter(path, self._schema, **PARQUET_OPTIONS) as writer:
            group: list[pa.RecordBatch] = []
            for batch in _batches(_partial(self.path)):
                group.append(batch)
                if sum(len(batch) for batch in group) >= ROW_GROUP_ROWS:
                    _write_row_group(writer, group)
                    group = []
            if group:
                _write_row_group(writer, group)


class Reached(NamedTuple):
    """How far the stored frames of a stream go.

    Attributes:
        track: Highest id of a track.
        frame: Index of the last frame.
        seconds: Stream time of the last frame.
    """

    track: int
    frame: int
    seconds: float

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> Reached:
        """How far these rows go."""
        track, frame, seconds = (pc.call_function("max", [batch[name]]).as_py() for name in ("track", "frame", "time"))
        return cls(track or 0, frame or 0, seconds or 0.0)

    def or_further(self, other: Reached | None) -> Reached:
        """Both together."""
        if other is None:
            return self
        return Reached(max(self.track, other.track), max(self.frame, other.frame), max(self.seconds, other.seconds))


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
                yield from from_table(pa.Table.from_batches([batch]))
        elif self.path.is_dir():
            streams = map(with_positions, read_partitions(self.path))
            for _, frame in heapq.merge(*streams, key=itemgetter(0)):
                yield frame
        else:
            with pq.ParquetFile(self.path) as file:
                for group in range(file.num_row_groups):
                    yield from from_table(file.read_row_group(group))


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
    needed = {field.name for field in FRAME_COLUMNS + TRACK_COLUMNS} - {"source"}
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


def _earlier_batches(target: Path, path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """What is there of an earlier session; where it was killed while it converted, the complete file."""
    if target.is_dir():
        for table in merged_partitions(target):
            yield from table.select(schema.names).cast(schema).to_batches()
    elif target.is_file():
        with pq.ParquetFile(target) as file:
            for group in range(file.num_row_groups):
                yield from file.read_row_group(group).select(schema.names).cast(schema).to_batches()
    elif _partial(path).exists():
        for batch in _batches(_partial(path)):
            yield from pa.Table.from_batches([batch]).cast(schema).to_batches()


def _remove(target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)
