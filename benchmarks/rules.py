"""How many track-updates a second the rules take, and how long an hour of stored tracks takes to be counted again.

    python benchmarks/rules.py
    python benchmarks/rules.py --replay

Tracks walk from one random place to the next through a picture of 1920x1080, at the pace of pedestrians, and are
replaced when they have arrived; 10 lines and 10 zones lie where they walk. One track-update is one track in one frame,
shown to all 20 rules. `--replay` writes an hour of 25 frames a second into a track store first, and then reads it and
counts. Seconds are those of the one core that this process used, so other work on the machine matters little.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
from shapely import Polygon

from vidan.detector import Detections
from vidan.pipeline.engine.lane import judge
from vidan.pipeline.frame import CountedFrame, Frame, FrameResult, Stamp
from vidan.pipeline.rules.line import LineRule
from vidan.pipeline.rules.lookout import Lookout
from vidan.pipeline.rules.zone import ZoneRule
from vidan.pipeline.sinks.tracks import TrackStore, read_tracks
from vidan.pipeline.stages import Rule
from vidan.trackers import Tracks

WIDTH, HEIGHT, FPS = 1920, 1080, 25.0
PIXELS_PER_SECOND = 90.0
CLASS_NAMES = ("person",)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=30, metavar="N", help="tracks in each frame")
    parser.add_argument("--lines", type=int, default=10, metavar="N")
    parser.add_argument("--zones", type=int, default=10, metavar="N")
    parser.add_argument("--frames", type=int, default=5000, metavar="N")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="times that the rules are measured")
    parser.add_argument("--replay", action="store_true", help="count an hour of stored tracks instead")
    options = parser.parse_args()

    if options.replay:
        with tempfile.TemporaryDirectory() as folder:
            measure_replay(Path(folder) / "tracks.parquet", options.tracks, options.lines, options.zones)
        return
    frames = list(islice(walks(options.tracks), options.frames))
    updates = sum(len(frame.tracks) for frame in frames)
    seconds = min(measure(frames, options.lines, options.zones) for _ in range(options.repeat))
    print(f"{updates / seconds:,.0f} track-updates/s, {1e3 * seconds / len(frames):.3f} ms/frame")


def measure(frames: Iterable[CountedFrame], lines: int, zones: int) -> float:
    """Seconds of one core that the rules need for these frames."""
    rules = make_rules(lines, zones)
    start = time.process_time()
    events, near_misses = judge(rules, frames)
    seconds = time.process_time() - start
    print(
        f"{len(events)} events, {len(near_misses)} near misses in {seconds:.2f} s",
        Counter(e.kind.value for e in events),
    )
    return seconds


def measure_replay(path: Path, tracks: int, lines: int, zones: int) -> None:
    """Prints how long writing, reading alone, and reading and counting an hour take, and the memory at its highest."""
    start = time.process_time()
    store = TrackStore(path, CLASS_NAMES)
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for frame in islice(walks(tracks), round(3600 * FPS)):
        shown = Frame.from_array(frame.stamp, picture)
        store.write(FrameResult(shown, Detections.empty(), frame.tracks, (frame,), ()))
    store.close()
    print(f"written in {time.process_time() - start:.1f} s, {path.stat().st_size / 1e6:.0f} MB, {_peak()}")

    start = time.process_time()
    rows = sum(len(stored.counted.tracks) for stored in read_tracks(path))
    print(f"{rows:,} rows read in {time.process_time() - start:.1f} s, {_peak()}")

    seconds = measure((stored.counted for stored in read_tracks(path)), lines, zones)
    print(f"read and counted in {seconds:.1f} s, {rows / seconds:,.0f} track-updates/s, {_peak()}")


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
        yield CountedFrame(Stamp("camera", index, index / FPS), tracks, tracks.xyxy)
        index += 1
        kept = ~arrived
        new = rng.uniform(0, size, (int(arrived.sum()), 2)), rng.uniform(0, size, (int(arrived.sum()), 2))
        ids = np.concatenate([ids[kept], ids.max() + 1 + np.arange(len(new[0]))])
        feet, goals = np.concatenate([feet[kept], new[0]]), np.concatenate([goals[kept], new[1]])


def make_rules(lines: int, zones: int) -> list[Rule]:
    """Lines of 400 pixels and zones of 300 by 200 at random places of the picture."""
    rng = np.random.default_rng(2)
    lookout = cache(Lookout)
    rules: list[Rule] = []
    for number in range(lines):
        middle, angle = rng.uniform([300, 300], [WIDTH - 300, HEIGHT - 300]), rng.uniform(0, np.pi)
        half = 200 * np.array([np.cos(angle), np.sin(angle)])
        rules.append(
            LineRule(
                name=f"line {number}", points=[middle - half, middle + half], class_names=CLASS_NAMES, lookout=lookout
            )
        )
    for number in range(zones):
        left, top = rng.uniform([0, 0], [WIDTH - 300, HEIGHT - 200])
        polygon = Polygon([(left, top + 50), (left + 200, top), (left + 300, top + 120), (left + 100, top + 200)])
        rules.append(ZoneRule(name=f"zone {number}", polygon=polygon, class_names=CLASS_NAMES, lookout=lookout))
    return rules


def _peak() -> str:
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB at most"


if __name__ == "__main__":
    main()
