"""From a picture that is decoded to its events in the log: what that takes beyond the network's own time.

    python benchmarks/live/overhead.py --seconds 60 --cameras 1 4 8

A picture's overhead is the time from the end of its decoding until all sinks were told of it, less the duration of the
detector's call that it was in: waiting in the queue and for the batch, tracking, rules, the log and the other outputs.
The servers run on this machine, too, and encode with its cores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cameras import KINDS, cameras, config_of

from vidan.detector import Detections, ImageLike, YoloDetector
from vidan.pipeline.build import build_detector
from vidan.pipeline.control import Control
from vidan.pipeline.frame import Frame, FrameResult
from vidan.pipeline.job import Prepared, open_streams, read_config, run_job

WARM_UP_FRAMES = 50


class TimedDetector:
    """A detector that remembers how long its call for each picture took."""

    def __init__(self, detector: YoloDetector) -> None:
        self._detector = detector
        self.class_names = detector.class_names
        self.seconds: dict[tuple[str, int], float] = {}

    def describe(self) -> dict[str, Any]:
        return self._detector.describe()

    def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
        began = time.monotonic()
        found = self._detector.detect(images)
        took = time.monotonic() - began
        frames = [image for image in images if isinstance(image, Frame)]
        self.seconds |= {(frame.stamp.stream, frame.stamp.index): took for frame in frames}
        return found


class Probe:
    """The last sink of all: when it is told of a picture, the others have been."""

    def __init__(self, detector: TimedDetector) -> None:
        self._detector = detector
        self.overheads: list[float] = []
        self.inferences: list[float] = []

    def write(self, result: FrameResult) -> None:
        frame = result.frame
        inference = self._detector.seconds.pop((frame.stamp.stream, frame.stamp.index), None)
        if inference is not None:
            self.overheads.append(time.monotonic() - frame.arrived - inference)
            self.inferences.append(inference)

    def close(self) -> None:
        pass


def measure(count: int, seconds: float, image_size: int) -> Probe:
    with tempfile.TemporaryDirectory() as folder, cameras(KINDS[:count]) as servers:
        path = Path(folder) / "overhead.yaml"
        path.write_text(
            config_of([server.url for server in servers], Path(folder) / "run", image_size=image_size, batch=8)
        )
        loaded = read_config(path)
        detector = TimedDetector(build_detector(loaded.config.detector))
        probe = Probe(detector)
        until = time.monotonic() + seconds
        prepared = Prepared(open_streams(loaded.config), detector, {})
        run_job(
            loaded,
            prepared=prepared,
            control=Control(lambda: time.monotonic() > until),
            observers=[lambda records: probe],
        )
    return probe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--image-size", type=int, default=160)
    options = parser.parse_args()
    print("cameras  frames  inference p50   overhead p50   p95")
    for count in options.cameras:
        probe = measure(count, options.seconds, options.image_size)
        overheads = np.array(probe.overheads[WARM_UP_FRAMES:]) * 1000
        inference = np.median(probe.inferences[WARM_UP_FRAMES:]) * 1000
        p50, p95 = np.percentile(overheads, [50, 95])
        print(f"{count:7}  {len(overheads):6}  {inference:10.1f} ms  {p50:10.1f} ms  {p95:6.1f} ms", flush=True)


if __name__ == "__main__":
    main()
