"""What `tracker.stitch: true` changes on the open sequences: quality, and every line and zone before and after.

    python benchmarks/tracking/second_look.py --shared ../shared

The tracker is the default one, with its defaults, and so is the stitcher. Prints Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from counters import Counted, compare, count_by_vidan, true_counts
from sequences import GROUPS, Clip, read_group

from vidan.trackers import ByteTracker, MotRows, Stitcher, Tracks, evaluate_tracks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder with tracking/")
    shared = parser.parse_args().shared
    groups = {group: read_group(shared, group) for group in GROUPS}

    print("| sequences | HOTA / MOTA / IDF1 / id switches online | second look | joined | boxes filled in | found |")
    print("|---|---|---|---|---|---|")
    for group, clips in groups.items():
        print(f"| {group.upper()} |", " | ".join(quality(clips)), "|")

    print("\n| sequence | line or zone | direction | true | online | second look |")
    print("|---|---|---|---|---|---|")
    errors = {"lines": [0, 0, 0], "zones": [0, 0, 0]}
    for clip in (clip for clips in groups.values() for clip in clips if clip.counts is not None):
        for kind, counted in zip(errors, zip(true_counts(clip), before(clip), after(clip), strict=True), strict=True):
            for row in rows(counted):
                print(f"| {clip.name} |", " | ".join(map(str, row)), "|")
            true, online, second = counted
            parts = (compare(true, online).true, compare(true, online).off, compare(true, second).off)
            errors[kind] = [total + part for total, part in zip(errors[kind], parts, strict=True)]
    print()
    for kind, (true, online, second) in errors.items():
        print(f"{kind}: {true} true, wrong {100 * online / true:.1f} % online, {100 * second / true:.1f} % second look")


def quality(clips: Sequence[Clip]) -> list[str]:
    """Scores online and after the second look, and what that did."""
    online, second = {}, {}
    done = np.zeros(3, int)
    for clip in clips:
        tracker, stitcher = ByteTracker(), Stitcher[int]()
        answers, released = [], []
        for index, detections in enumerate(clip.detections.detections(clip.frame_count)):
            answers.append(tracker.update(detections, index / clip.fps))
            released += stitcher.push(index, index / clip.fps, answers[-1], detections[tracker.unclaimed])
        released += stitcher.finish(tracker.finish())[0]
        online[clip.name] = confirmed(answers)
        second[clip.name] = confirmed([frame.tracks for frame in released])
        done += len(stitcher.joins), stitcher.filled_rows, stitcher.found_rows
    truth = {clip.name: clip.truth for clip in clips if clip.truth is not None}
    return [score(truth, online), score(truth, second), *map(str, done)]


def confirmed(answers: Sequence[Tracks]) -> MotRows:
    return MotRows.from_tracks([tracks[tracks.confirmed] for tracks in answers])


def score(truth: Mapping[str, MotRows], predicted: Mapping[str, MotRows]) -> str:
    scores = evaluate_tracks(truth, predicted)
    return f"{100 * scores.hota:.2f} / {100 * scores.mota:.1f} / {100 * scores.idf1:.1f} / {scores.id_switches}"


def before(clip: Clip) -> tuple[Counted, Counted]:
    return count_by_vidan(clip, ByteTracker())


def after(clip: Clip) -> tuple[Counted, Counted]:
    return count_by_vidan(clip, ByteTracker(), Stitcher())


def rows(counted: Sequence[Counted]) -> list[tuple[str | int, ...]]:
    """Name, direction, and the numbers: true, online, second look."""
    keys = sorted({key for answer in counted for key in answer})
    return [(*key, *(len(answer.get(key, ())) for answer in counted)) for key in keys]


if __name__ == "__main__":
    main()
