"""How far a batch is, how fast it goes, and what has failed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from vidan.pipeline.batch.plan import FileStatus, Plan, PlannedFile


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch is.

    Attributes:
        pictures: Done so far, those of earlier batches included.
        expected: In all recordings, as far as their headers tell.
        frames_per_second: Of this batch, over the last half minute.
        workers: Pictures done so far by each.
        files: Recordings that are done.
        all_files: Of them.
        cameras: Counted.
        all_cameras: Of them.
        failures: What has failed so far, in sentences.
        seconds: Since the beginning.
        eta_seconds: Until everything is detected; None: nobody knows.
    """

    pictures: int
    expected: int
    frames_per_second: float
    workers: tuple[int, ...]
    files: int
    all_files: int
    cameras: int
    all_cameras: int
    failures: tuple[str, ...]
    seconds: float
    eta_seconds: float | None


@dataclass(slots=True)
class Pace:
    """Pictures per second over the last half minute, and what follows from them."""

    began: float = field(default_factory=time.monotonic)
    marks: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def note(self, pictures: int) -> None:
        self.marks.append((time.monotonic(), pictures))
        while len(self.marks) > 2 and self.marks[-1][0] - self.marks[0][0] > 30:
            self.marks.popleft()

    @property
    def per_second(self) -> float:
        (start, first), (end, last) = self.marks[0], self.marks[-1]
        return (last - first) / (end - start) if end > start else 0.0

    def progress(self, plan: Plan, workers: Sequence[int], cameras: int) -> Progress:
        """How far a batch is now.

        Args:
            plan: What there is to do.
            workers: Pictures that each has done.
            cameras: How many are counted.
        """
        done = sum(workers)
        self.note(done)
        files = plan.files
        there = sum(_pictures_there(file) for file in files)
        expected = sum(file.placed.probed.pictures or 0 for file in files if file.status is not FileStatus.FAILED)
        speed = self.per_second
        settled = {FileStatus.DETECTED, FileStatus.FAILED, FileStatus.DUPLICATE}
        return Progress(
            pictures=min(expected, there + done),
            expected=expected,
            frames_per_second=speed,
            workers=tuple(workers),
            files=sum(file.status in settled for file in files),
            all_files=len(files),
            cameras=cameras,
            all_cameras=len(plan.cameras),
            failures=failures_of(plan),
            seconds=self.seconds,
            eta_seconds=max(0, expected - there - done) / speed if speed else None,
        )


def failures_of(plan: Plan) -> tuple[str, ...]:
    """Everything that went wrong, in sentences."""
    left_out = [f"{left.shown}: {left.reason}" for left in plan.left_out]
    failed = [(file.clip.shown, file.reason or "") for file in plan.files if file.status is FileStatus.FAILED]
    files = [reason if path in reason else f"{path}: {reason}" for path, reason in failed]
    cameras = [f"camera {camera.name}: {camera.problem}" for camera in plan.cameras if camera.problem]
    return (*left_out, *files, *cameras)


def _pictures_there(file: PlannedFile) -> int:
    return (file.placed.probed.pictures or 0) if file.was_there else file.pictures_there
