"""Outbox: the event log as a durable queue to one destination, with a cursor on the disk that says how far it got.

Nothing is copied: the log is on the disk anyway, complete to its last line. What is kept beside it, in
``outbox/NAME.json``, is where the next event begins. A crash between a delivery and the next cursor costs a second
delivery of a batch, never an event.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from vidan.pipeline.errors import SinkError, cannot_write
from vidan.pipeline.sinks.destination import Destination, LoggedEvent
from vidan.pipeline.stages import DeliveryHealth

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the log of a run was delivered.

    Attributes:
        run: Id of the run.
        number: Of the last line that is done with, from 1; 0 for none.
        begin: Where that line begins, bytes.
        offset: Where the next one does.
        last: The id of the event in that line.
        delivered: Events that the destination has taken.
        skipped: Events that were given up.
    """

    run: str
    number: int = 0
    begin: int = 0
    offset: int = 0
    last: str | None = None
    delivered: int = 0
    skipped: int = 0

    def past(self, lines: Sequence[bytes], *, delivered: int = 0, skipped: int = 0) -> Cursor:
        """The cursor behind these lines, which are the next ones."""
        offset = self.offset + sum(map(len, lines))
        return Cursor(
            self.run,
            self.number + len(lines),
            offset - len(lines[-1]),
            offset,
            json.loads(lines[-1])["id"],
            self.delivered + delivered,
            self.skipped + skipped,
        )


class Outbox:
    """Reads a growing log and hands its whole lines to one destination.

    Args:
        log: The event log; it may not be there yet.
        run: Id of its run.
        health: Is kept up to date.
        cursor: The file of the cursor; None where the destination itself knows what it has.
        keep: Pending events beyond which the oldest are given up; None: none ever is.
        is_wanted: Which events are meant for this destination.

    Raises:
        SinkError: If the cursor cannot be written, or another process delivers from the same log.
    """

    def __init__(
        self,
        log: Path,
        run: str,
        health: DeliveryHealth,
        *,
        cursor: Path | None = None,
        keep: int | None = None,
        is_wanted: Callable[[Mapping[str, Any]], bool] = lambda record: True,
    ) -> None:
        self.health = health
        self._log = log
        self._path = cursor
        self._keep = keep
        self._is_wanted = is_wanted
        self._has_complained = False
        self._lock = None if cursor is None else _lock(cursor)
        self._committed = log.stat().st_size if log.exists() else 0
        self._move(self._read_cursor(run))
        self._counted = self._cursor.offset  # up to here pending events were counted

    def note_growth(self) -> None:
        """Says that the log has been written to, and holds whole lines now; what comes later may be taken back."""
        with suppress(OSError):  # somebody has taken the log away; it is not for this one to complain
            self._committed = self._log.stat().st_size

    def tell_history(self, destination: Destination) -> None:
        """Lets a destination recall what lies behind the cursor."""
        if self._cursor.number and destination.wants_history:
            with self._log.open("rb") as file:
                lines = islice(self._lines(file, 0), self._cursor.number)
                destination.recall(self._wanted(lines, 1))

    def look(self, destination: Destination) -> None:
        """Counts what is pending, and gives up what is too much."""
        if self._committed > self._counted:
            with self._log.open("rb") as file:
                for line in self._lines(file, self._counted):
                    self._counted += len(line)
                    self.health.pending += self._is_wanted(json.loads(line))
                self._skip_oldest(file, destination)

    def start_after(self, number: int) -> None:
        """Leaves out the first events of the log, which the destination has, up to this number."""
        if number > self._cursor.number:
            with self._log.open("rb") as file:
                cursor = self._cursor
                for line in islice(self._lines(file, cursor.offset), number - cursor.number):
                    cursor = cursor.past([line], delivered=1)
            self.health.pending -= cursor.number - self._cursor.number
            self._move(cursor)

    def deliver_to(self, destination: Destination) -> Iterator[int]:
        """Hands over everything that is pending, as far as it was seen; gives the number of events after each batch.

        Raises:
            SinkError: If the destination did not take a batch, which stays pending.
            OSError: If the log cannot be read.
            ValueError, KeyError, TypeError: If the log is damaged.
        """
        if self._counted == self._cursor.offset:
            return
        with self._log.open("rb") as file:
            lines = self._lines(file, self._cursor.offset, self._counted)
            while some := list(islice(lines, destination.batch_events)):
                events = list(self._wanted(some, self._cursor.number + 1))
                if events:
                    destination.deliver(events)
                self._move(self._cursor.past(some, delivered=len(events)))
                self._save()
                self.health.pending -= len(events)
                yield len(events)

    def close(self) -> None:
        """Lets another process deliver from here."""
        if self._lock is not None:
            self._lock.release()

    def _lines(self, file: BinaryIO, offset: int, end: int | None = None) -> Iterator[bytes]:
        """The lines from there on, as far as the log is sure of them; the last one may be only half there."""
        file.seek(offset)
        end = self._committed if end is None else end
        for line in file:
            offset += len(line)
            if offset > end or not line.endswith(b"\n"):
                return
            yield line

    def _wanted(self, lines: Iterable[bytes], first_number: int) -> Iterator[LoggedEvent]:
        for number, line in enumerate(lines, first_number):
            record = json.loads(line)
            if self._is_wanted(record):
                yield LoggedEvent(number, record)

    def _move(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self.health.delivered, self.health.skipped = cursor.delivered, cursor.skipped

    def _skip_oldest(self, file: BinaryIO, destination: Destination) -> None:
        """Gives up what is pending beyond `keep`, says so, and counts it."""
        surplus = 0 if self._keep is None else self.health.pending - self._keep
        if surplus <= 0:
            return
        cursor = self._cursor
        for line in self._lines(file, cursor.offset):
            events = list(self._wanted([line], cursor.number + 1))
            destination.recall(events)
            cursor = cursor.past([line], skipped=len(events))
            if cursor.skipped - self._cursor.skipped == surplus:
                break
        self._move(cursor)
        self._save()
        self.health.pending -= surplus
        _logger.warning(
            "%s: more than %d events were pending, so the oldest %d of them are skipped; they stay in %s",
            destination.title, self._keep, surplus, self._log,
        )  # fmt: skip

    def _read_cursor(self, run: str) -> Cursor:
        """The cursor as it was left; a new one where there is none, or where it is that of another run."""
        if self._path is None or not self._path.exists():
            return Cursor(run)
        try:
            cursor = Cursor(**json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            _logger.warning("%s is damaged (%s): every event is delivered once more", self._path, error)
            return Cursor(run)
        return self._agreed(cursor) if cursor.run == run else Cursor(run)

    def _agreed(self, cursor: Cursor) -> Cursor:
        """The cursor where the log agrees with it: a power cut may have taken lines that were delivered already."""
        if cursor.number == 0:
            return cursor
        if self._committed < cursor.offset:
            return replace(self._end(cursor.run), delivered=cursor.delivered, skipped=cursor.skipped)
        with self._log.open("rb") as file, suppress(ValueError, KeyError, TypeError):
            file.seek(cursor.begin)
            line = file.read(cursor.offset - cursor.begin)
            if line.endswith(b"\n") and json.loads(line)["id"] == cursor.last:
                return cursor
        _logger.warning("%s is not of the log beside it: every event is delivered once more", self._path)
        return Cursor(cursor.run)

    def _end(self, run: str) -> Cursor:
        """The cursor behind the last whole line of the log."""
        cursor = Cursor(run)
        if self._committed:
            with self._log.open("rb") as file:
                for line in self._lines(file, 0):
                    cursor = cursor.past([line])
        return cursor

    def _save(self) -> None:
        """Writes the cursor whole or not at all. A full disk stops no delivery: it may cost a second one."""
        if self._path is None:
            return
        try:
            _write(self._path, self._cursor)
            self._has_complained = False
        except OSError as error:
            if not self._has_complained:
                _logger.warning(
                    "cannot write %s: %s; after a crash, events may be delivered twice", self._path, error.strerror
                )
            self._has_complained = True


def _write(path: Path, cursor: Cursor) -> None:
    draft = path.with_name(path.name + ".tmp")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(asdict(cursor), file)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _lock(cursor: Path) -> FileLock:
    """The lock of a cursor, held; it goes with the process, however that ends."""
    try:
        cursor.parent.mkdir(exist_ok=True)
        lock = FileLock(cursor.with_suffix(".lock"), timeout=0)
        lock.acquire()
    except Timeout as error:
        folder = cursor.parent.parent
        raise SinkError(f"another process delivers the events of {folder}; wait until it has ended") from error
    except OSError as error:
        raise cannot_write("the outbox", cursor, error) from error
    return lock
