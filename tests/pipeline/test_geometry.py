"""Boxes, sides and passages, worked out by hand and against exact arithmetic."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vidan.pipeline.geometry import Polyline, anchors_of

EASTWARD = [(0, 0), (10, 0)]
BENT = [(0, 0), (10, 0), (10, 10)]  # east, then down: its right hand is the inside of the bend


def passages(points, path):
    """Of a path from place to place, all steps at once."""
    path = np.array(path, np.float64)
    return Polyline(points).passages(path[:-1], path[1:])


def crossings(points, path):
    return [passage for passage in passages(points, path) if passage.beyond is None]


@pytest.mark.parametrize(
    ("anchor", "place"),
    [
        ("bottom_center", (20, 60)),
        ("center", (20, 40)),
        ("top_center", (20, 20)),
        ("left_center", (10, 40)),
        ("right_center", (30, 40)),
        ("top_left", (10, 20)),
        ("top_right", (30, 20)),
        ("bottom_left", (10, 60)),
        ("bottom_right", (30, 60)),
    ],
)
def test_an_anchor_is_the_named_point_of_the_box(anchor, place):
    assert anchors_of(np.array([[10, 20, 30, 60]], np.float32), anchor).tolist() == [list(place)]


def test_no_boxes_have_no_anchors():
    assert anchors_of(np.zeros((0, 4), np.float32), "center").shape == (0, 2)


def test_the_right_hand_of_someone_walking_east_on_the_picture_is_below_and_positive():
    sides = Polyline(EASTWARD).sides(np.array([[5.0, 3.0], [5.0, -3.0], [25.0, 0.0]]))
    assert np.sign(sides[:, 0]).tolist() == [1, -1, 0]


def test_every_segment_has_its_own_sides():
    assert np.sign(Polyline(BENT).sides(np.array([[20.0, 5.0]]))).tolist() == [[1, -1]]


@pytest.mark.parametrize(
    ("place", "distance"),
    [((5, 3), 3), ((5, 0), 0), ((-3, 4), 5), ((13, 14), 5), ((10, 0), 0), ((7, 5), 3), ((13, -4), 5)],
)
def test_distance_is_to_the_segments_and_not_to_their_continuations(place, distance):
    assert Polyline(BENT).distances(np.array([place], np.float64)).tolist() == [distance]


def test_a_passage_tells_where_on_the_step_and_in_which_direction():
    assert passages(EASTWARD, [(4, 3), (8, -1)]) == [(0, 0.75, 0, 1, None)]
    assert passages(EASTWARD, [(8, -1), (4, 3)]) == [(0, 0.25, 0, -1, None)]


def test_several_passages_of_one_step_come_in_the_order_of_the_walk():
    found = passages([(0, 0), (10, 0), (10, 10), (0, 10)], [(2, -5), (2, 15)])
    assert [(passage.segment, passage.sign) for passage in found] == [(0, -1), (2, 1)]


@pytest.mark.parametrize(
    ("path", "net"),
    [
        pytest.param([(5, 5), (5, 0), (5, 5)], 0, id="touched from the right and left again"),
        pytest.param([(5, -5), (5, 0), (5, -5)], 0, id="touched from the left and left again"),
        pytest.param([(5, 5), (5, 0), (5, -5)], 1, id="a place exactly on the line, then the other side"),
        pytest.param([(5, -5), (5, 0), (5, 5)], -1, id="the same way back"),
        pytest.param([(2, 5), (2, 0), (5, 0), (7, 0), (7, 5)], 0, id="along the line and back"),
        pytest.param([(2, 5), (2, 0), (5, 0), (7, 0), (7, -5)], 1, id="along the line and away on the other side"),
        pytest.param([(5, 5), (15, -5)], 1, id="through the vertex of the bend"),
        pytest.param([(5, 5), (10, 0), (15, -5)], 1, id="through the vertex with a stop on it"),
        pytest.param([(5, -5), (15, 5)], 0, id="past the outside of the bend, touching its vertex"),
        pytest.param([(5, 5), (10, 0), (5, 7)], 0, id="touching the vertex from within"),
        pytest.param([(15, 5), (10, 5), (10, 0), (5, 0), (5, -5)], 0, id="along the line around the bend, outside"),
        pytest.param([(15, 5), (10, 5), (10, 0), (5, 0), (5, 5)], -1, id="along the line around the bend, then in"),
        pytest.param([(5, 5), (5, 5)], 0, id="standing still"),
        pytest.param([(5, 0), (5, 0), (6, 0)], 0, id="staying on the line"),
    ],
)
def test_touching_is_no_crossing_and_a_vertex_is_crossed_once(path, net):
    assert sum(passage.sign for passage in crossings(BENT, path)) == net
    assert sum(passage.sign for passage in crossings(BENT, path[::-1])) == -net


def test_the_way_around_an_end_is_no_crossing_but_is_told_with_its_distance():
    assert crossings(EASTWARD, [(-3, 5), (-3, -5)]) == []
    assert [passage.beyond for passage in passages(EASTWARD, [(-3, 5), (-3, -5)])] == [3]
    assert [passage.beyond for passage in passages(EASTWARD, [(14, 5), (14, -5)])] == [4]


def test_there_is_no_way_around_an_inner_vertex_or_a_closed_line():
    assert passages(BENT, [(20, 5), (20, -5)]) == []
    square = [(0, 0), (10, 0), (10, 10), (0, 10), (0, 0)]
    assert passages(square, [(-3, 5), (-3, -5)]) == []
    assert [passage.sign for passage in passages(square, [(5, 5), (-5, -5)])] == [1]


def test_two_lines_that_share_an_end_share_the_crossings_between_them():
    path = [(5, 5), (10, 0), (15, -5)]
    assert len(crossings([(0, 0), (10, 0)], path)) + len(crossings([(10, 0), (20, 0)], path)) == 1


def test_repeated_points_are_one():
    assert Polyline([(0, 0), (0, 0), (10, 0), (10, 0)]).vertices.tolist() == [[0, 0], [10, 0]]


@pytest.mark.parametrize("points", [[], [(1, 1)], [(1, 1), (1, 1)], [(0, 0), (float("nan"), 1)], [(0, 0), (np.inf, 1)]])
def test_a_line_without_length_or_with_points_nowhere_is_refused(points):
    with pytest.raises(ValueError, match="a line needs"):
        Polyline(points)


# --- laws -------------------------------------------------------------------------------------------------------------

small = st.integers(-4, 4)
paths = st.lists(st.tuples(small, small), min_size=2, max_size=12)


@st.composite
def graphs(draw):
    """Polylines from far left to far right that never turn back: every place is above or below them."""
    inner = draw(st.lists(st.integers(-3, 3), unique=True, max_size=4).map(sorted))
    return [(x, draw(st.integers(-2, 2))) for x in (-9, *inner, 9)]


def side_of_graph(points, place):
    """+1 below (the right hand), -1 above, 0 on it, in exact arithmetic."""
    x, y = place
    (ax, ay), (bx, by) = next((a, b) for a, b in pairwise(points) if a[0] <= x <= b[0])
    height = y - (ay + Fraction(by - ay, bx - ax) * (x - ax))
    return (height > 0) - (height < 0)


@settings(deadline=None, max_examples=150)
@given(graphs(), paths)
def test_what_crosses_is_the_difference_of_the_sides_at_both_ends(points, path):
    first, last = side_of_graph(points, path[0]), side_of_graph(points, path[-1])
    assume(first and last)
    assert 2 * sum(passage.sign for passage in crossings(points, path)) == first - last


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(small, small), min_size=3, max_size=7), paths)
def test_what_enters_a_closed_line_is_the_difference_of_inside_at_both_ends(corners, path):
    hull = shapely.MultiPoint(corners).convex_hull
    first, last = shapely.Point(path[0]), shapely.Point(path[-1])
    assume(hull.geom_type == "Polygon" and not hull.touches(first) and not hull.touches(last))
    ring = shapely.get_coordinates(hull).tolist()
    if shapely.is_ccw(
        shapely.LinearRing(ring)
    ):  # for shapely y goes up: clockwise there has the inside on the left hand on the picture
        ring.reverse()
    assert sum(passage.sign for passage in crossings(ring, path)) == hull.contains(last) - hull.contains(first)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(small, small), min_size=2, max_size=6), paths)
def test_the_way_back_passes_the_same_segments_in_the_other_direction(points, path):
    assume(len(set(points)) > 1)
    there = {(p.row, p.segment, p.sign) for p in passages(points, path)}
    back = {(len(path) - 2 - p.row, p.segment, -p.sign) for p in passages(points, path[::-1])}
    assert there == back
