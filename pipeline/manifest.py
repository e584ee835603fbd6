"""run.json: what was run on what, how far it came, and what of it is missing."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self
from uuid import uuid4

from vidan.pipeline.errors import cannot_write
from vidan.pipeline.events import format_utc
from vidan.pipeline.provenance import SEMANTICS_VERSION, environment, vidan_version
from vidan.pipeline.stages import DeliveryHealth
from vidan.pipeline.stream_record import StreamRecord


class RunStatus(StrEnum):
    RUNNING = "running"
    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


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


def _write_through(path: Path, mode: Literal["wb", "r+b"], data: bytes) -> None:
    """Writes the whole content of a file, and waits until the disk has it."""
    with path.open(mode) as file:
        file.write(data)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
