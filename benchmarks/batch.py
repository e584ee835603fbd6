"""Shows what `vidan batch` promises, on the sample clip: many clips of all kinds, kills at random moments, scaling.

    python benchmarks/batch.py clips --output DIR [--clips 40]
    python benchmarks/batch.py kills --output DIR [--times 20] [--pictures 105]
    python benchmarks/batch.py scaling --output DIR [--repeat 4]

Each prints what it found as JSON and ends with 1 where a promise does not hold.
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
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
from av.video.stream import VideoStream

SAMPLE = Path(__file__).parents[1] / "samples" / "campus.mp4"
CONFIG = Path(__file__).parents[1] / "configs" / "campus.yaml"
KINDS = [
    ("libx264", "mp4", {"crf": "10", "g": "25"}),
    ("libx265", "mkv", {"crf": "10", "x265-params": "log-level=error"}),
    ("mpeg4", "avi", {"qmin": "1", "qmax": "2"}),
    ("mjpeg", "mkv", {"qmin": "1", "qmax": "2"}),
    ("libvpx-vp9", "mkv", {"crf": "10", "b": "0", "deadline": "realtime", "cpu-used": "6"}),
    ("libsvtav1", "mp4", {"crf": "12", "preset": "10"}),
    ("libx264", "ts", {"crf": "10"}),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("clips", "kills", "scaling"))
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--pictures", type=int, default=105)
    parser.add_argument("--repeat", type=int, default=4)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    shutil.rmtree(options.output, ignore_errors=True)
    options.output.mkdir(parents=True)
    holds, found = {"clips": _clips, "kills": _kills, "scaling": _scaling}[options.what](options)
    print(json.dumps(found, indent=2))
    return 0 if holds else 1


def _clips(options: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """The sample in many contiguous clips of all kinds, and three damaged ones behind them."""
    folder = _clips_of_all_kinds(options.output / "footage", _decode(SAMPLE), options.clips)
    whole = (folder / "00-libx264.mp4").read_bytes()
    (folder / "97-cut-off.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "98-empty.mkv").write_bytes(b"")
    (folder / "99-text.avi").write_text("this is no video\n" * 100)
    run = options.output / "run"
    subprocess.run([*_vidan("run"), str(CONFIG), "--output", str(run), "--quiet"], check=True)
    command = _batch(options.output / "batch", footage=folder)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr)
    record = json.loads((options.output / "batch" / "batch.json").read_text())
    found = {
        "exit code": done.returncode,
        "files": record["files"],
        "failures": record["failures"],
        "uncut": _totals(run / "counts.csv"),
        "clips": _totals(options.output / "batch" / "counts.csv"),
    }
    holds = done.returncode == 3 and record["files"]["detected"] == options.clips and len(record["failures"]) == 3
    return holds and found["uncut"] == found["clips"], found


def _kills(options: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """A batch of short clips of all kinds that is killed at a random moment, and then let finish; again and again.

    Every other time only the first process is killed, and its workers have to notice; else all of them at once.
    """
    folder = _clips_of_all_kinds(options.output / "footage", _decode(SAMPLE)[: options.pictures], len(KINDS))

    def command(target: Path) -> list[str]:
        return _batch(target, "--part", "1", footage=folder)

    began = time.monotonic()
    subprocess.run(command(options.output / "whole"), check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - began
    names = ("events.jsonl", "near_misses.jsonl", "counts.csv")
    logs = {name: _bytes(options.output / "whole", name) for name in names}
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
        same = done.returncode == 0 and all(_bytes(target, name) == data for name, data in logs.items())
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


def _scaling(options: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """Frames per second of a plain run on all cores, and of batches with one and two workers."""
    footage = options.output / "footage"
    footage.mkdir()
    for number in range(options.repeat):
        shutil.copy(SAMPLE, footage / f"{number}.mp4")
        with (footage / f"{number}.mp4").open("ab") as file:  # an atom that nobody reads, so that contents differ
            file.write((8 + 4).to_bytes(4, "big") + b"free" + number.to_bytes(4, "big"))
    config = options.output / "config.yaml"
    text = CONFIG.read_text().replace("../samples/campus.mp4", f"{footage}/*.mp4")
    config.write_text(text + "\n  evidence: false\n  video: false\n  database: false\n")
    frames = options.repeat * len(_decode(SAMPLE))
    found: dict[str, Any] = {"frames": frames}
    commands = {
        "run": [*_vidan("run"), str(config), "--output", str(options.output / "run"), "--quiet"],
        "1 worker": [*_batch(options.output / "one", "--workers", "1", config=config)],
        "2 workers": [*_batch(options.output / "two", "--workers", "2", config=config)],
    }
    for name, command in commands.items():
        began = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - began
        found[name] = {"seconds": round(seconds, 1), "frames per second": round(frames / seconds, 1)}
    return True, found


def _vidan(command: str) -> list[str]:
    return [sys.executable, "-m", "vidan.pipeline.cli.main", command]


def _batch(output: Path, *options: str, config: Path = CONFIG, footage: Path | None = None) -> list[str]:
    named = [] if footage is None else [str(footage)]
    return [*_vidan("batch"), str(config), *named, "--output", str(output), "--progress", "none", *options]


def _decode(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def _clips_of_all_kinds(folder: Path, frames: list[av.VideoFrame], clips: int) -> Path:
    """The pictures in so many files one behind the other, of one kind after another; the folder."""
    folder.mkdir()
    bounds = [round(i * len(frames) / clips) for i in range(clips + 1)]
    for number, (start, stop) in enumerate(pairwise(bounds)):
        codec, ending, settings = KINDS[number % len(KINDS)]
        _encode(
            folder / f"{number:02d}-{codec}.{ending}", frames[start:stop], codec, settings, is_variable=number % 3 == 1
        )
    return folder


def _encode(
    path: Path, frames: list[av.VideoFrame], codec: str, settings: dict[str, str], *, is_variable: bool
) -> None:
    """These pictures as a file of ten a second; of variable rate: every other one 20 ms late."""
    with av.open(str(path), "w") as container:
        stream = cast(VideoStream, container.add_stream(codec, rate=10, options=settings))
        stream.height, stream.width = frames[0].height, frames[0].width
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        variable = is_variable and path.suffix in (".mp4", ".mkv")
        stream.codec_context.time_base = Fraction(1, 1000) if variable else Fraction(1, 10)
        for number, frame in enumerate(frames):
            picture = frame.reformat(format=stream.pix_fmt)
            picture.pict_type = 0
            picture.time_base = stream.codec_context.time_base
            picture.pts = 100 * number + 20 * (number % 2) if variable else number
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def _totals(path: Path) -> dict[str, int]:
    import csv

    totals: Counter[str] = Counter()
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            totals[f"{row['rule']} {row['direction']}"] += int(row["count"] or 0)
    return dict(totals)


def _bytes(output: Path, name: str) -> bytes:
    return (output / "cameras" / "campus" / name).read_bytes()


if __name__ == "__main__":
    sys.exit(main())
