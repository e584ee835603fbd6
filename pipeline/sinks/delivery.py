"""DeliverySink brings the events of a run to a destination while it goes on; `deliver_log` does so afterwards.

The event log is the queue between the two. It is on the disk anyway, complete to the last line, so nothing has to be
held in memory however long a destination is down, nothing is lost with a killed process, and a run never waits.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidan.pipeline.errors import SinkError, SourceError
from vidan.pipeline.frame import FrameResult
from vidan.pipeline.sinks.destination import Destination
from vidan.pipeline.sinks.outbox import Outbox
from vidan.pipeline.telemetry import DestinationSnapshot

LINGER_SECONDS = 0.2  # until events that come together have come
CHECK_SECONDS = 5.0  # between two looks at an idle connection
FIRST_DELAY_SECONDS, LAST_DELAY_SECONDS = 0.25, 30.0  # between attempts; each waits twice as long as the one before
PATIENCE_SECONDS = 10.0  # at the end of the run, with a destination that fails
DRAIN_SECONDS = 30.0  # at the end of the run, with one that goes on taking events
JOIN_SECONDS = 15.0  # beyond these, for a call that does not come back

_logger = logging.getLogger(__name__)


class DeliverySink:
    """Follows the event log on a thread of its own and hands to a destination what is new in it.

    A destination that is down is tried again, and again, without anybody waiting for it; `health` says how it goes.

    Args:
        destination: Where to; used and closed by this sink.
        outbox: Of the event log, which another sink writes *before* this one is told.
        record: Of the run, as it stands in run.json.
    """

    def __init__(self, destination: Destination, outbox: Outbox, record: Mapping[str, Any]) -> None:
        self.health = outbox.health
        self._destination = destination
        self._outbox = outbox
        self._record = record
        self._has_history = self._has_begun = False
        self._news = threading.Event()
        self._closing = threading.Event()
        self._closing_at = 0.0
        self._bug: Exception | None = None
        self._thread = threading.Thread(target=self._work, name=f"deliver-{self.health.name}", daemon=True)
        self._thread.start()

    def write(self, result: FrameResult) -> None:
        """Says that the log has grown, if it has."""
        if result.events:
            self._outbox.note_growth()
            self._news.set()

    def close(self) -> None:
        """Says that no more events will come, and waits for nothing; a second call does nothing."""
        if not self._closing.is_set():
            self._closing_at = time.monotonic()
            self._outbox.note_growth()
            self._closing.set()
            self._news.set()

    def conclude(self, record: Mapping[str, Any]) -> None:
        """Waits until the destination has all events, or for a bounded time, and tells it how the run ended.

        Args:
            record: Of the run, now that it has ended.
        """
        self.close()
        self._thread.join(max(0.0, self._closing_at + DRAIN_SECONDS + JOIN_SECONDS - time.monotonic()))
        if self._thread.is_alive():
            self.health.error = str(self._destination.cannot_deliver("it does not answer"))
            return
        if self._bug is None and self.health.error is None:
            try:
                self._destination.announce(record)
            except SinkError as error:
                self.health.error = self.health.last_error = str(error)
        self._destination.close()
        self._outbox.close()
        self.health.state = "closed"
        if self._bug is not None:
            raise self._bug

    def snapshot(self) -> DestinationSnapshot:
        """How it goes at this moment, for telemetry."""
        health = self.health
        return DestinationSnapshot(health.state, health.delivered, health.pending, health.skipped, health.last_error)

    def _work(self) -> None:
        try:
            delay = FIRST_DELAY_SECONDS
            while True:
                is_complete = self._closing.is_set()  # asked before the log is read, which then has the last event
                try:
                    self._deliver()
                except SinkError as error:
                    self._note(error)
                    if self._seconds_closing() > PATIENCE_SECONDS:
                        return
                    self._pause(delay)
                    delay = min(2 * delay, LAST_DELAY_SECONDS)
                    continue
                self._note(None)
                delay = FIRST_DELAY_SECONDS
                if is_complete:
                    return
                if self._news.wait(CHECK_SECONDS):
                    self._closing.wait(LINGER_SECONDS)
                    self._news.clear()
        except Exception as error:  # a bug: carried to the thread that concludes, where it ends the run
            self._bug = error

    def _deliver(self) -> None:
        if not self._has_history:
            self._outbox.tell_history(self._destination)
            self._has_history = True
        self._outbox.look(self._destination)
        if not self._has_begun:
            self._destination.announce(self._record)
            if (position := self._destination.position()) is not None:
                self._outbox.start_after(position)
            self._has_begun = True
        self._destination.check()
        for _ in self._outbox.deliver_to(self._destination):
            if self._seconds_closing() > DRAIN_SECONDS:
                raise self._destination.cannot_deliver("it takes events too slowly to wait for it")

    def _note(self, error: SinkError | None) -> None:
        """Speaks up when a destination goes away and when it is back, not at each attempt between."""
        health = self.health
        if error is not None:
            if health.error is None:
                _logger.warning("%s; the run goes on, and it is tried again", error)
            health.failures += 1
            health.error = health.last_error = str(error)
            health.state = "retrying"
            return
        if health.error is not None:
            _logger.warning("%s is back, and has all events", self._destination.title)
        health.error = None
        health.state = "delivering"

    def _seconds_closing(self) -> float:
        return time.monotonic() - self._closing_at if self._closing.is_set() else 0.0

    def _pause(self, seconds: float) -> None:
        seconds *= random.uniform(0.75, 1.25)  # many that lost the same server do not come back all at once
        if self._closing.is_set():
            time.sleep(min(seconds, 1.0))
        else:
            self._closing.wait(seconds)


def deliver_log(destination: Destination, outbox: Outbox, record: Mapping[str, Any], log: Path) -> int:
    """Brings a run and what is pending of its log to a destination; how many events that were.

    Raises:
        SinkError: If it cannot be reached or refuses.
        SourceError: If the log cannot be read.
    """
    try:
        log.stat()  # an outbox waits for its log to be begun
        outbox.look(destination)
        destination.announce(record)
        return sum(outbox.deliver_to(destination))
    except OSError as error:
        raise SourceError(f"cannot read the event log {log}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"the event log {log} is damaged: {error}") from error
