"""What a detector answers: parallel arrays of boxes, scores and classes, one instance per image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Detections of one image, in no promised order.

    Attributes:
        xyxy: (N, 4) float32, left, top, right, bottom in pixels of the source image.
        confidence: (N,) float32, 0..1.
        class_id: (N,) int64, index into the detector's ``class_names``.
        embedding: (N, E) float32, what each looks like, as unit vectors; None: nobody has looked.

    Raises:
        ValueError: If the shapes do not fit together.
    """

    xyxy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    class_id: NDArray[np.int64]
    embedding: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        count = len(self.xyxy)
        if self.xyxy.shape != (count, 4) or self.confidence.shape != (count,) or self.class_id.shape != (count,):
            raise ValueError(
                "Detections need xyxy (N, 4), confidence (N,), class_id (N,); "
                f"got {self.xyxy.shape}, {self.confidence.shape}, {self.class_id.shape}"
            )
        if self.embedding is not None and (self.embedding.ndim != 2 or len(self.embedding) != count):
            raise ValueError(f"Detections need one embedding per box, ({count}, E); got {self.embedding.shape}")

    def __len__(self) -> int:
        return len(self.xyxy)

    def __getitem__(self, index: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Detections:
        """The detections that a mask, an index array or a slice selects."""
        embedding = None if self.embedding is None else self.embedding[index]
        return Detections(self.xyxy[index], self.confidence[index], self.class_id[index], embedding)

    @classmethod
    def empty(cls) -> Detections:
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


class Picture(Protocol):
    """An image that can give itself smaller without being converted whole first (a decoded video frame)."""

    @property
    def height(self) -> int: ...

    @property
    def width(self) -> int: ...

    def resized(self, height: int, width: int) -> NDArray[np.uint8]:
        """The whole picture scaled to (height, width, 3) uint8 RGB, bilinear."""
        ...


ImageLike: TypeAlias = NDArray[np.uint8] | Picture
"""An (H, W, 3) uint8 RGB array, or anything that can resize itself."""


class Detector(Protocol):
    """Images in, one `Detections` per image out, in the order of the images."""

    @property
    def class_names(self) -> tuple[str, ...]: ...

    def detect(self, images: Sequence[ImageLike]) -> list[Detections]: ...
