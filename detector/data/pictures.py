"""Whether picture files can be decoded, and by what they are known whatever they are called."""

from __future__ import annotations

import hashlib
import io
import os
import struct
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from PIL import Image

DECODING_ERRORS = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)
"""What PIL raises for files that it cannot decode."""


class PictureFacts(NamedTuple):
    """What looking at a file has shown.

    Attributes:
        sha256: Of its bytes; empty if it cannot be read.
        problem: Why it cannot be decoded, or None.
    """

    sha256: str
    problem: str | None


def look_at(paths: Iterable[Path]) -> Iterator[PictureFacts]:
    """Reads and decodes each file, all cores at once, and answers in their order.

    Files that are cut off or are no picture are found; single flipped bits in a JPEG are not, for any decoder paints
    something there.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # PIL's decoders let go of Python's lock
        yield from pool.map(_facts, paths)


def _facts(path: Path) -> PictureFacts:
    try:
        data = path.read_bytes()
    except OSError as error:
        return PictureFacts("", error.strerror or str(error))
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.draft(
                "RGB", (1, 1)
            )  # a JPEG is decoded at an eighth of its size: all of its data, but fewer pixels
            picture.load()
    except DECODING_ERRORS as error:
        return PictureFacts(sha256, reason(error))
    return PictureFacts(sha256, None)


def reason(error: BaseException) -> str:
    """Why a picture cannot be decoded, in words that do not name it."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "empty, or no picture of a known format"
    return getattr(error, "strerror", None) or str(error)
