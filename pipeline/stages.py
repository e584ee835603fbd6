"""The joints of the pipeline on one page: where frames come from, what watches them, who is told.

The two other joints, `Detector` and `Tracker`, stand beside what they give, in `vidan.detector` and `vidan.trackers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, TypeGuard

from vidan.pipeline.events import Event
from vidan.pipeline.frame import Frame, FrameResult, Stamp
from vidan.trackers import Tracks


@dataclass(slots=True)
class SourceHealth:
    """What a source can say of itself; it is filled while frames are read and goes into the manifest.

    Attributes:
        expected: Frames that the container promises, None when it says nothing.
        decoded: Pictures decoded so far.
        delivered: Pictures handed out (decoded less those that stride or max_fps skipped).
        corrupt: Packets or pictures that could not be decoded.
        repaired_pts: Presentation times that were missing or did not grow, and were repaired.
        duration_seconds: Playing time that the container promises, None when it says nothing.
        end_seconds: When the last picture decoded so far ends, in stream seconds.
        problems: Sentences for people, each once: truncated file, corrupt packets, ...
        gaps: (start, end) in stream seconds where pictures are missing, in order.
        reconnects: Connections after the first one.
        discontinuities: Jumps of the source's clock that were repaired.
        state: What it is doing.
        last_error: Why the newest connection failed or broke, without passwords; it may be over.
        start_utc: Wall-clock time of stream second 0, where it is known before the first picture.
    """

    expected: int | None = None
    decoded: int = 0
    delivered: int = 0
    corrupt: int = 0
    repaired_pts: int = 0
    duration_seconds: float | None = None
    end_seconds: float | None = None
    problems: list[str] = field(default_factory=list)
    gaps: list[tuple[float, float]] = field(default_factory=list)
    reconnects: int = 0
    discontinuities: int = 0
    state: Literal["connecting", "playing", "waiting", "ended"] = "playing"
    last_error: str | None = None
    start_utc: datetime | None = None


@dataclass(slots=True)
class MainHealth:
    """What is known of the main stream of a camera whose sub-stream is analysed.

    Attributes:
        source: What is read, for people, without passwords.
        health: What its source says of itself.
        height: Of its pictures, in pixels; None before the first one.
        width: Likewise.
        shown: Analysed frames that video and evidence show in its pictures.
        missing: Those for which it had no picture of about the same time.
    """

    source: str
    health: SourceHealth
    height: int | None = None
    width: int | None = None
    shown: int = 0
    missing: int = 0

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values for run.json."""
        return {
            "source": self.source,
            "height": self.height,
            "width": self.width,
            "decoded": self.health.decoded,
            "corrupt": self.health.corrupt,
            "reconnects": self.health.reconnects,
            "shown": self.shown,
            "missing": self.missing,
            "problems": list(dict.fromkeys(self.health.problems)),
        }


@dataclass(slots=True)
class DeliveryHealth:
    """How far the events of a run have come to one destination; kept up to date while they are delivered.

    Attributes:
        name: Of the destination in the config: mqtt, redis, kafka, database, or the name of a webhook.
        to: Its address, for people, without passwords.
        delivered: Events that it has taken, those before a restart included.
        pending: Events in the log that it has not taken yet.
        skipped: Events that were given up because more than `keep` of them were pending.
        failures: Attempts that failed.
        error: Why it lacks events now; None while all is well.
        last_error: The newest thing that went wrong; it may be over.
        state: What is going on.
    """

    name: str
    to: str
    delivered: int = 0
    pending: int = 0
    skipped: int = 0
    failures: int = 0
    error: str | None = None
    last_error: str | None = None
    state: Literal["connecting", "delivering", "retrying", "closed"] = "connecting"

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values for run.json."""
        return {
            "name": self.name,
            "to": self.to,
            "delivered": self.delivered,
            "pending": self.pending,
            "skipped": self.skipped,
            "failures": self.failures,
            "error": self.error,
        }


class Source(Protocol):
    """One stream of frames. Opening happens in the constructor and raises `SourceError`."""

    @property
    def name(self) -> str: ...

    @property
    def live(self) -> bool:
        """True where frames cannot wait (a camera): the newest wins and drops are counted."""
        ...

    @property
    def health(self) -> SourceHealth: ...

    def describe(self) -> dict[str, Any]:
        """What is read, in plain values for the manifest."""
        ...

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None: ...


class Rule(Protocol):
    """Watches one stream's tracks and answers with events. No clock, no thread: same input, same events."""

    @property
    def name(self) -> str: ...

    def update(self, stamp: Stamp, tracks: Tracks) -> Sequence[Event]:
        """Events noticed at this frame, near misses among them; tracks in ``tracks.ended`` are forgotten afterwards."""
        ...


class DismissingRule(Rule, Protocol):
    """A rule that also has something to say about tracklets that were never confirmed, so that none is counted."""

    def dismiss(self, stamp: Stamp, dismissed: Tracks) -> Sequence[Event]:
        """Near misses among them, told at the latest when ``dismissed.ended`` names them.

        It is called after `update`, and only for frames that have such tracklets.
        """
        ...


def is_dismissing(rule: Rule) -> TypeGuard[DismissingRule]:
    """True for a rule that is also a `DismissingRule`.

    To ask a protocol by `isinstance` takes longer than most updates take: 15 us in Python 3.11.
    """
    return hasattr(rule, "dismiss")


class Sink(Protocol):
    """Is told every result, in order per stream."""

    def write(self, result: FrameResult) -> None: ...

    def close(self) -> None: ...
