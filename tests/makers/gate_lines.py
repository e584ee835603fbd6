"""A line across the picture, ways over it, and what it says of them."""

from __future__ import annotations

from collections import Counter

from vidan.pipeline.rules.line import LineRule

EASTWARD = [(0, 100), (200, 100)]  # `in` is upwards on the picture, from below (y > 100) to above


def line(points=EASTWARD, **options):
    """Boxes of walks are 100 px high: the hysteresis is 10 px. Ten frames are one second, the time to settle."""
    return LineRule(name="gate", points=points, class_names=["person", "car"], **options)


def column(*heights):
    """A path straight up and down through the middle of the line; None where it is not seen."""
    return [None if y is None else (100, y) for y in heights]


def directions(events):
    return [event.details["direction"] for event in events]


def tally(events):
    counts = Counter(directions(events))
    return counts["in"], counts["out"]
