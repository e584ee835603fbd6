"""Stored tracks as MOTChallenge rows: to be scored against ground truth, or written for other tools.

Frame numbers of MOTChallenge count pictures from 1, as `frame` of the store does from 0, skipped pictures included. So
frame f of the store is `first_frame` + f, whatever the stride; frames that the run never looked at have no rows, and
are known to be missing, not empty.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidan.pipeline.sinks.tracks import StoredTracks
from vidan.trackers import MotRows
from vidan.trackers.mot import PEDESTRIAN


@dataclass(frozen=True, slots=True, eq=False)
class StreamRows:
    """The tracks of one stream.

    Attributes:
        rows: All of them, as pedestrians: MOTChallenge's classes are not those of a detector.
        frames: (F,) int64 ascending, the frames that the run looked at.
    """

    rows: MotRows
    frames: NDArray[np.int64]


def rows_by_stream(
    tracks: StoredTracks, *, first_frame: int = 1, smoothed: bool = False, classes: Collection[str] | None = None
) -> dict[str, StreamRows]:
    """Stored tracks by name of the stream.

    Args:
        tracks: Of a run.
        first_frame: MOTChallenge's number of the stream's first picture.
        smoothed: Boxes on which the rules count, instead of the tracker's own.
        classes: Names of the classes to keep; None: all.

    Raises:
        ValueError: If there is no such class.
    """
    unknown = sorted(set(classes or ()) - set(tracks.class_names))
    if unknown:
        raise ValueError(f"no class {unknown[0]!r} in {tracks.path}; it has {', '.join(tracks.class_names)}")
    kept = [i for i, name in enumerate(tracks.class_names) if classes is None or name in classes]
    found: dict[str, list[tuple[int, NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]]] = {}
    for stored in tracks:
        counted = stored.counted
        of_class = np.isin(counted.tracks.class_id, kept)
        boxes = counted.tracks.xyxy if smoothed else counted.observed_xyxy
        found.setdefault(counted.stamp.stream, []).append(
            (
                counted.stamp.index + first_frame,
                counted.tracks.track_id[of_class],
                boxes[of_class],
                counted.tracks.confidence[of_class],
            )
        )
    streams = {}
    for name, frames in found.items():
        numbers, ids, boxes, confidences = zip(*frames, strict=True)
        frame = np.repeat(np.array(numbers, np.int64), [len(track_id) for track_id in ids])
        columns = np.concatenate(ids), np.concatenate(boxes).astype(np.float64), np.concatenate(confidences)
        rows = MotRows(frame, columns[0], columns[1], columns[2].astype(np.float64), np.full(len(frame), PEDESTRIAN))
        streams[name] = StreamRows(rows, np.array(numbers, np.int64))
    return streams
