"""How wrong counts are from detections to numbers: vidan beside supervision, on the same detections.

    python benchmarks/counting.py ../shared/tracking

The folder holds MOT Challenge sequences (``mot15/NAME/det/det.txt``) and, for some of them, lines and zones with the
counts of the annotated tracks (``counts/NAME.json``). Each side tracks the detections with its own ByteTrack and counts
with its own lines and zones, with default settings and bottom-centre anchors: vidan as `vidan run` does, supervision
as its documentation shows. The error is the sum of |counted - true| over lines and directions (over zones, entries and
exits), as a share of the true counts.

supervision is installed from PyPI into an environment of its own below ~/.cache; vidan never imports it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import venv
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from vidan.detector import Detections
from vidan.pipeline.build import lane_maker
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.frame import Frame, Stamp
from vidan.pipeline.telemetry import StageTimes

SUPERVISION = "supervision==0.27.0"  # the last release with a ByteTrack that is not deprecated
ENVIRONMENT = Path.home() / ".cache" / "vidan" / "benchmarks" / SUPERVISION
LOWEST_SCORE = 0.1  # what a detector hands to the tracker

Job: TypeAlias = dict[str, Any]
"""A file of `counts/`, and `detections`: the path of det.txt."""

Counts: TypeAlias = dict[str, tuple[int, int]]
"""(in, out) per line, (entries, exits) per zone; one that is missing has counted nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="sequences and true counts")
    jobs = read_jobs(parser.parse_args().folder)
    counters: dict[str, Callable[[Job], Counts]] = {"vidan": count_with_vidan, "supervision": count_with_supervision}
    wrong: Counter[tuple[str, str]] = Counter()
    print(f"{'':22}{'true':>12}" + "".join(f"{name:>14}" for name in counters))
    for job in jobs:
        found = {name: count(job) for name, count in counters.items()}
        for shape, (first, second) in true_counts(job).items():
            kind = "zones" if shape in {zone["name"] for zone in job["zones"]} else "lines"
            wrong[kind, "true"] += first + second
            row = f"{job['sequence']} {shape}".ljust(22) + f"{first}+{second}".rjust(12)
            for name, counts in found.items():
                ours = counts.get(shape, (0, 0))
                wrong[kind, name] += abs(ours[0] - first) + abs(ours[1] - second)
                row += f"{ours[0]}+{ours[1]}".rjust(14)
            print(row)
    for kind in ("lines", "zones"):
        errors = (f"{wrong[kind, name] / wrong[kind, 'true']:.1%}" for name in counters)
        print(
            f"wrong, {kind}".ljust(22)
            + f"{wrong[kind, 'true']}".rjust(12)
            + "".join(error.rjust(14) for error in errors)
        )


def read_jobs(folder: Path) -> list[Job]:
    """The sequences whose counts are known."""
    jobs = []
    for path in sorted((folder / "counts").glob("*.json")):
        job = json.loads(path.read_text(encoding="utf-8"))
        (detections,) = folder.glob(f"*/{job['sequence']}/det/det.txt")
        jobs.append({**job, "detections": str(detections)})
    return jobs


def true_counts(job: Job) -> Counts:
    lines = {line["name"]: (line["gt_in"], line["gt_out"]) for line in job["lines"]}
    return lines | {zone["name"]: (zone["entries"], zone["exits"]) for zone in job["zones"]}


def count_with_vidan(job: Job) -> Counts:
    lines = {line["name"]: {"type": "line", "points": [line["a"], line["b"]]} for line in job["lines"]}
    zones = {zone["name"]: {"type": "zone", "polygon": zone["polygon"]} for zone in job["zones"]}
    stream = {"name": "stream", "source": "unused.mp4"}
    config = RunConfig.model_validate({"streams": [stream], "rules": lines | zones})
    frames = [_frame(job, index) for index in range(job["frames"])]
    lane = lane_maker(config, ["person"], StageTimes())(frames[0])
    found = _read_detections(job)
    results = [lane.step(frame, found[frame.stamp.index]) for frame in frames]
    results.append(lane.finish(results.pop()))
    return _count_events(event for result in results for event in result.events)


def count_with_supervision(job: Job) -> Counts:
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", SUPERVISION], check=True)
    script = Path(__file__).with_name("counting_supervision.py")
    job = {**job, "lowest_score": LOWEST_SCORE}
    done = subprocess.run([python, script], input=json.dumps(job), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"supervision failed:\n{done.stderr}")
    return {shape: (first, second) for shape, (first, second) in json.loads(done.stdout).items()}


def _frame(job: Job, index: int) -> Frame:
    """A frame without pixels: nobody looks at them."""
    stamp = Stamp("stream", index, index / job["fps"])
    return Frame(stamp, job["height"], job["width"], lambda: np.zeros((job["height"], job["width"], 3), np.uint8))


def _read_detections(job: Job) -> list[Detections]:
    """Of each frame, those with at least `LOWEST_SCORE`."""
    rows = np.loadtxt(job["detections"], delimiter=",", ndmin=2)
    rows = rows[rows[:, 6] >= LOWEST_SCORE]
    frames = []
    for number in range(1, job["frames"] + 1):
        own = rows[rows[:, 0] == number]
        xyxy = np.hstack([own[:, 2:4], own[:, 2:4] + own[:, 4:6]]).astype(np.float32)
        frames.append(Detections(xyxy, own[:, 6].astype(np.float32), np.zeros(len(own), np.int64)))
    return frames


def _count_events(events: Iterable[Event]) -> Counts:
    firsts, seconds = Counter[str](), Counter[str]()
    for event in events:
        if event.kind is EventKind.ZONE_ENTERED or event.details.get("direction") == "in":
            firsts[event.rule] += 1
        elif event.kind is EventKind.ZONE_LEFT or event.details.get("direction") == "out":
            seconds[event.rule] += 1
    return {rule: (firsts[rule], seconds[rule]) for rule in firsts | seconds}


if __name__ == "__main__":
    main()
