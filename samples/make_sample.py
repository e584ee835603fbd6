"""Cuts the sample clip and its ground truth out of the PETS 2009 footage; README.md beside this file names the sources.

python samples/make_sample.py campus.avi gt.txt
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

import av

FIRST, LAST = 531, 795  # the frames, from 1, that the demo weights never saw
FOLDER = Path(__file__).parent


def cut_clip(video: Path, clip: Path) -> None:
    """Encodes frames `FIRST` to `LAST` as H.264 with their spacing in time; the first one is at zero."""
    with av.open(str(video)) as source, av.open(str(clip), "w") as target:
        rate = source.streams.video[0].average_rate or Fraction(10)
        out = target.add_stream("libx264", rate=rate, options={"crf": "25", "preset": "veryslow", "g": "50"})
        out.pix_fmt = "yuv420p"
        for number, frame in enumerate(source.decode(video=0), start=1):
            if number == FIRST:
                out.width, out.height = frame.width, frame.height
            if FIRST <= number <= LAST:
                picture = frame.reformat(format="yuv420p")
                picture.pts, picture.time_base = number - FIRST, 1 / rate
                target.mux(out.encode(picture))
        target.mux(out.encode(None))


def cut_ground_truth(labels: Path, cut: Path) -> None:
    """Copies the rows of those frames, counted from 1 again."""
    rows = []
    for line in labels.read_text().splitlines():
        number, rest = line.split(",", 1)
        if FIRST <= int(number) <= LAST:
            rows.append(f"{int(number) - FIRST + 1},{rest}\n")
    cut.write_text("".join(rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path, help="the 795 frames of S2.L1, view 1")
    parser.add_argument("labels", type=Path, help="ground truth in MOTChallenge format")
    arguments = parser.parse_args()
    cut_clip(arguments.video, FOLDER / "campus.mp4")
    cut_ground_truth(arguments.labels, FOLDER / "campus_gt.txt")
