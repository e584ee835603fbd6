"""Runs one tracker over clips and says what it answered and how long that took. Needs only NumPy and the tracker.

    python worker.py ADAPTER.py TRACKER INPUT.npz OUTPUT.npz [--repeat N] [--seconds S]

It is started in the environment of the tracker. An adapter is a file with

- `REQUIREMENTS`: what pip must install for it; empty for vidan, which runs in the environment of the benchmark;
- `TRACKERS`: the names of its trackers, each with a class of this shape:

    tracker = SomeTracker(fps, (width, height))       imports its package only here
    wrapped = tracker.wrap(xyxy, confidence, seconds) the detections in the form that the package wants; not timed
    answer = tracker.update(wrapped)                  timed
    ids, xyxy = tracker.unwrap(answer)                (N,) and (N, 4); not timed

Every clip is run from a fresh tracker, `repeat` times; of every frame the fastest time counts, so that what else the
machine does shows little. A run ends after `--seconds`, and there is no further one when they are spent: the frames
done by then are what is timed.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("tracker")
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="runs per clip")
    parser.add_argument("--seconds", type=float, default=float("inf"), metavar="S", help="of updates per clip")
    options = parser.parse_args()

    make_tracker = load_adapter(options.adapter).TRACKERS[options.tracker]
    clips = np.load(options.input)
    answers: dict[str, Any] = {}
    for name in dict.fromkeys(key.split("/")[0] for key in clips.files):
        runs, spent = [], 0.0
        while len(runs) < options.repeat and spent < options.seconds:
            runs.append(run_clip(make_tracker, clips, name, options.seconds))
            spent += float(np.sum(runs[-1]["seconds"]))
        shortest = min(len(run["seconds"]) for run in runs)
        seconds = np.min([run["seconds"][:shortest] for run in runs], axis=0)
        answers |= {f"{name}/{key}": value for key, value in (runs[0] | {"seconds": seconds}).items()}
    np.savez(options.output, **answers)


def load_adapter(path: Path) -> ModuleType:
    """The adapter file as a module."""
    spec = importlib.util.spec_from_file_location(f"adapter_{path.stem}", path)
    if spec is None or spec.loader is None:
        sys.exit(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_clip(make_tracker: Any, clips: Any, name: str, most_seconds: float) -> dict[str, np.ndarray]:
    """Answers of a fresh tracker (frame, id, xyxy by row) and the seconds of every update."""
    fps, frame_count, width, height = clips[f"{name}/facts"].tolist()
    bounds, xyxy, confidence = (clips[f"{name}/{key}"] for key in ("bounds", "xyxy", "confidence"))
    tracker = make_tracker(fps, (int(width), int(height)))
    frames, ids, boxes, seconds = [], [], [], []
    for index in range(int(frame_count)):
        rows = slice(bounds[index], bounds[index + 1])
        wrapped = tracker.wrap(xyxy[rows], confidence[rows], index / fps)
        began = time.perf_counter()
        answer = tracker.update(wrapped)
        seconds.append(time.perf_counter() - began)
        track_ids, track_xyxy = tracker.unwrap(answer)
        frames.append(np.full(len(track_ids), index + 1, np.int64))
        ids.append(np.asarray(track_ids, np.int64).reshape(-1))
        boxes.append(np.asarray(track_xyxy, np.float64).reshape(-1, 4))
        if sum(seconds) > most_seconds:
            break
    return {
        "frame": np.concatenate(frames),
        "id": np.concatenate(ids),
        "xyxy": np.concatenate(boxes),
        "seconds": np.array(seconds),
    }


if __name__ == "__main__":
    main()
