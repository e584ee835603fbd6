"""What all parts of `batch.py` need: clips of the sample in all kinds of files, and the commands to run."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import cast

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
LOSSLESS = [("libx264", "mp4", {"qp": "0"}), ("ffv1", "mkv", {}), ("libx264", "ts", {"qp": "0"})]


def vidan_command(command: str) -> list[str]:
    """`vidan COMMAND`, of this Python."""
    return [sys.executable, "-m", "vidan.pipeline.cli.main", command]


def batch_command(output: Path, *options: str, config: Path = CONFIG, footage: Path | None = None) -> list[str]:
    """`vidan batch`, by default of the sample with its config."""
    named = [] if footage is None else [str(footage)]
    return [*vidan_command("batch"), str(config), *named, "--output", str(output), "--progress", "none", *options]


def decode(path: Path) -> list[av.VideoFrame]:
    """All pictures of a file."""
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def clips_of_all_kinds(
    folder: Path,
    frames: list[av.VideoFrame],
    clips: int,
    *,
    kinds: Sequence[tuple[str, str, dict[str, str]]] = KINDS,
    is_constant: bool = False,
) -> Path:
    """The pictures in so many files one behind the other, of one kind after another; the folder."""
    folder.mkdir()
    bounds = [round(i * len(frames) / clips) for i in range(clips + 1)]
    for number, (start, stop) in enumerate(pairwise(bounds)):
        codec, ending, settings = kinds[number % len(kinds)]
        is_variable = number % 3 == 1 and not is_constant
        encode(folder / f"{number:02d}-{codec}.{ending}", frames[start:stop], codec, settings, is_variable=is_variable)
    return folder


def encode(path: Path, frames: list[av.VideoFrame], codec: str, settings: dict[str, str], *, is_variable: bool) -> None:
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


def totals(path: Path) -> dict[str, int]:
    """What a counts.csv counts, by rule and direction."""
    sums: Counter[str] = Counter()
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            sums[f"{row['rule']} {row['direction']}"] += int(row["count"] or 0)
    return dict(sums)


def result_of(output: Path, name: str) -> bytes:
    """A file of the one camera of a batch."""
    return (output / "cameras" / "campus" / name).read_bytes()
