"""When frames come too slowly for the objects, and when nothing can be said."""

from __future__ import annotations

import numpy as np
import pytest

from vidan.trackers import Pace, Tracks


def walking(step: float, frames: int = 120, count: int = 2) -> Pace:
    """Boxes of 40 x 80 pixels that move sideways by a step per frame."""
    pace = Pace()
    ones = np.ones(count, np.float32)
    for index in range(frames):
        left = np.arange(count) * 500 + step * index
        xyxy = np.stack([left, 0 * left, left + 40, 0 * left + 80], axis=1).astype(np.float32)
        ids = np.arange(1, count + 1)
        pace.note(Tracks(ids, xyxy, ones, ids * 0, ones, ones > 0, ones > 0))
    return pace


@pytest.mark.parametrize("step", [0.0, 2.0, 15.0])
def test_boxes_that_overlap_well_are_no_problem(step: float) -> None:
    assert walking(step).problem is None  # 15 of 40 pixels: an IoU of 0.45


@pytest.mark.parametrize("step", [20.0, 50.0])
def test_boxes_that_hardly_overlap_are_told_with_the_figure(step: float) -> None:
    problem = walking(step).problem
    assert problem is not None
    assert "100% of their boxes overlap by less than 40%" in problem


def test_a_few_steps_prove_nothing() -> None:
    assert walking(50.0, frames=20).problem is None


def test_tracks_that_were_not_there_make_no_step() -> None:
    pace = Pace()
    for _ in range(200):
        pace.note(Tracks.empty())
    assert pace.problem is None
