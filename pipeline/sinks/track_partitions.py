"""Tracks as a folder of Parquet files by stream and day, in the layout of Hive, which data tools read as one table.

    tracks/source=gate/day=2026-05-01/part-0.parquet
                      /day=2026-05-02/part-0.parquet
          /source=yard/day=unknown/part-0.parquet        where no clock is known

Days are those of UTC. The files have the columns of tracks.parquet, less `source`, which the folder says, and with
`position`: the number of the frame among those of all streams, from 0, in the order in which the rules saw them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROW_GROUP_ROWS = 16_384  # smaller than in a single file: a reader holds one group of each stream

_POSITION = pa.field("position", pa.int64(), nullable=False)
_UNKNOWN_DAY = "unknown"


def write_partitions(
    batches: Iterable[pa.RecordBatch], folder: Path, schema: pa.Schema, options: dict[str, Any]
) -> None:
    """Writes batches, in which no frame spans two, as files by stream and day.

    Args:
        batches: Rows in the order in which the rules saw them.
        folder: To be made.
        schema: Of the batches.
        options: For `pyarrow.parquet.ParquetWriter`.

    Raises:
        OSError: If it cannot be written.
    """
    columns = [field for field in schema if field.name != "source"]
    stored = pa.schema([_POSITION, *columns], schema.metadata)
    writers: dict[str, _StreamWriter] = {}
    folder.mkdir()
    frames = 0
    try:
        for batch in batches:
            table = pa.Table.from_batches([batch])
            is_first = table["ended"].is_valid().to_numpy()
            positions = np.cumsum(is_first, dtype=np.int64) + (frames - 1)
            frames += np.count_nonzero(is_first)
            table = table.append_column(_POSITION, pa.array(positions))
            for source in table["source"].unique().to_pylist():
                own = table.filter(pc.call_function("equal", [table["source"], source])).select(stored.names)
                if source not in writers:
                    writers[source] = _StreamWriter(folder / f"source={source}", stored, options)
                writers[source].write(own)
    finally:
        for writer in writers.values():
            writer.close()


def read_partitions(folder: Path) -> list[Iterator[pa.Table]]:
    """For each stream its tables in their order, a row group each, with all columns and `position` besides."""
    return [_read_stream(path) for path in sorted(folder.glob("source=*"))]


def merged_partitions(folder: Path) -> Iterator[pa.Table]:
    """The tables of all streams, roughly in the order of their frames: that of each stream's own is kept."""
    yield from heapq.merge(*read_partitions(folder), key=lambda table: table[_POSITION.name][0].as_py())


def partition_files(folder: Path) -> list[Path]:
    """The files, by name."""
    return sorted(folder.glob("source=*/day=*/part-*.parquet"))


class _StreamWriter:
    """The files of one stream, of which one is open at a time: the day's."""

    def __init__(self, folder: Path, schema: pa.Schema, options: dict[str, Any]) -> None:
        self._folder = folder
        self._schema = schema
        self._options = options
        self._day: str | None = None
        self._writer: pq.ParquetWriter | None = None
        self._group: list[pa.Table] = []

    def write(self, table: pa.Table) -> None:
        dates = pc.call_function("strftime", [table["utc"]], pc.StrftimeOptions("%Y-%m-%d"))
        days = pc.fill_null(dates, _UNKNOWN_DAY).to_numpy()
        starts = [0, *np.flatnonzero(days[1:] != days[:-1]) + 1]
        for start, stop in zip(starts, [*starts[1:], len(table)], strict=True):
            if days[start] != self._day:
                self.close()
                self._open(days[start])
            self._group.append(table.slice(start, stop - start))
            if sum(map(len, self._group)) >= ROW_GROUP_ROWS:
                self._write_group()

    def close(self) -> None:
        if self._writer is not None:
            self._write_group()
            self._writer.close()
            self._writer = None

    def _open(self, day: str) -> None:
        folder = self._folder / f"day={day}"
        folder.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.iterdir()))  # a day may come back: recordings are played in any order
        self._day = day
        self._writer = pq.ParquetWriter(folder / f"part-{number}.parquet", self._schema, **self._options)

    def _write_group(self) -> None:
        if self._writer is not None and self._group:
            table = pa.concat_tables(self._group)
            self._writer.write_table(table, row_group_size=len(table))  # whole: a frame never spans two groups
        self._group = []


def _read_stream(folder: Path) -> Iterator[pa.Table]:
    source = folder.name.partition("=")[2]
    for path in sorted(folder.glob("day=*/part-*.parquet"), key=_first_position):
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                yield table.append_column(
                    pa.field("source", pa.string(), nullable=False), [pa.repeat(source, len(table))]
                )


def _first_position(path: Path) -> int:
    with pq.ParquetFile(path) as file:
        return file.read_row_group(0, columns=[_POSITION.name])[_POSITION.name][0].as_py()
