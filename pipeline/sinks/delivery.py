"""DatabaseSink brings the events of a run to a database while it goes on; `deliver_log` does so afterwards.

The event log is the queue between the two. It is on the disk anyway, complete to the last line, so nothing has to be
held in memory however long a database is down, nothing is lost with a killed process, and a run never waits.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidan.pipeline.errors import SinkError, SourceError
from vidan.pipeline.frame import FrameResult

if TYPE_CHECKING:  # SQLAlchemy takes a quarter of a second, which runs without a database need not spend
    from vidan.pipeline.sinks.database import Database

BATCH_EVENTS = 1000  # per transaction
LINGER_SECONDS = 0.2  # until events that come together have come
FIRST_DELAY_SECONDS, LAST_DELAY_SECONDS = 0.25, 30.0  # between attempts; each waits twice as long as the one before
PATIENCE_SECONDS = 10.0  # at the end of the run

_logger = logging.getLogger(__name__)


class DatabaseSink:
    """Follows the event log on a thread of its own and adds to the database what is new in it.

    A database that is down is tried again, and again, without anybody waiting for it; `error` says how it went.

    Args:
        database: Where to; used and closed by this sink.
        log: The event log, which another sink writes *before* this one is told.
        record: Of the run, as it stands in run.json.
    """

    def __init__(self, database: Database, log: Path, record: Mapping[str, Any]) -> None:
        self.error: SinkError | None = None
        self._follower = _LogFollower(database, log, record["run"])
        self._database = database
        self._log = log
        self._record = record
        self._is_announced = False
        self._news = threading.Event()
        self._closing = threading.Event()
        self._give_up_at = 0.0
        self._bug: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="database", daemon=True)
        self._thread.start()

    def write(self, result: FrameResult) -> None:
        """Says that the log has grown, if it has."""
        if result.events:
            self._news.set()

    def close(self) -> None:
        """Waits until the database has all events, or `PATIENCE_SECONDS` long; a second call does nothing."""
        self._give_up_at = time.monotonic() + PATIENCE_SECONDS
        self._closing.set()
        self._news.set()
        self._thread.join()
        if self._bug is not None:
            raise self._bug

    def conclude(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Tells the database how the run ended, after `close`; tells the manifest how the database did."""
        self._record, self._is_announced = record, False
        try:
            self._deliver()
            self.error = None
        except SinkError as error:
            self.error = error
        self._database.close()
        return {
            "url": self._database.shown,
            "events": self._follower.number,
            "error": None if self.error is None else str(self.error),
        }

    def _work(self) -> None:
        try:
            delay = FIRST_DELAY_SECONDS
            while True:
                is_complete = self._closing.is_set()  # asked before the log is read, which then has the last event
                try:
                    self._deliver()
                except SinkError as error:
                    self._note(error)
                    if is_complete and time.monotonic() > self._give_up_at:
                        return
                    self._pause(delay)
                    delay = min(2 * delay, LAST_DELAY_SECONDS)
                    continue
                self._note(None)
                delay = FIRST_DELAY_SECONDS
                if is_complete:
                    return
                self._news.wait()
                self._closing.wait(LINGER_SECONDS)
                self._news.clear()
        except Exception as error:  # a bug: carried to the thread that closes, where it ends the run with its traceback
            self._bug = error

    def _deliver(self) -> None:
        if not self._is_announced:
            self._database.put_run(self._record, self._log.parent)
            self._is_announced = True
        if self._log.exists():  # it is begun after this sink
            self._follower.catch_up()

    def _note(self, error: SinkError | None) -> None:
        """Speaks up when the database goes away and when it is back, not at each attempt between."""
        if error is not None and self.error is None:
            _logger.warning("%s; the run goes on, and the database is tried again", error)
        elif error is None and self.error is not None:
            _logger.warning("the database %s is back, and has all events", self._database.shown)
        self.error = error

    def _pause(self, seconds: float) -> None:
        if self._closing.is_set():
            time.sleep(min(seconds, 1.0))
        else:
            self._closing.wait(seconds)


def deliver_log(database: Database, folder: Path, record: Mapping[str, Any], log: Path) -> int:
    """Brings a run and its whole log to a database; how many of the events were new there.

    Raises:
        SinkError: If the database cannot be reached or refuses.
        SourceError: If the log cannot be read.
    """
    database.put_run(record, folder)
    before = database.count_events(record["run"])
    try:
        _LogFollower(database, log, record["run"]).catch_up()
    except OSError as error:
        raise SourceError(f"cannot read the event log {log}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"the event log {log} is damaged: {error}") from error
    return database.count_events(record["run"]) - before


class _LogFollower:
    """Reads a growing log and adds its whole lines to a database; knows up to where both agree."""

    def __init__(self, database: Database, log: Path, run: str) -> None:
        self.number = 0  # of the last event that the database has
        self._offset = 0  # of the next line, bytes
        self._database = database
        self._log = log
        self._run = run

    def catch_up(self) -> None:
        with self._log.open("rb") as file:
            file.seek(self._offset)
            new = takewhile(lambda line: line.endswith(b"\n"), file)  # the last one may be only half there
            while lines := list(islice(new, BATCH_EVENTS)):
                self._database.add_events(self._run, self.number + 1, [json.loads(line) for line in lines])
                self.number += len(lines)
                self._offset += sum(map(len, lines))
