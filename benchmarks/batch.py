"""Shows what `vidan batch` promises, on the sample clip: files of all kinds, kills, scaling, speed, memory, a cluster.

    python benchmarks/batch.py clips --output DIR [--clips 40] [--lossless] [--constant]
    python benchmarks/batch.py kills --output DIR [--times 20] [--pictures 265]
    python benchmarks/batch.py scaling --output DIR [--repeat 4]
    python benchmarks/batch.py throughput --output DIR [--pictures 265]
    python benchmarks/batch.py overheads --output DIR
    python benchmarks/batch.py memory --output DIR [--hours 10]
    python benchmarks/batch.py cluster --output DIR [--nodes 2 4]

Each prints what it found as JSON and ends with 1 where a promise does not hold. The folder is emptied first.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from batch_cluster import cluster
from batch_footage import (
    CONFIG,
    KINDS,
    LOSSLESS,
    SAMPLE,
    batch_command,
    clips_of_all_kinds,
    decode,
    result_of,
    totals,
    vidan_command,
)
from batch_memory import memory
from batch_speed import overheads, scaling, throughput


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = {
        "clips": _clips,
        "kills": _kills,
        "scaling": scaling,
        "throughput": throughput,
        "overheads": overheads,
        "memory": memory,
        "cluster": cluster,
    }
    parser.add_argument("what", choices=modes)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--lossless", action="store_true", help="clips keep every pixel")
    parser.add_argument("--constant", action="store_true", help="no clip has a variable rate")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--pictures", type=int, default=265)
    parser.add_argument("--repeat", type=int, default=4)
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--nodes", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    shutil.rmtree(options.output, ignore_errors=True)
    options.output.mkdir(parents=True)
    options.output = options.output.resolve()
    holds, found = modes[options.what](options)
    print(json.dumps(found, indent=2))
    return 0 if holds else 1


def _clips(options: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """The sample in many contiguous clips of all kinds, and three damaged ones behind them."""
    folder = clips_of_all_kinds(
        options.output / "footage",
        decode(SAMPLE),
        options.clips,
        kinds=LOSSLESS if options.lossless else KINDS,
        is_constant=options.constant,
    )
    whole = (folder / "00-libx264.mp4").read_bytes()
    (folder / "97-cut-off.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "98-empty.mkv").write_bytes(b"")
    (folder / "99-text.avi").write_text("this is no video\n" * 100)
    run = options.output / "run"
    subprocess.run([*vidan_command("run"), str(CONFIG), "--output", str(run), "--quiet"], check=True)
    command = batch_command(options.output / "batch", footage=folder)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr)
    record = json.loads((options.output / "batch" / "batch.json").read_text())
    uncut, clips = _passages(run), _passages(options.output / "batch" / "cameras" / "campus")
    found = {
        "exit code": done.returncode,
        "files": record["files"],
        "failures": record["failures"],
        "uncut": totals(run / "counts.csv"),
        "clips": totals(options.output / "batch" / "counts.csv"),
        "only uncut": _without_partner(uncut, clips),
        "only clips": _without_partner(clips, uncut),
    }
    holds = done.returncode == 3 and record["files"]["detected"] == options.clips and len(record["failures"]) == 3
    return holds and found["uncut"] == found["clips"], found


def _passages(run: Path) -> list[tuple[str, str, float, int]]:
    """Rule, kind, seconds and track of each event of a run."""
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    return [(event["rule"], event["event"], event["time"], event["track"]) for event in events]


def _without_partner(
    ours: list[tuple[str, str, float, int]], theirs: list[tuple[str, str, float, int]]
) -> list[tuple[str, str, float, int]]:
    """Events that the others do not have within half a second."""
    left = list(theirs)
    alone: list[tuple[str, str, float, int]] = []
    for event in ours:
        partner = next((other for other in left if other[:2] == event[:2] and abs(other[2] - event[2]) <= 0.5), None)
        if partner is None:
            alone.append(event)
        else:
            left.remove(partner)
    return alone


def _kills(options: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """A batch of short clips of all kinds that is killed at a random moment, and then let finish; again and again.

    Every other time only the first process is killed, and its workers have to notice; else all of them at once.
    """
    folder = clips_of_all_kinds(options.output / "footage", decode(SAMPLE)[: options.pictures], len(KINDS))

    def command(target: Path) -> list[str]:
        return batch_command(target, "--part", "1", footage=folder)

    began = time.monotonic()
    subprocess.run(command(options.output / "whole"), check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - began
    names = ("events.jsonl", "near_misses.jsonl", "counts.csv")
    logs = {name: result_of(options.output / "whole", name) for name in names}
    chance = random.Random(options.seed)
    kills: list[dict[str, Any]] = []
    for number in range(options.times):
        target = options.output / f"killed-{number}"
        process = subprocess.Popen(
            command(target), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        moment = chance.uniform(0.1, 1.0) * seconds
        was_running = False
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            was_running = True
            if number % 2:
                os.kill(process.pid, signal.SIGKILL)
            else:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        parts = len(list(target.glob("detections/*/*.parquet")))
        done = subprocess.run(command(target), capture_output=True, text=True, check=False)
        same = done.returncode == 0 and all(result_of(target, name) == data for name, data in logs.items())
        kills.append(
            {
                "after seconds": round(moment, 1),
                "killed": ("first process" if number % 2 else "all") if was_running else "had ended",
                "parts there": parts,
                "same bytes": same,
            }
        )
        print(json.dumps(kills[-1]), done.stderr, file=sys.stderr, flush=True)
        shutil.rmtree(target)
    found = {
        "events": len(logs["events.jsonl"].splitlines()),
        "parts": len(list((options.output / "whole").glob("detections/*/*.parquet"))),
        "uninterrupted seconds": round(seconds, 1),
        "kills": kills,
    }
    return all(kill["same bytes"] for kill in kills), found


if __name__ == "__main__":
    sys.exit(main())
