"""Line crossings: the laws that hold for every line and every walk."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from gate_lines import directions, line, tally
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vidan.pipeline.geometry import Polyline

coordinate = st.integers(-2560, 2560).map(lambda sixty_fourths: sixty_fourths / 64)  # exact in boxes and on the grid
place = st.tuples(coordinate, coordinate)
grid_place = st.tuples(st.integers(-3, 3), st.integers(-3, 3))
hystereses = st.sampled_from([0.0, 0.03, 0.1, 0.2])
settles = st.sampled_from([0.0, 0.1571, 0.4142, math.inf])
polylines = st.lists(place, min_size=2, max_size=5).filter(lambda points: math.dist(points[0], points[1]) > 1)


@st.composite
def graphs(draw):
    """Lines from far left to far right that never turn back: every place is above or below them."""
    inner = draw(st.lists(st.integers(-3, 3), unique=True, max_size=4).map(sorted))
    return [(x, draw(st.integers(-2, 2))) for x in (-99, *inner, 99)]


def side_of_graph(points, place):
    """+1 below (the right hand), -1 above, 0 on it, in whole numbers."""
    (ax, ay), (bx, by) = next((a, b) for a, b in pairwise(points) if a[0] <= place[0] <= b[0])
    return int(np.sign((bx - ax) * (place[1] - ay) - (by - ay) * (place[0] - ax)))


@settings(deadline=None, max_examples=60)
@given(points=graphs(), path=st.lists(grid_place, min_size=2, max_size=15))
def test_without_hysteresis_every_change_of_side_is_one_crossing(walk, watch, points, path):
    sides = [side for side in (side_of_graph(points, place) for place in path) if side]
    changes = ["in" if before > after else "out" for before, after in pairwise(sides) if before != after]
    events = watch(line(points, hysteresis=0, settle=0), walk({1: path}))
    assert directions(events) == changes


@settings(deadline=None, max_examples=60)
@given(
    points=graphs(),
    path=st.lists(st.none() | grid_place, min_size=2, max_size=25),
    hysteresis=hystereses,
    settle=settles,
)
def test_in_less_out_is_the_difference_of_the_sides_at_both_ends(walk, watch, points, path, hysteresis, settle):
    sides = [side_of_graph(points, place) for place in path if place]
    assume(any(sides) and sides[-1])
    entered, left = tally(
        watch(line(points, hysteresis=hysteresis / 10, settle=settle), walk({1: path}, lost_after=99))
    )
    first = next(side for side in sides if side)
    assert 2 * (entered - left) == first - sides[-1]
    net = tally(
        watch(line(points, hysteresis=hysteresis / 10, settle=settle, policy="net"), walk({1: path}, lost_after=99))
    )
    assert net == (max(0, entered - left), max(0, left - entered))


@st.composite
def rings(draw):
    """Closed lines around the origin that cross nothing of themselves, in either sense."""
    angles = sorted(draw(st.lists(st.integers(0, 71), min_size=4, max_size=9, unique=True)))
    assume(all(later - earlier < 36 for earlier, later in pairwise([*angles, angles[0] + 72])))
    radii = draw(st.lists(st.floats(0.3, 4), min_size=len(angles), max_size=len(angles)))
    turns = np.array(angles) * math.pi / 36
    corners = (np.round(64 * np.array(radii) * [np.cos(turns), np.sin(turns)]).T / 64).tolist()
    return [*corners, corners[0]][:: draw(st.sampled_from([1, -1]))]


def is_within(ring, place):
    """By the parity of the ways across the ring on a ray to the right; places on the ring are nowhere."""
    crossed = 0
    for (ax, ay), (bx, by) in pairwise(ring):
        if (ay > place[1]) != (by > place[1]):
            crossed += place[0] < ax + (place[1] - ay) / (by - ay) * (bx - ax)
    return crossed % 2 == 1


@settings(deadline=None, max_examples=80)
@given(
    ring=rings(),
    path=st.lists(st.none() | grid_place, min_size=2, max_size=25),
    hysteresis=hystereses,
    settle=settles,
)
def test_a_closed_line_has_as_many_more_ways_in_as_there_are_inside_at_the_end(
    walk, watch, ring, path, hysteresis, settle
):
    seen = [place for place in path if place]
    assume(seen and (Polyline(ring).distances(np.array(seen, float)) > 0.01).all())
    area = sum(ax * by - bx * ay for (ax, ay), (bx, by) in pairwise(ring))  # y goes down: positive is clockwise
    events = watch(line(ring, hysteresis=hysteresis / 10, settle=settle), walk({1: path}, lost_after=99))
    towards, away = tally(events) if area < 0 else tally(events)[::-1]
    assert towards - away == is_within(ring, seen[-1]) - is_within(ring, seen[0])


@settings(deadline=None, max_examples=60)
@given(
    points=polylines,
    home=place,
    jitter=st.lists(st.tuples(st.floats(0, 5), st.floats(0, 2 * math.pi)), min_size=2, max_size=30),
)
def test_jitter_of_half_the_hysteresis_counts_nothing_wherever_the_track_stands(walk, watch, points, home, jitter):
    path = [(home[0] + radius * math.cos(angle), home[1] + radius * math.sin(angle)) for radius, angle in jitter]
    assert watch(line(points, hysteresis=0.1001, settle=math.inf), walk({1: [*path, path[0]]})) == []


@settings(deadline=None, max_examples=80)
@given(
    points=polylines,
    path=st.lists(st.none() | place, min_size=2, max_size=25),
    hysteresis=hystereses,
    settle=settles,
    policy=st.sampled_from(["every", "once", "net"]),
)
def test_time_that_runs_backwards_swaps_in_and_out(walk, watch, points, path, hysteresis, settle, policy):
    seen = [place for place in path if place]
    assume(
        seen and Polyline(points).sides(np.array(seen)).all()
    )  # nobody stands exactly on the line or its continuation
    options = {"hysteresis": hysteresis, "settle": settle, "policy": policy}
    there = tally(watch(line(points, **options), walk({1: path}, lost_after=99)))
    back = tally(watch(line(points, **options), walk({1: path[::-1]}, lost_after=99)))
    assert there == back[::-1]


@settings(deadline=None, max_examples=40)
@given(
    points=polylines,
    path=st.lists(place, min_size=2, max_size=15),
    hysteresis=hystereses,
    scale=st.sampled_from([0.25, 2.0, 8.0]),
)
def test_a_picture_of_another_size_has_the_same_crossings_and_near_misses(
    walk, watch, missed, points, path, hysteresis, scale
):
    points, path = ([(round(x), round(y)) for x, y in places] for places in (points, path))
    assume(points[0] != points[1])
    larger, farther = ([(scale * x, scale * y) for x, y in places] for places in (points, path))
    small, large = walk({1: path}), walk({1: farther}, height=100 * scale)
    for told in (watch, missed):
        events, scaled = (
            told(line(points, hysteresis=hysteresis), small),
            told(line(larger, hysteresis=hysteresis), large),
        )
        assert [(e.pts_seconds, e.details) for e in events] == [(e.pts_seconds, e.details) for e in scaled]
        assert [np.multiply(e.point, scale).tolist() for e in events] == [list(e.point) for e in scaled]
