"""Pictures as JPEG files, whole or not at all."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

LONGEST_SIDE = 1280  # pixels; enough to recognise what is going on, and a fifth of the bytes of 4K
JPEG_QUALITY = 80


def save_jpeg(path: Path, image: NDArray[np.uint8]) -> None:
    """Writes a picture, scaled down to `LONGEST_SIDE`.

    Args:
        path: File to write; an old one is replaced.
        image: (H, W, 3) uint8 RGB.

    Raises:
        OSError: If it cannot be written; nothing of it stays.
    """
    draft = path.with_name(path.name + ".partial")
    try:
        Image.fromarray(shrink(image)).save(draft, "JPEG", quality=JPEG_QUALITY)
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def shrink(image: NDArray[np.uint8], longest_side: int = LONGEST_SIDE) -> NDArray[np.uint8]:
    """The (H, W, 3) picture with no side longer than that, in its proportions."""
    scale = longest_side / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
