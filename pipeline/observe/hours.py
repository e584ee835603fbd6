"""A sample as a rule with a schedule sees it: only what moves while it is open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vidan.pipeline.coverage import merge
from vidan.pipeline.observe.trails import Sample, Trail
from vidan.pipeline.observe.verdict import Verdict
from vidan.pipeline.schedule import Schedule


def within(sample: Sample, schedule: Schedule) -> Sample:
    """The sample with what its trails are while the schedule is open; all of it where nobody knows when it was taken.

    As to the rule, a trail is two where the schedule closes and opens in between. That it is cut there is no loose end.
    """
    if sample.start_utc is None or not sample.trails:
        return sample
    end = max(float(trail.seconds[-1]) for trail in sample.trails) + 1.0
    closed = np.array(merge(schedule.closed(sample.start_utc, end))).reshape(-1, 2)
    return replace(sample, trails=tuple(piece for trail in sample.trails for piece in _open_pieces(trail, closed)))


def told_of(verdict: Verdict, seen: Sample, whole: Sample) -> Verdict:
    """The verdict on a rule with a schedule, of what it saw of a sample."""
    if whole.trails and not seen.trails:
        return replace(verdict, summary="its schedule is closed whenever something moves in the sample")
    return replace(verdict, summary=f"{verdict.summary}, within its schedule")


def _open_pieces(trail: Trail, closed: NDArray[np.float64]) -> Iterator[Trail]:
    """Its parts outside of the closed (start, end), which are in order."""
    before = np.searchsorted(closed[:, 0], trail.seconds, side="right") - 1  # the last one that began; -1: none
    is_open = (before < 0) | (trail.seconds >= closed[before, 1]) if len(closed) else np.ones(len(before), np.bool_)
    for rows in np.split(np.arange(len(is_open)), np.flatnonzero(np.diff(is_open)) + 1):
        if is_open[rows[0]]:
            yield replace(
                trail,
                frame=trail.frame[rows],
                seconds=trail.seconds[rows],
                xyxy=trail.xyxy[rows],
                observed_xyxy=trail.observed_xyxy[rows],
                begins=trail.begins and bool(rows[0] == 0),
                ends=trail.ends and bool(rows[-1] == len(is_open) - 1),
            )
