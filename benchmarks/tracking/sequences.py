"""The sequences of the benchmark: detections, ground truth and true counts, whole, thinned out, or made up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vidan.trackers import MotRows, read_mot, read_sequences

GROUPS = ("mot15", "mot17")
_OBJECT_SIZE = (40.0, 80.0)
_ROOM_PER_OBJECT = 200.0**2  # square pixels: 50 objects fill a picture of 1920 x 1080


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """One sequence as trackers get it.

    Attributes:
        name: Of the sequence.
        fps: Frames per second of the frames that are there.
        frame_count: Frames, numbered from 1.
        size: Width and height in pixels.
        detections: Rows in the order of the file.
        truth: Ground truth over the same frames; None for made-up objects.
        counts: True lines and zones (`counts/NAME.json`), where somebody counted.
    """

    name: str
    fps: float
    frame_count: int
    size: tuple[int, int]
    detections: MotRows
    truth: MotRows | None = None
    counts: Mapping[str, Any] | None = None


def read_group(shared: Path, group: str) -> list[Clip]:
    """All sequences of `tracking/GROUP`, by name."""
    folder = shared / "tracking" / group
    clips = []
    for name, sequence in read_sequences(folder).items():
        info = sequence.info
        assert info.fps is not None, name
        assert info.frame_count is not None, name
        assert info.size is not None, name
        counted = shared / "tracking" / "counts" / f"{name}.json"
        counts = json.loads(counted.read_text(encoding="utf-8")) if counted.is_file() else None
        detections = read_mot(folder / name / "det" / "det.txt")
        clips.append(Clip(name, info.fps, info.frame_count, info.size, detections, sequence.truth, counts))
    return clips


def thin_out(clip: Clip, step: int) -> Clip:
    """Every `step`-th frame, the first one included: a camera of fps / step."""

    def thin(rows: MotRows) -> MotRows:
        kept = rows[(rows.frame - 1) % step == 0]
        return replace(kept, frame=(kept.frame - 1) // step + 1)

    return replace(
        clip,
        fps=clip.fps / step,
        frame_count=-(-clip.frame_count // step),
        detections=thin(clip.detections),
        truth=None if clip.truth is None else thin(clip.truth),
        counts=None,
    )


def make_crowd(objects: int, frame_count: int) -> Clip:
    """Objects of 40 x 80 pixels that walk straight on at up to 4 pixels per frame, turning back at the border.

    The picture grows with their number, so that they stand equally dense in all crowds. Boxes tremble by 2 % of their
    size, one in twenty is missing in a frame, scores lie between 0.3 and 0.95, and the order is shuffled.
    """
    rng = np.random.default_rng(objects)
    side = np.sqrt(_ROOM_PER_OBJECT * objects)
    picture = np.array([side * 4 / 3, side * 3 / 4])
    start, speed = rng.uniform(0, picture, (objects, 2)), rng.uniform(-4, 4, (objects, 2))
    frames, boxes, scores = [], [], []
    for frame in range(frame_count):
        way = (start + speed * frame) % (2 * picture)
        centre = np.where(way > picture, 2 * picture - way, way)
        seen = rng.permutation(np.flatnonzero(rng.random(objects) > 0.05))
        corners = np.hstack([centre, centre]) + np.outer(np.ones(objects), [-0.5, -0.5, 0.5, 0.5]) * (2 * _OBJECT_SIZE)
        boxes.append((corners + rng.normal(0, 0.02, corners.shape) * (2 * _OBJECT_SIZE))[seen])
        scores.append(rng.uniform(0.3, 0.95, len(seen)))
        frames.append(np.full(len(seen), frame + 1))
    frame = np.concatenate(frames)
    nobody, pedestrian = np.full(len(frame), -1), np.ones(len(frame), np.int64)
    rows = MotRows(frame, nobody, np.concatenate(boxes), np.concatenate(scores), pedestrian)
    return Clip(f"{objects} objects", 30.0, frame_count, (int(picture[0]), int(picture[1])), rows)


def write_clips(path: Path, clips: Sequence[Clip]) -> None:
    """Writes what `worker.py` reads: per clip its facts, and the detections of every frame."""
    arrays: dict[str, Any] = {}
    for clip in clips:
        rows = clip.detections
        arrays[f"{clip.name}/facts"] = np.array([clip.fps, clip.frame_count, *clip.size])
        arrays[f"{clip.name}/bounds"] = np.searchsorted(rows.frame, np.arange(1, clip.frame_count + 2))
        arrays[f"{clip.name}/xyxy"] = rows.xyxy.astype(np.float32)
        arrays[f"{clip.name}/confidence"] = rows.confidence.astype(np.float32)
    np.savez(path, **arrays)
