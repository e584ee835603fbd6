"""JsonlSink writes a log of events, one JSON line per event; `read_events` is its mirror."""

from __future__ import annotations

import errno
import json
import logging
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from io import FileIO
from operator import attrgetter
from pathlib import Path

from vidan.pipeline.errors import SourceError, cannot_write
from vidan.pipeline.events import Event, from_record, to_record
from vidan.pipeline.frame import FrameResult

MOST_WAITING = 64 << 20  # bytes, some 200 000 events
RETRY_SECONDS = 1.0
SYNC_SECONDS = 1.0  # at most this much of the log is lost with the power; a killed process loses nothing

_PIECE_BYTES = 1 << 16
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_EVENT = (ValueError, TypeError)
"""What a line raises that is not UTF-8, not JSON, no object, or no event."""

_logger = logging.getLogger(__name__)
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class JsonlSink:
    """Appends the events (or the near misses) of all streams to one file, which holds whole lines at any moment.

    Lines go straight to the operating system, those of one result in one piece, and to the disk at most every
    `SYNC_SECONDS` and at the end. A piece that does not fit on the disk is taken back, so that no torn line stays.

    Args:
        path: File to create; an old one is replaced.
        select: Which events of a result are meant.
        known: Ids of events that are not written, for they stand in the log; None: the log begins anew. Otherwise it
            goes on behind its last whole line.
        waits: Whether lines wait in memory, up to `MOST_WAITING` bytes, for a disk that is full: what a camera showed
            cannot be looked at again. For recorded footage that would only be hope.

    Raises:
        SinkError: If the file cannot be created.
    """

    def __init__(
        self,
        path: Path,
        select: Callable[[FrameResult], Sequence[Event]] = attrgetter("events"),
        *,
        known: Collection[str] | None = None,
        waits: bool = False,
    ) -> None:
        self.path = path
        self._select = select
        self._known = known or ()
        self._waits = waits
        self._waiting = b""
        self._retry_at: float | None = None  # monotonic; while the disk is full
        try:
            self._file = path.open("r+b" if known is not None and path.exists() else "wb", buffering=0)
            self._end = 0
            if known is not None:
                self._end = _end_of_lines(self._file)
                self._file.truncate(self._end)
                self._file.seek(self._end)
        except OSError as error:
            raise cannot_write("the event log", path, error) from error
        self._synced = (self._end, time.monotonic())  # bytes, when

    def write(self, result: FrameResult) -> None:
        """Appends the events of a result, if there are any.

        Raises:
            SinkError: If they cannot be written.
            ValueError: If the sink is closed.
        """
        self.append([event for event in self._select(result) if event.id not in self._known])

    def append(self, events: Sequence[Event]) -> None:
        """Appends these events, if there are any.

        Raises:
            SinkError: If they cannot be written.
            ValueError: If the sink is closed.
        """
        if not events and not self._waiting:
            return
        self._waiting += b"".join(_line(event) for event in events)
        if self._retry_at is not None and time.monotonic() < self._retry_at:
            return
        try:
            self._append_waiting()
            if time.monotonic() - self._synced[1] >= SYNC_SECONDS:
                self._sync()
        except OSError as error:
            raise cannot_write("the event log", self.path, error) from error

    def close(self) -> None:
        """Brings the last lines to the disk; a second call does nothing.

        Raises:
            SinkError: If that fails.
        """
        if self._file.closed:
            return
        self._waits = False
        try:
            self._append_waiting()
            self._sync()
        except OSError as error:
            raise cannot_write("the event log", self.path, error) from error
        finally:
            self._file.close()

    def _append_waiting(self) -> None:
        try:
            self._append(self._waiting)
        except OSError as error:
            if not self._waits or error.errno not in _FULL or len(self._waiting) > MOST_WAITING:
                self._waiting = b""
                raise
            if self._retry_at is None:
                _logger.warning("%s: %s; events wait in memory, free some space", self.path, error.strerror)
            self._retry_at = time.monotonic() + RETRY_SECONDS
            return
        if self._retry_at is not None:
            _logger.warning("%s has all events again", self.path)
        self._retry_at, self._waiting = None, b""

    def _append(self, piece: bytes) -> None:
        rest = memoryview(piece)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            with suppress(OSError):
                self._file.truncate(self._end)
                self._file.seek(self._end)
            raise
        self._end += len(piece)

    def _sync(self) -> None:
        if self._synced[0] != self._end:
            os.fsync(self._file.fileno())
        self._synced = (self._end, time.monotonic())


def _end_of_lines(file: FileIO) -> int:
    """Where the last whole line of a file ends; a torn one is what a power cut leaves."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - _PIECE_BYTES)
        file.seek(start)
        if (newline := file.read(end - start).rfind(b"\n")) >= 0:
            return start + newline + 1
        end = start
    return 0


def read_events(path: Path, *, tell: bool = True) -> Iterator[Event]:
    """The events of a log, in its order. A last line that a crash tore off is left out, with a warning if `tell`.

    Raises:
        SourceError: If the file cannot be read or a line is no event; the message names file and line.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield from_record(json.loads(line))
                except _NO_EVENT as error:
                    if not line.endswith(b"\n"):
                        if tell:
                            _logger.warning("%s:%d: the last line is torn, it is left out", path, number)
                        return
                    raise SourceError(f"{path}:{number}: not an event: {error}") from error
    except OSError as error:
        raise SourceError(f"cannot read the event log {path}: {error.strerror}") from error


class EventLog:
    """The events of a log, which are read each time that they are asked for: a log of months does not fit in memory.

    Args:
        path: The file.
        optional: Whether no file is a log without events, and no mistake.
    """

    def __init__(self, path: Path, *, optional: bool = False) -> None:
        self._path = path
        self._optional = optional
        self._is_told = False  # what is wrong with its last line

    def __iter__(self) -> Iterator[Event]:
        if self._optional and not self._path.exists():
            return iter(())
        events = read_events(self._path, tell=not self._is_told)
        self._is_told = True
        return events


class GrowingLog:
    """Reads a log that is still written: its whole lines, each once.

    Args:
        path: The file; a `JsonlSink` writes it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rewind()

    @property
    def is_shorter(self) -> bool:
        """Whether less is there than was read: lines were taken back, or the log begins anew."""
        try:
            return self._path.stat().st_size < self._place
        except OSError as error:
            raise SourceError(f"cannot read the event log {self._path}: {error.strerror}") from error

    def rewind(self) -> None:
        """Begins with the first line again."""
        self._place, self._line = 0, 0

    def new_events(self) -> Iterator[Event]:
        """The events that were not read yet.

        Raises:
            SourceError: If the file cannot be read or a line is no event; the message names file and line.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(self._place)
                for line in file:
                    if not line.endswith(b"\n"):
                        return  # it is being written
                    self._place += len(line)
                    self._line += 1
                    yield from_record(json.loads(line))
        except _NO_EVENT as error:
            raise SourceError(f"{self._path}:{self._line}: not an event: {error}") from error
        except OSError as error:
            raise SourceError(f"cannot read the event log {self._path}: {error.strerror}") from error


def _line(event: Event) -> bytes:
    return _JSON.encode(to_record(event)).encode() + b"\n"
