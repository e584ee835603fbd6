"""MOTChallenge text files, in and out.

One box per line, comma separated, frames from 1, ``x, y`` the top left corner in pixels:

    detections, results, MOT15 ground truth    frame, id, x, y, w, h, confidence[, world x, y, z]
    MOT17 ground truth                         frame, id, x, y, w, h, confidence, class, visibility

Only MOT17 ground truth has nine columns, and that is how it is told apart. In ground truth a confidence of 0 means
"not evaluated"; detections carry the id -1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidan.detector import Detections, xywh_to_xyxy, xyxy_to_xywh
from vidan.trackers.tracks import Tracks

PEDESTRIAN = 1
"""The class of rows without a class column (MOT15 and every result file know only pedestrians)."""

_REQUIRED_COLUMNS = 7
_CLASSIFIED_COLUMNS = 9


@dataclass(frozen=True, slots=True, eq=False)
class MotRows:
    """The rows of one sequence, ordered by frame, in the file's order within a frame.

    Attributes:
        frame: (N,) int64, from 1.
        track_id: (N,) int64, -1 for detections.
        xyxy: (N, 4) float64, pixels; boxes may reach outside the picture.
        confidence: (N,) float64.
        class_id: (N,) int64, the classes of MOT17, `PEDESTRIAN` where the file has none.
    """

    frame: NDArray[np.int64]
    track_id: NDArray[np.int64]
    xyxy: NDArray[np.float64]
    confidence: NDArray[np.float64]
    class_id: NDArray[np.int64]

    def __post_init__(self) -> None:
        count = len(self.frame)
        columns = (self.frame, self.track_id, self.confidence, self.class_id)
        if self.xyxy.shape != (count, 4) or any(column.shape != (count,) for column in columns):
            raise ValueError(
                f"MotRows need xyxy (N, 4) and columns (N,); got {self.xyxy.shape} and {[c.shape for c in columns]}"
            )

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, index: NDArray[np.bool_] | NDArray[np.intp] | slice) -> MotRows:
        """The rows that a mask, an index array or a slice selects."""
        return MotRows(
            self.frame[index], self.track_id[index], self.xyxy[index], self.confidence[index], self.class_id[index]
        )

    @classmethod
    def from_tracks(cls, frames: list[Tracks]) -> MotRows:
        """Rows of a whole sequence of tracker answers, the first one being frame 1.

        A tracker's classes are those of its detector, not MOT17's: all rows become pedestrians.
        """
        lengths = np.array([len(tracks) for tracks in frames], np.int64)
        return cls(
            np.repeat(np.arange(1, len(frames) + 1), lengths),
            np.concatenate([np.zeros(0, np.int64), *(tracks.track_id for tracks in frames)]),
            np.concatenate([np.zeros((0, 4)), *(tracks.xyxy for tracks in frames)], dtype=np.float64),
            np.concatenate([np.zeros(0), *(tracks.confidence for tracks in frames)], dtype=np.float64),
            np.full(int(lengths.sum()), PEDESTRIAN),
        )

    def detections(self, frame_count: int) -> Iterator[Detections]:
        """The rows as `Detections` of frames 1 to `frame_count`, empty frames included."""
        bounds = np.searchsorted(self.frame, np.arange(1, frame_count + 2))
        for start, stop in pairwise(bounds):
            yield Detections(
                self.xyxy[start:stop].astype(np.float32),
                self.confidence[start:stop].astype(np.float32),
                self.class_id[start:stop],
            )


def read_mot(path: Path) -> MotRows:
    """The rows of a MOTChallenge file; empty lines and spaces are ignored, frames may come in any order.

    Raises:
        ValueError: If a line has too few columns, a column is no number, a frame is below 1 or a size is not
            positive; the message names file and line.
    """
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if line.strip():
            try:
                rows.append(_parse_line(line))
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from error
    table = np.array(rows, np.float64).reshape(-1, _REQUIRED_COLUMNS + 1)
    table = table[np.argsort(table[:, 0], kind="stable")]
    return MotRows(
        table[:, 0].astype(np.int64),
        table[:, 1].astype(np.int64),
        xywh_to_xyxy(table[:, 2:6]),
        table[:, 6],
        table[:, 7].astype(np.int64),
    )


def write_mot(path: Path, rows: MotRows) -> None:
    """Writes rows as a result file: ten columns, the last three -1, pixels and confidence with three decimals."""
    table = np.column_stack([rows.frame, rows.track_id, xyxy_to_xywh(rows.xyxy), rows.confidence])
    lines = [
        f"{frame:.0f},{track_id:.0f},{x:.3f},{y:.3f},{width:.3f},{height:.3f},{confidence:.3f},-1,-1,-1\n"
        for frame, track_id, x, y, width, height, confidence in table.tolist()
    ]
    path.write_text("".join(lines), encoding="utf-8")


def _parse_line(line: str) -> list[float]:
    """frame, id, x, y, w, h, confidence, class."""
    cells = line.strip().rstrip(",").split(",")
    if len(cells) < _REQUIRED_COLUMNS:
        raise ValueError(
            f"expected at least {_REQUIRED_COLUMNS} comma-separated columns "
            f"(frame, id, x, y, w, h, confidence), got {len(cells)}"
        )
    values = [float(cell) for cell in cells]
    frame, _, _, _, width, height, _ = row = values[:_REQUIRED_COLUMNS]
    if not all(isfinite(value) for value in row):
        raise ValueError(f"columns must be finite numbers, got {line.strip()}")
    if not frame >= 1:
        raise ValueError(f"frames count from 1, got {frame:g}")
    if not (width > 0 and height > 0):
        raise ValueError(f"width and height must be positive, got {width:g} x {height:g}")
    return [*row, values[7] if len(cells) == _CLASSIFIED_COLUMNS else PEDESTRIAN]
