"""Every crossing that is counted wrongly after the second look: whose it was, and what became of that person's track.

    python benchmarks/tracking/missed.py --shared ../shared

The tracker is the default one, with its defaults, and so are the stitcher and the rules. Prints Markdown. A detection
or a track is on a person where they are a pair of the best matching of boxes that overlap by half (IoU).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from counters import TOLERANCE_SECONDS, count_by_vidan
from sequences import GROUPS, Clip, read_group

from vidan.detector import box_iou
from vidan.trackers import ByteTracker, MotRows, Stitcher
from vidan.trackers.association import assign
from vidan.trackers.mot import PEDESTRIAN

_LEAST_IOU = 0.5
_AROUND_SECONDS = 3.0  # in which the tracks before and after a crossing are looked for


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder with tracking/")
    shared = parser.parse_args().shared
    print("| line | direction | frame | person | detected while crossing | track before | after | unseen between |")
    print("|---|---|---|---|---|---|---|---|")
    for group in GROUPS:
        for clip in read_group(shared, group):
            if clip.counts is not None:
                for row in wrong_crossings(clip, clip.counts):
                    print("|", " | ".join(row), "|")


def wrong_crossings(clip: Clip, counts: Any) -> Iterator[tuple[str, ...]]:
    """The rows of one sequence."""
    counted, _ = count_by_vidan(clip, ByteTracker(), Stitcher())
    tracks = second_look(clip)
    for line in counts["lines"]:
        for way in ("in", "out"):
            events = [(frame, person) for frame, person, direction in line["events"] if direction == way]
            times = sorted(counted.get((line["name"], way), ()))
            late = np.array(times) - np.array([[(frame - 1) / clip.fps] for frame, _ in events]).reshape(-1, 1)
            pairs = assign(np.abs(late), TOLERANCE_SECONDS)
            for index in pairs.free_rows.tolist():
                yield (f"{clip.name} {line['name']}", way, *story(clip, tracks, *events[index]))
            for index in pairs.free_columns.tolist():
                frame = str(round(times[index] * clip.fps) + 1)
                yield (f"{clip.name} {line['name']}", way, frame, "nobody at that time", "", "", "", "")


def second_look(clip: Clip) -> MotRows:
    """Tracks after the second look."""
    tracker, stitcher = ByteTracker(), Stitcher[int]()
    released = []
    for index, detections in enumerate(clip.detections.detections(clip.frame_count)):
        tracks = tracker.update(detections, index / clip.fps)
        released += stitcher.push(index, index / clip.fps, tracks, detections[tracker.unclaimed])
    released += stitcher.finish(tracker.finish())[0]
    return MotRows.from_tracks([frame.tracks for frame in released])


def story(clip: Clip, tracks: MotRows, frame: int, person: int) -> tuple[str, ...]:
    """Frame and person, and how often that person was detected and by which tracks followed."""
    crossing = range(frame - round(TOLERANCE_SECONDS * clip.fps), frame + round(TOLERANCE_SECONDS * clip.fps) + 1)
    detected = followers(clip, clip.detections, person, crossing)
    reach = round(_AROUND_SECONDS * clip.fps)
    before = followers(clip, tracks, person, range(frame - reach, frame))
    after = followers(clip, tracks, person, range(frame, frame + reach + 1))
    gap = f"{(min(after) - max(before) - 1) / clip.fps:.1f} s" if before and after else ""
    last, first = (str(ids[pick(ids)]) if ids else "none" for ids, pick in ((before, max), (after, min)))
    return str(frame), str(person), f"in {len(detected)} of {len(crossing)} frames", last, first, gap


def followers(clip: Clip, rows: MotRows, person: int, frames: range) -> dict[int, int]:
    """The frames in which one of these rows is on the person and not rather on somebody else, and its track."""
    assert clip.truth is not None
    truth = clip.truth[(clip.truth.class_id == PEDESTRIAN) & (clip.truth.confidence != 0)]
    found = {}
    for frame in frames:
        people, there = truth[truth.frame == frame], rows[rows.frame == frame]
        pairs = assign(1 - box_iou(people.xyxy, there.xyxy), 1 - _LEAST_IOU)
        for row in pairs.columns[people.track_id[pairs.rows] == person].tolist():
            found[frame] = int(there.track_id[row])
    return found


if __name__ == "__main__":
    main()
