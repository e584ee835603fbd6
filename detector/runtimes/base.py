"""The joint between the detector and whatever computes its network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vidan.detector.detections import Detections
from vidan.detector.nms import NmsOptions


class Runtime(Protocol):
    """A network on its device. uint8 goes up, survivors come down: a runtime suppresses where its answers are."""

    def infer(self, images: Iterable[NDArray[np.uint8]], options: NmsOptions) -> list[Detections]:
        """Survivors of every image, in order, boxes in pixels of the image.

        Args:
            images: Each (H, W, 3) RGB, contiguous, sides multiples of 32; sizes may differ. They are asked for one
                after another, so that whoever makes them can prepare one while another is in the network.
            options: What survives.
        """
        ...

    def describe(self) -> dict[str, str]:
        """What computes, for the record: ``runtime`` with its version, ``device``, ``precision``."""
        ...
