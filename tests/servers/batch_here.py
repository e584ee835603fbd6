"""A batch in this process, and a detector that knows the drawn clip: processes and a network would take long."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np

from vidan.detector import Detections, ImageLike
from vidan.pipeline.batch.batch import run_batch
from vidan.pipeline.batch.plan import Plan, Settings, make_plan
from vidan.pipeline.batch.results import Results
from vidan.pipeline.batch.workers import Job, Share, do
from vidan.pipeline.frame import Frame
from vidan.pipeline.job import read_config


class RedAndBlue:
    """A detector that finds the two shapes of the drawn clip by their colours."""

    class_names = ("person",)

    def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
        return [self._find(image.resized(image.height, image.width)) for image in images if isinstance(image, Frame)]

    def describe(self) -> dict[str, object]:
        return {"model": "red and blue", "classes": ["person"], "kept_classes": None}

    @staticmethod
    def _find(image: np.ndarray) -> Detections:
        boxes = []
        for channel in (0, 2):
            others = np.delete(image.astype(np.int16), channel, axis=2).max(axis=2)
            rows, columns = np.nonzero(image[:, :, channel] > others + 60)
            if len(rows) > 20:
                boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        count = len(boxes)
        return Detections(
            np.array(boxes, np.float32).reshape(count, 4), np.full(count, 0.9, np.float32), np.zeros(count, np.int64)
        )


class Here:
    """Workers that do every job at once, in this process."""

    count = 1

    def __init__(self) -> None:
        self.frames: Sequence[int] = (0,)
        self.jobs: list[Job] = []
        self._frames = 0

    def submit(self, job: Job) -> Future[bool]:
        self.jobs.append(job)
        future: Future[bool] = Future()
        try:
            future.set_result(do(job, self._report, lambda: False))
        except Exception as error:
            future.set_exception(error)
        return future

    def stop(self) -> None:
        """There is nobody to stop."""

    def close(self) -> None:
        """There is nobody to end."""

    def _report(self, frames: int) -> None:
        self._frames += frames
        self.frames = (self._frames,)


def batch_here(config: Path, output: Path, *footage: str | Path, **settings: object) -> tuple[Plan, Here]:
    """Plans and runs a batch in this process."""
    options = {"part_seconds": 1.0} | settings
    plan = make_plan(read_config(config), Settings(tuple(map(str, footage)), output, **options))  # type: ignore[arg-type]
    output.mkdir(parents=True, exist_ok=True)
    workers = Here()
    results = Results(plan, Share(1, 1))
    with results.accounted(lambda: False):
        run_batch(plan, workers, threads=None)
    return plan, workers
