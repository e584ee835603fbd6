"""run.json: what was run on what, how far it came, and what of it is missing."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, Self
from uuid import uuid4

from vidan.detector import file_sha256
from vidan.pipeline.coverage import DropLedger, Drops, Gap, GapReason, compact, merge, overlap
from vidan.pipeline.earlier import Earlier
from vidan.pipeline.errors import cannot_write
from vidan.pipeline.events import format_utc
from vidan.pipeline.stages import DeliveryHealth, SourceHealth

SEMANTICS_VERSION = "1"  # of the counting rules: it grows when the same tracks would give other events

TRIFLE_SECONDS = 0.5  # headers round: so much less than promised is no gap
SILENCE_SECONDS = 3.0  # for so long a camera may say nothing before that is a gap: the slowest have a picture a second
MOST_PROBLEMS = 100  # of one stream, in run.json; the oldest and the newest are kept

_PACKAGES = ("numpy", "opencv-python-headless", "av", "openvino", "torch", "torchvision", "lap", "shapely", "pyarrow")


class RunStatus(StrEnum):
    RUNNING = "running"
    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(slots=True)
class StreamRecord:
    """One stream's account: what came in, what was lost on the way.

    Attributes:
        name: Of the stream.
        source: What was read, for people, without passwords.
        health: What the source says of itself.
        analysed: Frames that went through the detector, the tracker and the rules.
        seconds: Stream time at the end of the last analysed frame.
        start_utc: Wall-clock time of the first frame when it is known.
        height: Of the pictures, in pixels; None before the first one.
        width: Of the pictures, in pixels; None before the first one.
        idle: Where pictures came and showed nothing (frozen, dark, blurred); known when the stream has ended.
        drops: When frames were delivered but not analysed (only live streams drop).
        second_look: What stitching did and how it changed the counts; None where tracks were not stitched.
        earlier: What was said by the sources that were read before the one whose `health` this is.
        now_seconds: Stream time of a camera by the clock on the wall, which goes on when its pictures do not.
    """

    name: str
    source: str
    health: SourceHealth
    analysed: int = 0
    seconds: float = 0.0
    start_utc: datetime | None = None
    height: int | None = None
    width: int | None = None
    idle: tuple[Gap, ...] = ()
    drops: DropLedger = field(default_factory=DropLedger)
    second_look: Mapping[str, Any] | None = None
    earlier: Earlier = field(default_factory=Earlier)
    now_seconds: float | None = None

    def go_on(self, health: SourceHealth) -> None:
        """Another source of the stream is read from now on."""
        self.earlier.add(self.health)
        self.health = health

    def begin_again(self, offset_seconds: float, reason: GapReason) -> None:
        """The source that is read now begins at this stream time: there was nothing to see since the last frame."""
        self.earlier.offset_seconds = offset_seconds
        if offset_seconds > self.seconds:
            self.earlier.gaps.append(Gap(self.seconds, offset_seconds, reason))

    def complain(self, problem: str) -> None:
        """Adds a sentence for people."""
        self.health.problems.append(problem)

    def stay_small(self) -> None:
        """Keeps what a run of months has to say from growing for ever."""
        problems, gaps = self.health.problems, self.health.gaps
        if len(problems) > MOST_PROBLEMS:
            del problems[MOST_PROBLEMS // 2 : -MOST_PROBLEMS // 4]
        if len(gaps) > MOST_PROBLEMS:
            count = len(gaps) - 1  # the source may go on with the last one, and adds others
            self.earlier.gaps += self.earlier.shifted(gaps[:count])
            del gaps[:count]
            compact(self.earlier.gaps)

    @property
    def problems(self) -> list[str]:
        """Sentences for people, each once."""
        told = dict.fromkeys((*self.earlier.problems, *tuple(self.health.problems)))
        return [*told][: MOST_PROBLEMS // 2] + [*told][MOST_PROBLEMS // 2 :][-MOST_PROBLEMS // 2 :]

    @property
    def seconds_expected(self) -> float | None:
        """Stream time that the container promises, or that has passed on the wall without a picture."""
        if self.health.duration_seconds is not None:
            return self.health.duration_seconds + self.earlier.offset_seconds
        if self.now_seconds is not None and self.now_seconds - self.seconds > SILENCE_SECONDS:
            return self.now_seconds
        return None

    @property
    def dropped(self) -> int:
        """Frames delivered but not analysed."""
        return self.drops.frames

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """All time of the stream that was not seen, in order; gaps of different reasons may overlap."""
        gaps = [*self.earlier.gaps, *self.earlier.shifted(self.health.gaps), *self.drops.gaps, *self.idle]
        promised = self.seconds_expected or 0.0
        if promised - self.seconds > TRIFLE_SECONDS:
            is_live = self.health.duration_seconds is None
            gaps.append(Gap(self.seconds, promised, GapReason.MISSING if is_live else GapReason.UNREAD))
        return tuple(sorted(gaps))

    @property
    def seconds_observed(self) -> float:
        """Stream time that was seen."""
        return self.seconds - overlap(merge(gap[:2] for gap in self.gaps), 0.0, self.seconds)

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values; expected is null where the container promises no number."""
        health, earlier = self.health, self.earlier
        return {
            "name": self.name,
            "source": self.source,
            "height": self.height,
            "width": self.width,
            "start_utc": None if self.start_utc is None else format_utc(self.start_utc),
            "seconds": round(self.seconds, 6),
            "seconds_expected": self.seconds_expected,
            "seconds_observed": round(self.seconds_observed, 6),
            "frames": {
                "expected": health.expected,
                "decoded": earlier.decoded + health.decoded,
                "delivered": earlier.delivered + health.delivered,
                "analysed": self.analysed,
                "dropped": self.dropped,
                "corrupt": earlier.corrupt + health.corrupt,
                "repaired_pts": earlier.repaired_pts + health.repaired_pts,
            },
            "reconnects": earlier.reconnects + health.reconnects,
            "discontinuities": earlier.discontinuities + health.discontinuities,
            "gaps": [gap.to_record() for gap in self.gaps],
            "drops": [[round(start, 6), round(end, 6), frames] for start, end, frames in self.drops.drops],
            "second_look": self.second_look,
            "problems": self.problems,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The account that `to_record` wrote.

        Raises:
            KeyError, TypeError, ValueError: If it is none.
        """
        frames = record["frames"]
        gaps = [Gap(gap["start"], gap["end"], GapReason(gap["reason"])) for gap in record["gaps"]]
        health = SourceHealth(
            **{key: frames[key] for key in ("expected", "decoded", "delivered", "corrupt", "repaired_pts")},
            duration_seconds=record["seconds_expected"],
            end_seconds=record["seconds"],
            problems=list(record["problems"]),
            reconnects=record.get("reconnects", 0),
            discontinuities=record.get("discontinuities", 0),
        )
        missing = (GapReason.MISSING, GapReason.STOPPED)
        known = [gap for gap in gaps if gap.reason in missing and gap.start < record["seconds"]]
        return cls(
            **{key: record[key] for key in ("name", "source", "seconds", "height", "width")},
            health=health,
            analysed=frames["analysed"],
            start_utc=record["start_utc"] and datetime.fromisoformat(record["start_utc"]),
            idle=tuple(gap for gap in gaps if gap.reason in (GapReason.FROZEN, GapReason.DARK, GapReason.BLURRED)),
            drops=DropLedger(
                (Drops(*drops) for drops in record["drops"]), (gap for gap in gaps if gap.reason is GapReason.DROPPED)
            ),
            earlier=Earlier(gaps=known),
        )


@dataclass(slots=True)
class Session:
    """One process's part of a run, which may be resumed by another.

    Attributes:
        config_sha256: Of the config text that it began with.
        vidan: Its version.
        started: When it began.
        ended: When it ended; for one that was killed, when it last wrote down that it was alive.
        status: How it ended.
        reloads: When rules were read again, and the hash of the config text that they were read from.
    """

    config_sha256: str | None
    vidan: str = field(default_factory=lambda: vidan_version())
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: datetime | None = None
    status: RunStatus = RunStatus.RUNNING
    reloads: list[tuple[datetime, str | None]] = field(default_factory=list)

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "started": format_utc(self.started),
            "ended": None if self.ended is None else format_utc(self.ended),
            "status": self.status.value,
            "vidan": self.vidan,
            "config_sha256": self.config_sha256,
            "reloads": [{"at": format_utc(at), "config_sha256": sha256} for at, sha256 in self.reloads],
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """What `to_record` wrote.

        Raises:
            KeyError, TypeError, ValueError: If it is none.
        """
        return cls(
            record["config_sha256"],
            record["vidan"],
            datetime.fromisoformat(record["started"]),
            record["ended"] and datetime.fromisoformat(record["ended"]),
            RunStatus(record["status"]),
            [(datetime.fromisoformat(reload["at"]), reload["config_sha256"]) for reload in record["reloads"]],
        )


@dataclass(slots=True)
class Manifest:
    """Everything that is needed to say later how a number came about; write it when a run starts and when it ends.

    Attributes:
        config: The effective config as plain values, secrets masked.
        config_sha256: Of the config text as it stood in the file.
        detector: What detects: model, runtime, device, precision, image size, class names, weights and their hash.
        inputs: SHA-256 per video file, and one per folder of pictures (see `hash_files`).
        streams: One record per stream.
        rules: What each rule on each stream counts, as reports need to know it; set when the logs are counted.
        stage_seconds: CPU or device seconds per stage.
        outputs: Files of the run, relative to its folder.
        status: How far the run came.
        error: Why it failed, in words.
        run: Names this run among all runs.
        replayed_from: The run whose tracks were counted again: its id, folder, tracks and their hash.
        destinations: Where events go besides the log, and how far they came.
        started: When the run began.
        ended: When it ended, None while it runs.
        sessions: The processes that the run had, oldest first; the last one is this one.
        written: When this was last written: where a run was killed, it was alive then.
    """

    config: Mapping[str, Any]
    config_sha256: str | None = None
    detector: Mapping[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    streams: list[StreamRecord] = field(default_factory=list)
    rules: list[dict[str, Any]] = field(default_factory=list)
    stage_seconds: dict[str, float] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    status: RunStatus = RunStatus.RUNNING
    error: str | None = None
    run: str = field(default_factory=lambda: uuid4().hex)
    replayed_from: Mapping[str, Any] | None = None
    destinations: list[DeliveryHealth] = field(default_factory=list)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: datetime | None = None
    sessions: list[Session] = field(default_factory=list)
    written: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        if not self.sessions:
            self.sessions.append(Session(self.config_sha256, started=self.started))

    def finish(self, status: RunStatus, error: str | None = None) -> None:
        """Sets how the run ended, and when: now."""
        self.status, self.error, self.ended = status, error, datetime.now(UTC)
        self.sessions[-1].status, self.sessions[-1].ended = status, self.ended

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values in the order of run.json."""
        total = sum(self.stage_seconds.values())
        return {
            "run": self.run,
            "status": self.status.value,
            "error": self.error,
            "started": format_utc(self.started),
            "ended": None if self.ended is None else format_utc(self.ended),
            "written": format_utc(self.written),
            "sessions": [session.to_record() for session in self.sessions],
            "vidan": vidan_version(),
            "semantics": SEMANTICS_VERSION,
            "replayed_from": self.replayed_from,
            "streams": [stream.to_record() for stream in self.streams],
            "stages": {
                name: {"seconds": round(seconds, 3), "share": round(seconds / total, 4) if total else 0.0}
                for name, seconds in self.stage_seconds.items()
            },
            "outputs": list(self.outputs),
            "destinations": [health.to_record() for health in self.destinations],
            "rules": list(self.rules),
            "detector": dict(self.detector),
            "inputs": dict(self.inputs),
            "config_sha256": self.config_sha256,
            "config": dict(self.config),
            "environment": environment(),
        }

    def write(self, path: Path) -> None:
        """Writes run.json whole or not at all: a reader never meets half of it.

        Raises:
            SinkError: If it cannot be written; the former file stays.
        """
        draft = path.with_name(path.name + ".tmp")
        try:
            _write_through(draft, "wb", self._to_bytes())
            draft.replace(path)
        except OSError as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise cannot_write("the manifest", path, error) from error

    def write_over(self, path: Path) -> None:
        """Writes run.json over itself, which a full disk allows: without indentation it is shorter than it was.

        Raises:
            SinkError: If it is longer all the same, or cannot be written.
        """
        data = self._to_bytes(indent=None)
        try:
            if len(data) > path.stat().st_size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            _write_through(path, "r+b", data)
        except OSError as error:
            raise cannot_write("the manifest", path, error) from error

    def _to_bytes(self, indent: int | None = 2) -> bytes:
        self.written = datetime.now(UTC)
        return json.dumps(self.to_record(), ensure_ascii=False, indent=indent).encode() + b"\n"


def vidan_version() -> str:
    """Version of the installed package; "unknown" where the source tree runs without being installed."""
    return _version("vidan") or "unknown"


def environment() -> dict[str, Any]:
    """Python, machine and the packages that numbers can depend on, none of them imported for it."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def hash_text(text: str) -> str:
    """SHA-256 of a text in UTF-8 as 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def hash_files(paths: Iterable[Path]) -> str:
    """One SHA-256 of the names and bytes of many files in their order: that of what `sha256sum` prints in their folder.

    Raises:
        OSError: If one of them cannot be read.
    """
    return hash_text("".join(f"{file_sha256(path)}  {path.name}\n" for path in paths))


def _write_through(path: Path, mode: Literal["wb", "r+b"], data: bytes) -> None:
    """Writes the whole content of a file, and waits until the disk has it."""
    with path.open(mode) as file:
        file.write(data)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
