"""What a program counts that takes tracks at their word: the reference counters, as `counts/*.json` define them.

The rules of vidan stand beside them: fed with the detections, through vidan's own tracker and smoother.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from sequences import Clip

from vidan.pipeline.engine.lane import Lane
from vidan.pipeline.engine.second_look import SecondLook
from vidan.pipeline.events import EventKind
from vidan.pipeline.frame import Frame, Stamp
from vidan.pipeline.report.matching import match_times
from vidan.pipeline.rules.line import LineRule
from vidan.pipeline.rules.zone import ZoneRule
from vidan.trackers import FixedLagSmoother, MotRows, Stitcher, Tracker

SMOOTH_SECONDS = 0.4  # the default of `tracker.smooth_seconds`
DEAD_BAND = 4.0  # pixels
TOLERANCE_SECONDS = 0.5

Counted = Mapping[tuple[str, str], Sequence[float]]
"""When something passed, in seconds, by name of the line or zone and direction."""


@dataclass(frozen=True, slots=True)
class CountError:
    """How far counts are from the truth, over all lines (or zones) and both directions.

    Attributes:
        true: What should have been counted.
        off: Sum of |counted - true| over lines and directions.
        wrong_events: Missed and false ones where each may be up to `TOLERANCE_SECONDS` early or late.
    """

    true: int
    off: int
    wrong_events: int

    def __add__(self, other: CountError) -> CountError:
        return CountError(self.true + other.true, self.off + other.off, self.wrong_events + other.wrong_events)


def compare(true: Counted, counted: Counted) -> CountError:
    """The error of one sequence."""
    keys = true.keys() | counted.keys()
    total = CountError(0, 0, 0)
    for key in keys:
        truth, answer = sorted(true.get(key, ())), sorted(counted.get(key, ()))
        hits = len(match_times(truth, answer, TOLERANCE_SECONDS))
        total += CountError(len(truth), abs(len(answer) - len(truth)), len(truth) + len(answer) - 2 * hits)
    return total


def true_counts(clip: Clip) -> tuple[Counted, Counted]:
    """Crossings, and entries and exits, of the ground truth (evaluated pedestrians) by the reference counters.

    Raises:
        ValueError: If they disagree with `counts/*.json`.
    """
    assert clip.truth is not None
    assert clip.counts is not None
    rows = clip.truth[(clip.truth.class_id == 1) & (clip.truth.confidence != 0)]
    lines, zones = count_lines(clip, rows), count_zones(clip, rows)
    published = {
        (line["name"], way): [event[0] for event in line["events"] if event[2] == way]
        for line in clip.counts["lines"]
        for way in ("in", "out")
    }
    counted = {key: sorted(round(seconds * clip.fps) + 1 for seconds in lines.get(key, ())) for key in published}
    passed = [len(zones.get((zone["name"], way), ())) for zone in clip.counts["zones"] for way in ("in", "out")]
    if counted != published or passed != [zone[way] for zone in clip.counts["zones"] for way in ("entries", "exits")]:
        raise ValueError(f"{clip.name}: the reference counters disagree with counts/{clip.name}.json")
    return lines, zones


def count_lines(clip: Clip, rows: MotRows, dead_band: float = 0.0) -> Counted:
    """Crossings of the clip's lines by these tracks, from anchor to anchor; within the dead band the old side holds."""
    assert clip.counts is not None
    counted = defaultdict(list)
    for line in clip.counts["lines"]:
        (x, y), (end_x, end_y) = line["a"], line["b"]
        along_x, along_y = end_x - x, end_y - y
        segment = shapely.LineString([line["a"], line["b"]])
        for frames, anchors in _walks(rows):
            side = along_x * (anchors[:, 1] - y) - along_y * (anchors[:, 0] - x)
            clear = np.flatnonzero(np.abs(side) >= dead_band * math.hypot(along_x, along_y))
            sign, last = 0.0, -1
            for row in clear.tolist():
                now = float(np.sign(side[row])) or sign
                if sign and now != sign and segment.intersects(shapely.LineString(anchors[[last, row]])):
                    counted[line["name"], "in" if sign > 0 else "out"].append((frames[row] - 1) / clip.fps)
                sign, last = now, row
    return counted


def count_zones(clip: Clip, rows: MotRows) -> Counted:
    """Entries and exits of the clip's zones: a change of sides between two sightings."""
    assert clip.counts is not None
    counted = defaultdict(list)
    for zone in clip.counts["zones"]:
        polygon = shapely.Polygon(zone["polygon"])
        shapely.prepare(polygon)
        for frames, anchors in _walks(rows):
            inside = np.asarray(shapely.covers(polygon, shapely.points(anchors)))
            for row in np.flatnonzero(inside[1:] != inside[:-1]) + 1:
                counted[zone["name"], "in" if inside[row] else "out"].append((frames[row] - 1) / clip.fps)
    return counted


def count_by_vidan(clip: Clip, tracker: Tracker, stitcher: Stitcher[Stamp] | None = None) -> tuple[Counted, Counted]:
    """Crossings, and entries and exits, by vidan's lane: tracker, smoother and rules with their defaults."""
    assert clip.counts is not None
    lane = Lane(
        tracker=tracker,
        smoother=FixedLagSmoother(SMOOTH_SECONDS),
        rules=list(_rules(clip.counts)),
        second_look=stitcher and SecondLook(stitcher, FixedLagSmoother(SMOOTH_SECONDS), ()),
    )
    lines, zones = defaultdict(list), defaultdict(list)
    events, result = [], None
    for index, detections in enumerate(clip.detections.detections(clip.frame_count)):
        frame = Frame(Stamp(clip.name, index, index / clip.fps), clip.size[1], clip.size[0], _no_picture)
        result = lane.step(frame, detections)
        events += result.events
    if result is not None:
        events += lane.finish(result).events[len(result.events) :]
    ways: dict[EventKind, Literal["in", "out"]] = {EventKind.ZONE_ENTERED: "in", EventKind.ZONE_LEFT: "out"}
    for event in events:
        if event.kind is EventKind.LINE_CROSSED:
            lines[event.rule, event.details["direction"]].append(event.pts_seconds)
        elif event.kind in ways:
            zones[event.rule, ways[event.kind]].append(event.pts_seconds)
    return lines, zones


def _rules(counts: Mapping[str, Any]) -> Iterator[LineRule | ZoneRule]:
    names = ("nobody", "pedestrian")
    for line in counts["lines"]:
        yield LineRule(name=line["name"], points=[line["a"], line["b"]], class_names=names)
    for zone in counts["zones"]:
        yield ZoneRule(name=zone["name"], polygon=shapely.Polygon(zone["polygon"]), class_names=names)


def _walks(rows: MotRows) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Frames and anchors (bottom centre) of every track."""
    anchors = np.column_stack([rows.xyxy[:, [0, 2]].mean(axis=1), rows.xyxy[:, 3]])
    order = np.lexsort((rows.frame, rows.track_id))
    starts = np.flatnonzero(np.diff(rows.track_id[order])) + 1
    for walk in np.split(order, starts):
        if len(walk):
            yield rows.frame[walk], anchors[walk]


def _no_picture() -> NDArray[np.uint8]:
    raise AssertionError("these trackers look at no picture")
