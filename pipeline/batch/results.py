"""What a batch leaves behind besides its cameras' folders: batch.json, one table, one log and one report over all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from vidan.pipeline.batch.files import write_json
from vidan.pipeline.batch.plan import FileStatus, Plan, PlannedCamera, PlannedFile
from vidan.pipeline.batch.progress import failures_of
from vidan.pipeline.batch.remote_errors import shown_url
from vidan.pipeline.batch.report import write_batch_report
from vidan.pipeline.batch.tally import Tally, read_tallies
from vidan.pipeline.batch.timeline import Span
from vidan.pipeline.batch.workers import Share
from vidan.pipeline.errors import SinkError, cannot_write
from vidan.pipeline.events import format_utc
from vidan.pipeline.manifest import RunStatus
from vidan.pipeline.provenance import environment, vidan_version
from vidan.pipeline.run_folder import TRACK_PARTITIONS, RunFolder

RECORD = "batch.json"


class Results:
    """The account of a batch, and what is made of all cameras together.

    Args:
        plan: Of the batch; it knows how each recording and each camera fared.
        share: How the machine is divided.
    """

    def __init__(self, plan: Plan, share: Share) -> None:
        self.plan = plan
        self.folder = plan.settings.output
        self.tallies: list[Tally] = []
        self._share = share
        self._batch = uuid4().hex
        self._started = datetime.now(UTC)
        self._ended: datetime | None = None
        self._status = RunStatus.RUNNING
        self._error: str | None = None
        self._streams: dict[str, dict[str, Any]] = {}

    @contextmanager
    def accounted(self, stopped: Callable[[], bool]) -> Iterator[None]:
        """Keeps batch.json true, whatever happens; at the end everything over all cameras is made.

        Raises:
            SinkError: If something cannot be written.
        """
        self._write()
        try:
            yield
            self._gather()
            failed = bool(failures_of(self.plan))
            self._finish(RunStatus.INTERRUPTED if stopped() else RunStatus.FAILED if failed else RunStatus.COMPLETE)
            write_batch_report(self.folder / "report.html", self.to_record(), self.tallies)
        except BaseException as error:
            self._error = str(error) or type(error).__name__
            self._finish(RunStatus.INTERRUPTED if isinstance(error, KeyboardInterrupt) else RunStatus.FAILED)
            with suppress(SinkError):  # the first error is the one to tell
                self._write()
            raise
        self._write()

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values in the order of batch.json."""
        plan, settings = self.plan, self.plan.settings
        files = plan.files
        return {
            "batch": self._batch,
            "status": self._status.value,
            "error": self._error,
            "started": format_utc(self._started),
            "ended": None if self._ended is None else format_utc(self._ended),
            "vidan": vidan_version(),
            "config": str(plan.loaded.path),
            "config_sha256": plan.loaded.sha256,
            "weights_sha256": plan.weights_sha256,
            "footage": [shown_url(name) for name in settings.footage],
            "names": settings.names,
            "timezone": None if settings.zone is None else str(settings.zone),
            "part_seconds": settings.part_seconds,
            "join_seconds": settings.join_seconds,
            "workers": {"processes": self._share.workers, "threads": self._share.threads},
            "files": {
                "all": len(files),
                **{
                    status.value.replace(" ", "_"): sum(file.status is status for file in files)
                    for status in FileStatus
                },
                "detected_before": sum(file.was_there for file in files),
                "left_out": len(plan.left_out),
            },
            "failures": list(failures_of(plan)),
            "cameras": [self._camera(camera) for camera in plan.cameras],
            "counts": [tally.to_record() for tally in self.tallies],
            "environment": environment(),
        }

    def _camera(self, camera: PlannedCamera) -> dict[str, Any]:
        return {
            "name": camera.name,
            "folder": f"cameras/{camera.name}",
            "counted": None if camera.counted is None else "before" if camera.counted else "now",
            "problem": camera.problem,
            "stream": self._streams.get(camera.name),
            "gaps": [_span(gap) for gap in camera.timeline.gaps],
            "overlaps": [_span(overlap) for overlap in camera.timeline.overlaps],
            "problems": list(camera.timeline.problems),
            "recordings": [_file(file) for file in camera.files],
        }

    def _gather(self) -> None:
        """Makes of all cameras what stands beside their folders."""
        cameras = [RunFolder(self.plan.folder_of(camera)) for camera in self.plan.cameras]
        cameras = [folder for folder in cameras if folder.manifest.is_file()]
        for folder in cameras:
            self.tallies += read_tallies(folder.counts, self.plan.settings.zone)
            record = json.loads(folder.manifest.read_text(encoding="utf-8"))
            self._streams[folder.path.name] = record["streams"][0]
        try:
            _concatenate([folder.events for folder in cameras], self.folder / "events.jsonl")
            _concatenate([folder.counts for folder in cameras], self.folder / "counts.csv", heads=1)
            _link_tracks(cameras, self.folder / TRACK_PARTITIONS)
        except OSError as error:
            raise cannot_write("what is over all cameras", self.folder, error) from error

    def _finish(self, status: RunStatus) -> None:
        self._status, self._ended = status, datetime.now(UTC)

    def _write(self) -> None:
        write_json(self.folder / RECORD, self.to_record())


def _concatenate(sources: list[Path], target: Path, heads: int = 0) -> None:
    """One file of many; the first `heads` lines of all but the first are left out."""
    draft = target.with_name(f"{target.name}.tmp")
    with draft.open("wb") as out:
        for number, source in enumerate(sources):
            with source.open("rb") as file:
                for _ in range(heads if number else 0):
                    file.readline()
                shutil.copyfileobj(file, out)
    draft.replace(target)


def _link_tracks(cameras: list[RunFolder], target: Path) -> None:
    """One folder of all tracks, by camera and day: links, so that they are on the disk once, or copies."""
    draft = target.with_name(f"{target.name}.tmp")
    shutil.rmtree(draft, ignore_errors=True)
    for folder in cameras:
        for file in sorted(folder.track_partitions.glob("source=*/day=*/part-*.parquet")):
            place = draft / file.relative_to(folder.track_partitions)
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(file, place)
            except OSError:
                shutil.copyfile(file, place)
    shutil.rmtree(target, ignore_errors=True)
    if draft.is_dir():
        draft.rename(target)


def _file(file: PlannedFile) -> dict[str, Any]:
    start = file.placed.start
    return {
        "path": file.clip.shown,
        "status": file.status.value,
        "reason": file.reason,
        "sha256": file.sha256,
        "start": None if start is None else format_utc(start),
        "seconds": file.placed.probed.seconds,
        "pictures": file.placed.probed.pictures,
        "detected_before": file.was_there,
        "detections": None if file.folder is None else f"detections/{file.folder.name}",
    }


def _span(span: Span) -> dict[str, Any]:
    return {"before": str(span.before), "after": str(span.after), "seconds": round(span.seconds, 3)}
