"""Line crossings of real and of made-up walks: those that a reference finds."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from gate_lines import line, tally

from vidan.pipeline.geometry import Polyline


def reference_crossings(a, b, paths):
    """(frame, track, direction) by the rule of the reference: signs of consecutive places, segments that meet."""

    def side(start, stop, point):
        (ax, ay), (bx, by), (x, y) = start, stop, point
        return (bx - ax) * (y - ay) - (by - ay) * (x - ax)

    found = []
    for track, path in paths.items():
        for frame, (p, q) in enumerate(pairwise(path), start=1):
            if side(a, b, p) * side(a, b, q) < 0 and side(p, q, a) * side(p, q, b) <= 0:
                found.append((frame, track, "in" if side(a, b, p) > 0 else "out"))
    return sorted(found)


@pytest.mark.parametrize("ends", [[(640, 400), (330, 400)], [(470, 150), (470, 650)], [(300, 250), (600, 480)]])
def test_without_hysteresis_the_crossings_are_those_of_consecutive_places(walk, watch, ends):
    rng = np.random.default_rng(5)
    steps = np.cumsum(rng.normal(0, 4, (20, 200, 2)), axis=1)
    paths = {track: [(480 + x, 400 + y) for x, y in path.tolist()] for track, path in enumerate(steps, start=1)}
    events = watch(line(ends, hysteresis=0, settle=0), walk(paths))
    expected = reference_crossings(ends[0], ends[1], paths)
    assert len(expected) > 10
    assert sorted((e.frame, e.track_id, e.details["direction"]) for e in events) == expected


@pytest.mark.parametrize("sequence", ["PETS09-S2L1", "MOT17-04", "MOT17-09"])
def test_real_walks_give_the_counts_of_the_ground_truth(shared, ground_truth, watch, sequence):
    truth = json.loads((shared / "tracking" / "counts" / f"{sequence}.json").read_text())
    scenes = ground_truth(sequence, truth["fps"], truth["frames"])
    for wanted in truth["lines"]:
        ends = [wanted["a"], wanted["b"]]
        for options in ({"hysteresis": 0, "settle": 0}, {}):
            events = watch(line(ends, **options), scenes)
            assert tally(events) == (wanted["gt_in"], wanted["gt_out"])
        found = sorted((event.track_id, event.details["direction"], event.frame) for event in events)
        expected = sorted((track, direction, frame) for frame, track, direction in wanted["events"])
        for ours, theirs in zip(found, expected, strict=True):
            assert ours[:2] == theirs[:2]
            assert theirs[2] - ours[2] in (0, 1)  # 1 where an annotated place lies exactly on the line


def strolls(count, seed, is_clear):
    """Paths over a picture of 960 x 800 in straight legs of 4 px per frame; their corners are where `is_clear` says."""
    rng = np.random.default_rng(seed)
    paths = {}
    for track in range(1, count + 1):
        corners = []
        while len(corners) < 5:
            corner = rng.uniform((0, 0), (960, 800))
            if is_clear(corner):
                corners.append(corner)
        legs = [np.linspace(a, b, 2 + int(math.dist(a, b) / 4))[:-1] for a, b in pairwise(corners)]
        paths[track] = np.round(np.concatenate(legs), 2).tolist()
    return paths


@pytest.mark.parametrize("ends", [[(640, 400), (330, 400)], [(470, 150), (470, 650)], [(300, 250), (600, 480)]])
def test_every_crossing_of_a_stroll_is_found_and_none_added_at_the_right_time(walk, watch, ends):
    paths = strolls(40, 7, lambda corner: Polyline(ends).distances(corner[None])[0] > 30)
    events = watch(line(ends), walk(paths, lost_after=99))
    found = sorted((event.track_id, event.details["direction"], event.frame) for event in events)
    expected = sorted((track, way, frame) for frame, track, way in reference_crossings(ends[0], ends[1], paths))
    assert len(expected) > 10
    assert found == expected
    assert all(event.frame - 1 <= 10 * event.pts_seconds <= event.frame for event in events)
