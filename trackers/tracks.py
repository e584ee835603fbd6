"""What a tracker answers for one frame, and the protocol of all trackers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vidan.detector import Detections

Affine: TypeAlias = NDArray[np.float64]
"""(2, 3): a point p of one picture is at ``A[:, :2] @ p + A[:, 2]`` in another, in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """The tracklets present in one frame of one stream, ordered by track id.

    Attributes:
        track_id: (N,) int64, from 1, unique within the stream, never reused.
        xyxy: (N, 4) float32, left, top, right, bottom in pixels of the source image.
        confidence: (N,) float32, 0..1, of the detection that was matched in this frame; 0 where none was.
        class_id: (N,) int64, winner of the confidence-weighted vote over the tracklet's life so far.
        class_share: (N,) float32, 0..1, share of that vote which the winner holds.
        confirmed: (N,) bool, False while the tracklet is tentative.
        observed: (N,) bool, False where the box was put between two sightings afterwards (trackers answer only what
            they saw; a second pass fills gaps).
        ended: ids of the confirmed tracklets that the tracker gave up at this frame; they never come back.

    Raises:
        ValueError: If the shapes do not fit together.
    """

    track_id: NDArray[np.int64]
    xyxy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    class_id: NDArray[np.int64]
    class_share: NDArray[np.float32]
    confirmed: NDArray[np.bool_]
    observed: NDArray[np.bool_]
    ended: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        count = len(self.track_id)
        if not (
            self.xyxy.shape == (count, 4)
            and (count,) == self.track_id.shape == self.confidence.shape == self.class_id.shape
            and (count,) == self.class_share.shape == self.confirmed.shape == self.observed.shape
        ):
            columns = (self.track_id, self.confidence, self.class_id, self.class_share, self.confirmed, self.observed)
            raise ValueError(
                f"Tracks need xyxy (N, 4) and columns (N,); got {self.xyxy.shape} and {[c.shape for c in columns]}"
            )

    def __len__(self) -> int:
        return len(self.track_id)

    def __getitem__(self, index: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Tracks:
        """The rows that a mask, an index array or a slice selects; ``ended`` stays."""
        return Tracks(
            self.track_id[index],
            self.xyxy[index],
            self.confidence[index],
            self.class_id[index],
            self.class_share[index],
            self.confirmed[index],
            self.observed[index],
            self.ended,
        )

    @classmethod
    def concatenated(cls, parts: Sequence[Tracks], ended: tuple[int, ...]) -> Tracks:
        """The rows of all parts, one below the other, with these ids as `ended`."""
        columns = [field.name for field in fields(cls) if field.name != "ended"]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in columns}, ended=ended)

    @classmethod
    def empty(cls, ended: tuple[int, ...] = ()) -> Tracks:
        return cls(
            np.zeros(0, np.int64),
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.float32),
            np.zeros(0, np.int64),
            np.zeros(0, np.float32),
            np.zeros(0, np.bool_),
            np.zeros(0, np.bool_),
            ended,
        )


class Tracker(Protocol):
    """One stream's memory of who is who. Times only grow; one instance serves one stream."""

    @property
    def unclaimed(self) -> NDArray[np.intp]:
        """(K,) which detections of the last update neither go on with a tracklet nor begin one, ascending."""
        ...

    def update(self, detections: Detections, pts_seconds: float, motion: Affine | None = None) -> Tracks:
        """The tracklets observed in this frame, tentative ones included.

        Args:
            detections: Of this frame.
            pts_seconds: Presentation time of this frame, larger than at the last call.
            motion: Where the points of the last frame's picture are in this one's, of a camera that moved (see
                `CameraMotion`): turned, shifted and scaled alike in all directions. None: it stood still.
        """
        ...

    def finish(self) -> tuple[int, ...]:
        """Ends the stream: ids of the confirmed tracklets that were still alive, ascending."""
        ...

    def reset(self) -> None:
        """Forgets everything; ids start from 1 again."""
        ...
