"""A run on a made-up camera, in a process of its own, that others may kill: `python walker_run.py CONFIG [--resume]`.

The camera shows 50 pictures a second, by the clock on the wall, of a red box that walks across them again and again;
the detector finds what is red. All the rest is as `vidan run` does it; streams that are no files are opened as it does.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from vidan.detector import Detections, ImageLike
from vidan.pipeline.build_sources import build_source
from vidan.pipeline.cli.main import main
from vidan.pipeline.config.streams import StreamConfig
from vidan.pipeline.frame import Frame, Stamp
from vidan.pipeline.stages import Source, SourceHealth

HEIGHT, WIDTH, SPEED = 48, 96, 120.0


class Camera:
    live = True
    height, width, start_time = HEIGHT, WIDTH, datetime(2026, 5, 1, tzinfo=UTC)

    def __init__(self, name: str) -> None:
        self.name = name
        self.health = SourceHealth()
        self._closed = threading.Event()

    def describe(self) -> dict[str, Any]:
        return {"type": "walker", "width": WIDTH, "height": HEIGHT, "files": []}

    def __iter__(self) -> Iterator[Frame]:
        began, index = datetime.now(UTC), 0
        while not self._closed.wait(0.02):
            now = datetime.now(UTC)
            picture = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
            left = int(now.timestamp() * SPEED % (WIDTH + 60)) - 30
            picture[10:40, max(0, left) : max(0, left + 12), 0] = 250
            self.health.decoded += 1
            yield Frame.from_array(Stamp(self.name, index, (now - began).total_seconds(), now), picture)
            index += 1

    def close(self) -> None:
        self._closed.set()


class RedDetector:
    class_names = ("thing",)
    image_size = (HEIGHT, WIDTH)

    def describe(self) -> dict[str, Any]:
        return {"model": "red", "classes": list(self.class_names), "image_size": list(self.image_size)}

    def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
        return [
            self._detect(image if isinstance(image, np.ndarray) else image.resized(HEIGHT, WIDTH)) for image in images
        ]

    def _detect(self, picture: np.ndarray) -> Detections:
        columns = np.flatnonzero((picture[:, :, 0] > 200).any(axis=0))
        if len(columns) < 4:
            return Detections.empty()
        box = np.array([[columns[0], 10, columns[-1] + 1, 40]], np.float32)
        return Detections(box, np.array([0.9], np.float32), np.zeros(1, np.int64))


def open_source(wanted: StreamConfig) -> Source:
    return Camera(wanted.name) if wanted.source.type == "video" else build_source(wanted)


if __name__ == "__main__":
    config, *options = sys.argv[1:]
    with (
        mock.patch("vidan.pipeline.job.build_source", open_source),
        mock.patch("vidan.pipeline.job.build_detector", return_value=RedDetector()),
        mock.patch("vidan.pipeline.job.find_weights", return_value=(Path(), mock.Mock(classes=("thing",)))),
    ):
        sys.exit(main(["run", config, *options]))
