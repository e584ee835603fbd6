"""What runtimes of exported networks share: one picture after another, in the precision of the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from vidan.detector.detections import Detections
from vidan.detector.errors import DeviceError
from vidan.detector.nms import NmsOptions, suppress
from vidan.detector.runtimes.decode import decode_candidates
from vidan.detector.weights.checkpoint import WeightsCard

Maps = Callable[[NDArray[np.uint8]], list[NDArray[np.float32]]]
"""A picture (H, W, 3) to the head's raw maps (channels, h, w), finest first."""


def infer_singly(
    maps: Maps, images: Iterable[NDArray[np.uint8]], *, classes: int, options: NmsOptions
) -> list[Detections]:
    """Survivors of each picture, whose answer does not depend on its company; see `Runtime.infer`."""
    return [
        suppress(
            decode_candidates(maps(image), classes=classes, height=image.shape[0], confidence=options.confidence),
            options,
        )
        for image in images
    ]


def precision_of(card: WeightsCard, wanted: str) -> str:
    """The precision of an exported network, which is settled in the file.

    Raises:
        DeviceError: If another one is wanted.
    """
    exported = card.export.precision if card.export else "fp32"
    if wanted not in ("auto", exported):
        raise DeviceError(f"precision {wanted}: this network was exported in {exported}; use auto, or export it again")
    return exported
