"""How well the stages of a run overlap, and what that is worth against a plain loop.

    python benchmarks/pipeline.py configs/campus.yaml

Measured on the first stream of the config:

1. each stage alone, on the same frames: CPU seconds of all threads of this process;
2. the run, annotated video included: seconds on the clock, from the first frame to the written report;
3. a plain loop over the same weights: decode, eager PyTorch, track, draw, encode, one frame after the other.

Run and loop are repeated, and the fastest of each counts: whatever else the machine does only makes them slower. Two
ratios come out: run / (sum of the stages / cores), and run / loop.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import torch

from vidan.detector import Detections, Detector, ImageLike, Letterbox, load_model
from vidan.detector.nms import NmsOptions, suppress_tensor
from vidan.pipeline.build import build_detector, find_weights, lane_maker
from vidan.pipeline.build_painters import Painters
from vidan.pipeline.build_sources import build_source
from vidan.pipeline.config.load import Loaded
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.config.tracking import DetectorConfig
from vidan.pipeline.frame import FrameResult
from vidan.pipeline.job import read_config, run_job
from vidan.pipeline.sinks.video import AnnotatedVideoSink
from vidan.pipeline.telemetry import StageTimes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="a run config; its first stream is used")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="times that run and loop are measured")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()

    loaded = read_config(options.config)
    loaded = replace(loaded, config=loaded.config.model_copy(update={"streams": loaded.config.streams[:1]}))
    cores = os.cpu_count() or 1
    stages = measure_stages(loaded.config)
    frames, run_seconds = min(measure_run(loaded) for _ in range(options.repeat))
    loops = {
        "plain loop": PlainDetector(loaded.config.detector),
        "tuned loop": build_detector(loaded.config.detector.model_copy(update={"runtime": "torch"})),
    }
    loop_seconds = {
        name: min(measure_loop(loaded.config, detector) for _ in range(options.repeat))
        for name, detector in loops.items()
    }
    ideal_seconds = sum(stages.values()) / cores
    if options.json:
        figures = {"frames": frames, "cores": cores, "stages": stages, "run": run_seconds, "loops": loop_seconds}
        ratios = {
            "run_to_ideal": run_seconds / ideal_seconds,
            "run_to_loop": {name: run_seconds / seconds for name, seconds in loop_seconds.items()},
        }
        sys.stdout.write(json.dumps(figures | ratios, indent=2) + "\n")
        return
    for name, seconds in stages.items():
        sys.stdout.write(f"{name:<14}{seconds:7.2f} s CPU {1000 * seconds / frames:8.2f} ms/frame\n")
    for name, seconds in {"stages / cores": ideal_seconds, "run": run_seconds, **loop_seconds}.items():
        sys.stdout.write(f"{name:<14}{seconds:7.2f} s     {frames / seconds:8.1f} frames/s\n")
    sys.stdout.write(f"run / (stages / {cores} cores) = {run_seconds / ideal_seconds:.2f}\n")
    for name, seconds in loop_seconds.items():
        sys.stdout.write(f"run / {name} = {run_seconds / seconds:.2f}\n")


def measure_stages(config: RunConfig) -> dict[str, float]:
    """CPU seconds of each stage by itself."""
    name = config.streams[0].name
    seconds: dict[str, float] = {}

    @contextmanager
    def spending(stage: str) -> Iterator[None]:
        began = time.process_time()
        yield
        seconds[stage] = time.process_time() - began

    with spending("decode"):  # to RGB, which detecting and drawing share
        source = build_source(config.streams[0])
        frames = [frame for frame in source if frame.image.size]
        source.close()
    detector, size = build_detector(config.detector), config.detector.batch
    with spending("detect"):
        found = [one for i in range(0, len(frames), size) for one in detector.detect(frames[i : i + size])]
    lane = lane_maker(config, detector.class_names, StageTimes())(frames[0])
    with spending("track + rules"):
        results = [lane.step(frame, detections) for frame, detections in zip(frames, found, strict=True)]
        lane.finish(results[-1])
    with tempfile.TemporaryDirectory() as folder:
        make_annotator = partial(Painters(config, detector.class_names).annotator, name)
        sink = AnnotatedVideoSink(Path(folder) / "a.mp4", stream=name, make_annotator=make_annotator)
        for result in results:
            sink.write(result)
        sink.close()
    return seconds | dict(sink.stage_seconds)


def measure_run(loaded: Loaded[RunConfig]) -> tuple[int, float]:
    """Frames, and seconds on the clock, of the run as `vidan run` does it; loading the network is not in it."""
    with tempfile.TemporaryDirectory() as folder:
        output = loaded.config.output.model_copy(update={"folder": folder})
        manifest = run_job(replace(loaded, config=loaded.config.model_copy(update={"output": output}))).manifest
    assert manifest.ended is not None
    return manifest.streams[0].analysed, (manifest.ended - manifest.started).total_seconds()


class PlainDetector:
    """PyTorch as one would write it first: the network as loaded, fp32, one picture at a time, all cores."""

    def __init__(self, config: DetectorConfig) -> None:
        self._model, card = load_model(find_weights(config)[0])
        self._image_size = card.image_size
        self._options = NmsOptions(
            confidence=config.confidence, iou=config.nms_iou, max_detections=config.max_detections
        )
        self.class_names = card.classes

    @torch.inference_mode()
    def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
        found = []
        for image in images:
            size = image.shape[:2] if isinstance(image, np.ndarray) else (image.height, image.width)
            letterbox = Letterbox.fit(size, self._image_size)
            picture = torch.from_numpy(letterbox.apply(image)).permute(2, 0, 1)[None].float() / 255
            survivors = suppress_tensor(self._model(picture)[0], self._options)
            found.append(Detections(letterbox.undo(survivors.xyxy), survivors.confidence, survivors.class_id))
        return found


def measure_loop(config: RunConfig, detector: Detector) -> float:
    """Seconds on the clock of the loop that one would write first, with all cores for PyTorch."""
    name = config.streams[0].name
    make_lane = lane_maker(config, detector.class_names, StageTimes())
    lane = annotator = None
    began = time.perf_counter()
    source = build_source(config.streams[0])
    with tempfile.TemporaryDirectory() as folder, av.open(f"{folder}/a.mp4", "w") as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "superfast", "crf": "26"})
        assert source.height is not None
        assert source.width is not None
        video.height, video.width = source.height - source.height % 2, source.width - source.width % 2
        video.codec_context.time_base = Fraction(1, 90_000)
        for frame in source:
            lane = lane or make_lane(frame)
            annotator = annotator or Painters(config, detector.class_names).annotator(name, frame.height, frame.width)
            result: FrameResult = lane.step(frame, detector.detect([frame])[0])
            picture = frame.image.copy()
            annotator.paint(picture, result)
            encoded = av.VideoFrame.from_ndarray(picture[: video.height, : video.width], format="rgb24")
            encoded.pts, encoded.time_base = round(frame.stamp.pts_seconds * 90_000), Fraction(1, 90_000)
            container.mux(video.encode(encoded))
        container.mux(video.encode(None))
    source.close()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
