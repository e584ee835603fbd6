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
from vidan.pipeline.coverage import DropLedger, Drops, Gap, GapReason, merge, overlap
from vidan.pipeline.errors import cannot_write
from vidan.pipeline.events import format_utc
from vidan.pipeline.stages import SourceHealth

SEMANTICS_VERSION = "1"  # of the counting rules: it grows when the same tracks would give other events

TRIFLE_SECONDS = 0.5  # headers round: so much less than promised is no gap

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
        idle: Where pictures came and showed nothing (frozen, dark); known when the stream has ended.
        drops: When frames were delivered but not analysed (only live streams drop).
        second_look: What stitching did and how it changed the counts; None where tracks were not stitched.
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

    @property
    def dropped(self) -> int:
        """Frames delivered but not analysed."""
        return self.drops.frames

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """All time of the stream that was not seen, in order; gaps of different reasons may overlap."""
        gaps = [Gap(start, end, GapReason.MISSING) for start, end in self.health.gaps]
        gaps += [*self.drops.gaps, *self.idle]
        promised = self.health.duration_seconds or 0.0
        if promised - self.seconds > TRIFLE_SECONDS:
            gaps.append(Gap(self.seconds, promised, GapReason.UNREAD))
        return tuple(sorted(gaps))

    @property
    def seconds_observed(self) -> float:
        """Stream time that was seen."""
        return self.seconds - overlap(merge(gap[:2] for gap in self.gaps), 0.0, self.seconds)

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values; expected is null where the container promises no number."""
        health = self.health
        return {
            "name": self.name,
            "source": self.source,
            "height": self.height,
            "width": self.width,
            "start_utc": None if self.start_utc is None else format_utc(self.start_utc),
            "seconds": round(self.seconds, 6),
            "seconds_expected": health.duration_seconds,
            "seconds_observed": round(self.seconds_observed, 6),
            "frames": {
                "expected": health.expected,
                "decoded": health.decoded,
                "delivered": health.delivered,
                "analysed": self.analysed,
                "dropped": self.dropped,
                "corrupt": health.corrupt,
                "repaired_pts": health.repaired_pts,
            },
            "gaps": [gap.to_record() for gap in self.gaps],
            "drops": [[round(start, 6), round(end, 6), frames] for start, end, frames in self.drops.drops],
            "second_look": self.second_look,
            "problems": list(health.problems),
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
            gaps=[gap[:2] for gap in gaps if gap.reason is GapReason.MISSING],
        )
        return cls(
            **{key: record[key] for key in ("name", "source", "seconds", "height", "width")},
            health=health,
            analysed=frames["analysed"],
            start_utc=record["start_utc"] and datetime.fromisoformat(record["start_utc"]),
            idle=tuple(gap for gap in gaps if gap.reason in (GapReason.FROZEN, GapReason.DARK)),
            drops=DropLedger(
                (Drops(*drops) for drops in record["drops"]), (gap for gap in gaps if gap.reason is GapReason.DROPPED)
            ),
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
        database: Where events went besides the log, how many, and what went wrong with it.
        started: When the run began.
        ended: When it ended, None while it runs.
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
    database: Mapping[str, Any] | None = None
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: datetime | None = None

    def finish(self, status: RunStatus, error: str | None = None) -> None:
        """Sets how the run ended, and when: now."""
        self.status, self.error, self.ended = status, error, datetime.now(UTC)

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values in the order of run.json."""
        total = sum(self.stage_seconds.values())
        return {
            "run": self.run,
            "status": self.status.value,
            "error": self.error,
            "started": format_utc(self.started),
            "ended": None if self.ended is None else format_utc(self.ended),
            "vidan": vidan_version(),
            "semantics": SEMANTICS_VERSION,
            "replayed_from": self.replayed_from,
            "streams": [stream.to_record() for stream in self.streams],
            "stages": {
                name: {"seconds": round(seconds, 3), "share": round(seconds / total, 4) if total else 0.0}
                for name, seconds in self.stage_seconds.items()
            },
            "outputs": list(self.outputs),
            "database": self.database,
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
