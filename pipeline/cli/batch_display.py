"""What a batch shows: its plan, its progress on a terminal or as JSON lines, its counts at the end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vidan.pipeline.batch.estimate import Estimate
from vidan.pipeline.batch.plan import FileStatus, Plan, PlannedCamera
from vidan.pipeline.batch.progress import Progress
from vidan.pipeline.batch.results import Results
from vidan.pipeline.cli.console import show

LINE_SECONDS = 2.0
"""Between two JSON lines of progress."""


@contextmanager
def display(kind: str) -> Iterator[Callable[[Progress], None]]:
    """Within, gives who is to be told how far a batch is; `kind` is auto, bars, json or none."""
    if kind == "json":
        yield _JsonLines()
    elif kind == "bars" or (kind == "auto" and sys.stderr.isatty()):
        with Live(console=Console(stderr=True), refresh_per_second=4) as live:
            yield lambda progress: live.update(_picture(progress))
    else:
        yield lambda progress: None


class _JsonLines:
    """Writes a line of JSON on stderr every few seconds, and whenever something has failed."""

    def __init__(self) -> None:
        self._next = 0.0
        self._failures = 0

    def __call__(self, progress: Progress) -> None:
        if time.monotonic() < self._next and len(progress.failures) == self._failures:
            return
        self._next, self._failures = time.monotonic() + LINE_SECONDS, len(progress.failures)
        record = asdict(progress) | {
            "frames_per_second": round(progress.frames_per_second, 2),
            "seconds": round(progress.seconds, 1),
            "eta_seconds": None if progress.eta_seconds is None else round(progress.eta_seconds, 1),
        }
        sys.stderr.write(json.dumps(record, ensure_ascii=False) + "\n")
        sys.stderr.flush()


def print_plan(plan: Plan, estimate: Estimate, *, as_json: bool) -> None:
    """Prints what a batch would do."""
    if as_json:
        record = {"cameras": [_camera_record(camera) for camera in plan.cameras], "estimate": asdict(estimate)}
        record["left_out"] = [{"path": left.shown, "reason": left.reason} for left in plan.left_out]
        sys.stdout.write(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        return
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    zone = plan.settings.zone or UTC
    for title in ("camera", "recordings", "hours", f"from ({zone})", "to", "to detect", "counts"):
        table.add_column(title, justify="right" if title in ("recordings", "hours", "to detect") else "left")
    for camera in plan.cameras:
        starts = [file.placed.start.astimezone(zone) for file in camera.files if file.placed.start is not None]
        seconds = sum(file.placed.probed.seconds or 0.0 for file in camera.files)
        new = sum(file.status in (FileStatus.NEW, FileStatus.PARTLY) for file in camera.files)
        first, last = (f"{min(starts):%Y-%m-%d %H:%M}", f"{max(starts):%Y-%m-%d %H:%M}") if starts else ("?", "?")
        table.add_row(
            camera.name, str(len(camera.files)), f"{seconds / 3600:.2f}", first, last, str(new), what_to_count(camera)
        )
    show([table, *_notes(plan), "", *_estimated(estimate)])


def print_results(results: Results) -> None:
    """Prints what was counted, and where everything is."""
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    for title in ("camera", "rule", "", "count", "of these"):
        table.add_column(title, justify="right" if title == "count" else "left")
    rows: dict[tuple[str, str, str], list[tuple[str, int | None]]] = {}
    for tally in results.tallies:
        rows.setdefault((tally.camera, tally.rule, tally.direction), []).append((tally.label, tally.count))
    for (camera, rule, direction), counts in rows.items():
        known = [number for _, number in counts if number is not None]
        classes = ", ".join(f"{label} {number}" for label, number in counts if number)
        table.add_row(camera, Text(rule), Text(direction), str(sum(known)) if known else "missing", Text(classes))
    record = results.to_record()
    files = record["files"]
    before = f", {files['detected_before']} of them before" if files["detected_before"] else ""
    lines = [
        "",
        f"{record['status']}: {files['detected']} of {files['all']} recordings detected{before}; "
        f"{len(record['failures'])} failed",
        "",
    ]
    names = {
        "report.html": "report", "counts.csv": "counts", "events.jsonl": "events", "tracks": "tracks",
        "cameras": "each camera", "batch.json": "account",
    }  # fmt: skip
    there = [(what, results.folder / name) for name, what in names.items() if (results.folder / name).exists()]
    show([*([table] if rows else []), *lines, *(f"{what:<16}{_short(path)}" for what, path in there)])


def what_to_count(camera: PlannedCamera) -> str:
    """Whether a camera's results stay, and if not, why."""
    new = any(file.status in (FileStatus.NEW, FileStatus.PARTLY) for file in camera.files)
    if camera.counted:
        return "are there"
    if camera.counted is None:
        return "new"
    return "again: recordings are new" if new else "again: rules, tracker or outputs changed"


def _camera_record(camera: PlannedCamera) -> dict[str, object]:
    return {
        "name": camera.name,
        "counts": what_to_count(camera),
        "recordings": [
            {
                "path": file.clip.shown,
                "start": file.placed.start and file.placed.start.isoformat(),
                "seconds": file.placed.probed.seconds,
                "status": file.status.value,
                "reason": file.reason,
            }
            for file in camera.files
        ],
        "problems": list(camera.timeline.problems),
    }


def _notes(plan: Plan) -> Iterator[str]:
    yield ""
    for camera in plan.cameras:
        for gap in camera.timeline.gaps[:5]:
            yield f"{camera.name}: {gap.seconds:.1f} s were not recorded before {gap.after.name}"
        if len(camera.timeline.gaps) > 5:
            yield f"{camera.name}: and {len(camera.timeline.gaps) - 5} more gaps"
        yield from (f"{camera.name}: {problem}" for problem in camera.timeline.problems)
        for file in camera.files:
            if file.reason is not None:
                yield f"{camera.name}: {file.clip.place.name}: {file.reason.replace(f'{file.clip.shown} ', '')}"
    yield from (f"{left.shown}: {left.reason}" for left in plan.left_out)


def _estimated(estimate: Estimate) -> Iterator[str]:
    if not estimate.pictures:
        yield "everything is detected"
        return
    yield f"{estimate.pictures} pictures are to be detected, by {estimate.workers} processes"
    if estimate.seconds is not None:
        yield (
            f"that takes about {_clock(estimate.seconds)}: one process detects {estimate.frames_per_second:.1f} of the "
            f"first recording's pictures a second (tried with {estimate.tried})"
        )


def _picture(progress: Progress) -> RenderableType:
    eta = "?" if progress.eta_seconds is None else _clock(progress.eta_seconds)
    facts = Table.grid(padding=(0, 2))
    facts.add_row(
        ProgressBar(total=max(1, progress.expected), completed=progress.pictures, width=40),
        f"{progress.pictures}/{progress.expected} pictures",
        f"{progress.frames_per_second:.1f} frames/s",
        f"{eta} left",
    )
    lines = [
        Text(f"{progress.files}/{progress.all_files} recordings, {progress.cameras}/{progress.all_cameras} cameras"),
        Text("workers: " + " ".join(str(pictures) for pictures in progress.workers)),
        *(Text(failure, style="red") for failure in progress.failures[-5:]),
    ]
    return Group(facts, *lines)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
