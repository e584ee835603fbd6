"""Walks for rules to watch: drawn by hand or by hypothesis, or the ground truth of real footage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from vidan.pipeline.engine.judge import judge
from vidan.pipeline.events import Event
from vidan.pipeline.frame import CountedFrame, Stamp
from vidan.pipeline.stages import Rule
from vidan.trackers import Tracks

Place: TypeAlias = tuple[float, float]
Scene: TypeAlias = tuple[Stamp, Tracks]

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def walk() -> Callable[..., list[Scene]]:
    """Turns paths into frames of tracks."""
    return frames_of_paths


@pytest.fixture(scope="session")
def watch() -> Callable[[Rule, Sequence[Scene]], list[Event]]:
    """Shows frames to a rule; what it counts."""
    return lambda rule, scenes: _split(rule, scenes)[0]


@pytest.fixture(scope="session")
def missed() -> Callable[[Rule, Sequence[Scene]], list[Event]]:
    """Shows frames to a rule; its near misses."""
    return lambda rule, scenes: _split(rule, scenes)[1]


@pytest.fixture(scope="session")
def notice() -> Callable[[Rule, Sequence[Scene]], list[Event]]:
    """Shows frames to a rule; what it counts and what it nearly counts, in its order."""
    return lambda rule, scenes: [event for stamp, tracks in scenes for event in rule.update(stamp, tracks)]


@pytest.fixture(scope="session")
def ground_truth(shared: Path) -> Callable[[str, float, int], list[Scene]]:
    """Frames of the annotated tracks of a MOT Challenge sequence: `ground_truth(sequence, fps, frames)`."""
    return cache(partial(frames_of_ground_truth, shared / "tracking"))


def _split(rule: Rule, scenes: Sequence[Scene]) -> tuple[list[Event], list[Event]]:
    return judge([rule], [CountedFrame(stamp, tracks, tracks.xyxy) for stamp, tracks in scenes])


def frames_of_paths(
    paths: Mapping[int, Sequence[Place | None]],
    *,
    fps: float = 10.0,
    height: float = 100.0,
    lost_after: int = 10,
    classes: Mapping[int, Sequence[int]] | None = None,
) -> list[Scene]:
    """Frames in which every track's box stands with its bottom centre where its path says.

    Args:
        paths: For each track one place per frame, from frame 0; None while it is not seen.
        fps: Frames per second.
        height: Of the boxes, in pixels; they are half as wide.
        lost_after: Frames after its last place at which a track ends, the last frame of all at the latest.
        classes: For each track its class in each frame; without it all are of class 0.
    """
    count = max(len(path) for path in paths.values())
    ends = {track: max(i for i, place in enumerate(path) if place) + lost_after for track, path in paths.items()}
    scenes = []
    for index in range(count):
        places = {track: path[index] for track, path in sorted(paths.items()) if index < len(path) and path[index]}
        feet = np.array(list(places.values()), np.float64).reshape(-1, 2)
        class_ids = [0 if classes is None else classes[track][index] for track in places]
        ended = [track for track in sorted(paths) if min(ends[track], count - 1) == index]
        corners = feet[:, None] + [(-height / 4, -height), (height / 4, 0)]  # [N,2,2]
        tracks = _tracks(list(places), corners[:, 0], corners[:, 1], ended, class_ids)
        scenes.append((Stamp("camera", index, index / fps, START + timedelta(seconds=index / fps)), tracks))
    return scenes


def frames_of_ground_truth(folder: Path, sequence: str, fps: float, frames: int) -> list[Scene]:
    """Frames of the annotated pedestrians, frames numbered from 1; a track ends with its last annotation."""
    is_mot17 = sequence.startswith("MOT17")
    rows = np.loadtxt(folder / ("mot17" if is_mot17 else "mot15") / sequence / "gt" / "gt.txt", delimiter=",")
    is_evaluated = rows[:, 6] == 1
    is_pedestrian = rows[:, 7] == 1 if is_mot17 else True
    rows = rows[is_evaluated & is_pedestrian]
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    last_frame = {int(track): int(frame) for frame, track in rows[:, :2]}
    scenes = []
    for frame in range(1, frames + 1):
        first, beyond = np.searchsorted(rows[:, 0], [frame, frame + 1])
        ids, tops, sizes = np.split(rows[first:beyond, 1:6], [1, 3], axis=1)
        ended = [track for track, last in last_frame.items() if last == frame]
        tracks = _tracks(ids[:, 0].astype(int).tolist(), tops, tops + sizes, ended, [0] * len(ids))
        scenes.append((Stamp(sequence, frame, (frame - 1) / fps), tracks))
    return scenes


def _tracks(
    ids: Sequence[int],
    top_left: np.ndarray,
    bottom_right: np.ndarray,
    ended: Sequence[int],
    class_ids: Sequence[int],
) -> Tracks:
    return Tracks(
        np.array(ids, np.int64),
        np.hstack([top_left, bottom_right]).astype(np.float32),
        np.full(len(ids), 0.9, np.float32),
        np.array(class_ids, np.int64),
        np.full(len(ids), 0.75, np.float32),
        np.ones(len(ids), np.bool_),
        np.ones(len(ids), np.bool_),
        tuple(sorted(ended)),
    )
