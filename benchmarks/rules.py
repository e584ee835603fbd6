"""How many track-updates a second the rules take, and how long an hour of stored tracks takes to be counted again.

    python benchmarks/rules.py
    python benchmarks/rules.py --replay

Tracks walk from one random place to the next through a picture of 1920x1080, at the pace of pedestrians, and are
replaced when they have arrived; 10 lines and 10 zones lie where they walk. One track-update is one track in one frame,
shown to all 20 rules. `--replay` writes the folder of a run of an hour with 25 frames a second first, and then lets
`vidan replay` count it again, with everything that it writes: logs, database, tables and report. Seconds are those of
the cores that the process used, so other work on the machine matters little.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from vidan.detector import Detections
from vidan.pipeline.build_rules import RuleBuilder
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.engine.judge import judge
from vidan.pipeline.frame import CountedFrame, Frame, FrameResult, Stamp
from vidan.pipeline.manifest import Manifest, RunStatus
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks.tracks import TrackStore
from vidan.pipeline.stages import SourceHealth
from vidan.pipeline.stream_record import StreamRecord
from vidan.trackers import Tracks

WIDTH, HEIGHT, FPS = 1920, 1080, 25.0
PIXELS_PER_SECOND = 90.0
CLASS_NAMES = ("person",)
STREAM = "camera"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=30, metavar="N", help="tracks in each frame")
    parser.add_argument("--lines", type=int, default=10, metavar="N")
    parser.add_argument("--zones", type=int, default=10, metavar="N")
    parser.add_argument("--frames", type=int, default=5000, metavar="N")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="times that the rules are measured")
    parser.add_argument("--replay", action="store_true", help="count an hour of stored tracks instead")
    parser.add_argument("--minutes", type=float, default=60.0, metavar="N", help="of stored tracks")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="keep the run here, or use the one that is here")
    options = parser.parse_args()

    config = make_config(options.lines, options.zones)
    if options.replay:
        with tempfile.TemporaryDirectory() as temporary:
            folder = RunFolder(options.folder or Path(temporary) / "run")
            if not folder.manifest.exists():
                record(folder, config, islice(walks(options.tracks), round(options.minutes * 60 * FPS)))
            measure_replay(folder)
        return
    frames = list(islice(walks(options.tracks), options.frames))
    updates = sum(len(frame.tracks) for frame in frames)
    seconds = min(measure(frames, config) for _ in range(options.repeat))
    print(f"{updates / seconds:,.0f} track-updates/s, {1e3 * seconds / len(frames):.3f} ms/frame")


def measure(frames: Sequence[CountedFrame], config: RunConfig) -> float:
    """Seconds of one core that the rules need for these frames."""
    rules = RuleBuilder(config, CLASS_NAMES, STREAM, WIDTH, HEIGHT).build()
    start = time.process_time()
    events, near_misses = judge(rules, frames)
    seconds = time.process_time() - start
    print(
        f"{len(events)} events, {len(near_misses)} near misses in {seconds:.2f} s",
        Counter(e.kind.value for e in events),
    )
    return seconds


def record(folder: RunFolder, config: RunConfig, frames: Iterator[CountedFrame]) -> None:
    """Leaves what a run over these frames would leave for a replay: its tracks and its run.json."""
    folder.path.mkdir(parents=True)
    store = TrackStore(folder.tracks, CLASS_NAMES)
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    count = 0
    for frame in frames:
        count += 1
        shown = Frame.from_array(frame.stamp, picture)
        store.write(FrameResult(shown, Detections.empty(), frame.tracks, (frame,), ()))
    store.close()
    seconds = count / FPS
    stream = StreamRecord(STREAM, "walks", SourceHealth(duration_seconds=seconds), analysed=count, seconds=seconds)
    stream.height, stream.width = HEIGHT, WIDTH
    manifest = Manifest(config=config.model_dump(mode="json", by_alias=True), streams=[stream])
    manifest.finish(RunStatus.COMPLETE)
    manifest.write(folder.manifest)


def measure_replay(folder: RunFolder) -> None:
    """Prints how long `vidan replay` takes, the memory at its highest, and how much it had to write."""
    vidan = (sys.executable, "-m", "vidan.pipeline.cli.main")
    output = folder.path.with_name(folder.path.name + "-replay")
    began = time.monotonic()
    command = subprocess.Popen([*vidan, "replay", str(folder.path), "--output", str(output), "--overwrite", "--quiet"])
    _, status, used = os.wait4(command.pid, 0)
    if status != 0:
        raise SystemExit("vidan replay failed")
    replay = RunFolder(output)
    events, near_misses = (path.read_bytes().count(b"\n") for path in (replay.events, replay.near_misses))
    stages = json.loads(replay.manifest.read_text())["stages"]
    print(
        f"{used.ru_utime + used.ru_stime:.1f} s of CPU in {time.monotonic() - began:.1f} s, "
        f"{used.ru_maxrss / 1024:.0f} MB at most; {events:,} events, {near_misses:,} near misses; "
        f"rules {stages['rules']['seconds']:.1f} s, report {replay.report.stat().st_size / 1e6:.1f} MB"
    )


def walks(count: int) -> Iterator[CountedFrame]:
    """Frames without end in which this many tracks walk."""
    rng = np.random.default_rng(1)
    size = np.array([WIDTH, HEIGHT])
    ids = np.arange(1, count + 1)
    feet, goals = rng.uniform(0, size, (count, 2)), rng.uniform(0, size, (count, 2))
    index = 0
    while True:
        ways = goals - feet
        lengths = np.hypot(*ways.T)[:, None]
        feet = feet + ways / np.maximum(lengths, 1) * PIXELS_PER_SECOND / FPS
        height = 60 + feet[:, 1:] / 10  # nearer is larger
        chatter = rng.normal(0, 0.5, (count, 2))
        xyxy = np.hstack(
            [feet + chatter - np.hstack([height / 5, height]), feet + chatter + np.hstack([height / 5, 0 * height])]
        )
        arrived = lengths[:, 0] < 5
        tracks = Tracks(
            ids.copy(),
            xyxy.astype(np.float32),
            np.full(count, 0.8, np.float32),
            np.zeros(count, np.int64),
            np.ones(count, np.float32),
            np.ones(count, np.bool_),
            np.ones(count, np.bool_),
            tuple(ids[arrived].tolist()),
        )
        yield CountedFrame(Stamp(STREAM, index, index / FPS), tracks, tracks.xyxy)
        index += 1
        kept = ~arrived
        new = rng.uniform(0, size, (int(arrived.sum()), 2)), rng.uniform(0, size, (int(arrived.sum()), 2))
        ids = np.concatenate([ids[kept], ids.max() + 1 + np.arange(len(new[0]))])
        feet, goals = np.concatenate([feet[kept], new[0]]), np.concatenate([goals[kept], new[1]])


def make_config(lines: int, zones: int) -> RunConfig:
    """Lines of 400 pixels and zones of 300 by 200 at random places of the picture, all settings as users find them."""
    rng = np.random.default_rng(2)
    rules = {}
    for number in range(lines):
        middle, angle = rng.uniform([300, 300], [WIDTH - 300, HEIGHT - 300]), rng.uniform(0, np.pi)
        half = 200 * np.array([np.cos(angle), np.sin(angle)])
        rules[f"line {number}"] = {"type": "line", "points": [(middle - half).tolist(), (middle + half).tolist()]}
    for number in range(zones):
        left, top = rng.uniform([0, 0], [WIDTH - 300, HEIGHT - 200]).tolist()
        polygon = [(left, top + 50), (left + 200, top), (left + 300, top + 120), (left + 100, top + 200)]
        rules[f"zone {number}"] = {"type": "zone", "polygon": polygon}
    return RunConfig.model_validate({"streams": [{"name": STREAM, "source": "walks.mp4"}], "rules": rules})


if __name__ == "__main__":
    main()
