"""Counts a sequence with supervision, as its documentation shows; run by counting.py in an environment that has it.

Reads a job as JSON from the standard input and writes (in, out) per line and (entries, exits) per zone as JSON.

https://supervision.roboflow.com/0.27.0/trackers/
https://supervision.roboflow.com/0.27.0/detection/tools/line_zone/
https://supervision.roboflow.com/0.27.0/detection/tools/polygon_zone/
"""

from __future__ import annotations

import json
import sys

import numpy as np
import supervision as sv  # pyright: ignore[reportMissingImports]


def main() -> None:
    job = json.load(sys.stdin)
    anchors = [sv.Position.BOTTOM_CENTER]
    lines = {
        line["name"]: sv.LineZone(sv.Point(*line["a"]), sv.Point(*line["b"]), triggering_anchors=anchors)
        for line in job["lines"]
    }
    zones = {
        zone["name"]: sv.PolygonZone(np.array(zone["polygon"]), triggering_anchors=anchors) for zone in job["zones"]
    }
    inside: dict[str, dict[int, bool]] = {name: {} for name in zones}
    passages = {name: [0, 0] for name in zones}
    tracker = sv.ByteTrack(frame_rate=round(job["fps"]))
    rows = np.loadtxt(job["detections"], delimiter=",", ndmin=2)
    rows = rows[rows[:, 6] >= job["lowest_score"]]
    for number in range(1, job["frames"] + 1):
        own = rows[rows[:, 0] == number]
        xyxy = np.hstack([own[:, 2:4], own[:, 2:4] + own[:, 4:6]])
        detections = sv.Detections(xyxy=xyxy, confidence=own[:, 6], class_id=np.zeros(len(own), int))
        tracked = tracker.update_with_detections(detections)
        for line in lines.values():
            line.trigger(tracked)
        for name, zone in zones.items():
            for track_id, is_inside in zip(tracked.tracker_id.tolist(), zone.trigger(tracked).tolist(), strict=True):
                was_inside = inside[name].get(track_id)
                if was_inside is not None and was_inside != is_inside:
                    passages[name][0 if is_inside else 1] += 1
                inside[name][track_id] = is_inside
    counts = {name: (line.in_count, line.out_count) for name, line in lines.items()}
    json.dump({**counts, **passages}, sys.stdout)


if __name__ == "__main__":
    main()
