"""What a place outside the run must be able to do, to be sent the events of its log."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from vidan.pipeline.errors import SinkError


class LoggedEvent(NamedTuple):
    """A line of the event log: its number, from 1, and the event as it stands there."""

    number: int
    record: Mapping[str, Any]


class Destination(ABC):
    """Somewhere that takes events. It is used by one thread; every call returns or fails within a bounded time.

    After an error the next call begins anew, with a new connection if need be.

    Attributes:
        name: Of the destination in the config.
        title: What it is and where, for messages, without passwords: "the MQTT broker mqtt://***@host".
        to: Where it is, without passwords.
        batch_events: That it is given at once, at most.
        wants_history: True where it must `recall` what was delivered before this process began, or was skipped.
    """

    name: str
    title: str
    to: str
    batch_events: int = 100
    wants_history: bool = False

    def announce(self, record: Mapping[str, Any]) -> None:  # noqa: B027 (most have nobody to tell)
        """Is told of the run, as run.json has it: when it has begun, and when it has ended.

        Raises:
            SinkError: If it cannot be reached or refuses.
        """

    def position(self) -> int | None:
        """Number of the last event that it has, where it can tell; None: the cursor of its outbox knows.

        Raises:
            SinkError: If it cannot be reached or refuses.
        """
        return None

    def check(self) -> None:  # noqa: B027 (most notice with the next event)
        """Looks after its connection; asked every few seconds while there is nothing to deliver.

        Raises:
            SinkError: If it is gone.
        """

    def recall(self, events: Iterable[LoggedEvent]) -> None:  # noqa: B027 (most have no memory)
        """Is told events that were delivered by an earlier process, or will never be."""

    @abstractmethod
    def deliver(self, events: Sequence[LoggedEvent]) -> None:
        """Hands events over, in their order; returns when it is sure that all have arrived.

        Raises:
            SinkError: If that is not sure of all of them; then all are delivered again.
        """

    def close(self) -> None:  # noqa: B027 (some keep nothing open)
        """Ends the connection. It raises nothing."""

    def cannot_deliver(self, reason: object) -> SinkError:
        """The error to raise ``from error``, as in "cannot deliver to the MQTT broker mqtt://host: refused"."""
        return SinkError(f"cannot deliver to {self.title}: {reason}")


def message(event: LoggedEvent, run: str) -> dict[str, Any]:
    """What is sent of an event: its record, the run that it belongs to, and its place in the log of that run."""
    return {**event.record, "run": run, "number": event.number}


def to_json(value: Any) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
