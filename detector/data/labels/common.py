"""What the readers of all formats share: text, sizes of pictures, and samples of boxes that can be learned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidan.detector.boxes import box_area, box_iou, clip_boxes
from vidan.detector.data.findings import FindingKind, Findings
from vidan.detector.data.pictures import DECODING_ERRORS, reason
from vidan.detector.data.samples import DataError, ImageSource, Outline, Sample

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
EXIF_ORIENTATION = 0x0112
OUTSIDE_PX = 1.0  # by which a box may leave its picture unnoticed: annotation tools round
DOUBLE_IOU = 0.95


def read_text(path: Path) -> str:
    """The text of a label file.

    Raises:
        DataError: If it cannot be read, or is not UTF-8 (then with the line).
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: not UTF-8 text, which labels must be") from error


def listed(folder: Path) -> list[Path]:
    """What is in a folder, by name.

    Raises:
        DataError: If it cannot be listed.
    """
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"cannot list {folder}: {error.strerror}") from error


def listed_pictures(folder: Path) -> list[Path]:
    """The pictures in a folder, by name.

    Raises:
        DataError: If there is none, or no folder.
    """
    pictures = [path for path in listed(folder) if path.suffix.lower() in PICTURE_SUFFIXES]
    if not pictures:
        raise DataError(f"no pictures in {folder} (looked for {', '.join(sorted(PICTURE_SUFFIXES))})")
    return pictures


def picture_size(path: Path, findings: Findings) -> tuple[int, int] | None:
    """Height and width as `read_images` will give them, from the header: turned if the camera says so.

    None, and a finding, if there is no such picture, or it has no header.
    """
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            turned = picture.getexif().get(EXIF_ORIENTATION, 1) >= 5
    except DECODING_ERRORS as error:
        missing = isinstance(error, FileNotFoundError)
        findings.add(
            FindingKind.MISSING_PICTURE if missing else FindingKind.CORRUPT_PICTURE,
            path,
            "there is no such file" if missing else reason(error),
        )
        return None
    return (width, height) if turned else (height, width)


def make_sample(
    image: ImageSource,
    size: tuple[int, int],
    xyxy: NDArray[np.float64],
    class_id: NDArray[np.float64] | NDArray[np.int64],
    ignored: NDArray[np.bool_],
    place: Callable[[int], str],
    findings: Findings,
    outlines: Sequence[Outline] = (),
) -> Sample:
    """A sample of the boxes of which something is to be seen.

    Args:
        image: Picture, or frame of a video.
        size: Its height and width.
        xyxy: (M, 4) pixels.
        class_id: (M,).
        ignored: (M,).
        place: File and line (or whatever is known) of the n-th box, for findings.
        findings: Takes what is odd about the boxes.
        outlines: Of each box, where the format has some.
    """
    solid = (xyxy[:, 2] > xyxy[:, 0]) & (xyxy[:, 3] > xyxy[:, 1])
    inside = clip_boxes(xyxy, *size)
    seen = box_area(inside) > 0
    for index in np.flatnonzero(~(solid & seen)).tolist():
        findings.add(FindingKind.UNSEEN if solid[index] else FindingKind.NO_AREA, place(index), _box(xyxy[index], size))
    kept = np.flatnonzero(solid & seen)
    beyond = np.abs(xyxy - inside).max(axis=1, initial=0)
    for index in kept[beyond[kept] > OUTSIDE_PX].tolist():
        findings.add(FindingKind.OUTSIDE, place(index), f"by {beyond[index]:.0f} px; {_box(xyxy[index], size)}")
    _find_doubles(xyxy, class_id, kept[~ignored[kept]], place, findings)
    known = tuple(outlines[index] for index in kept.tolist()) if any(outlines) else ()
    return Sample(
        image,
        size,
        xyxy[kept].astype(np.float32),
        class_id[kept].astype(np.int64),
        ignored[kept].astype(np.bool_),
        known if any(known) else (),
    )


def names_listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _find_doubles(
    xyxy: NDArray[np.float64],
    class_id: NDArray[np.float64] | NDArray[np.int64],
    chosen: NDArray[np.intp],
    place: Callable[[int], str],
    findings: Findings,
) -> None:
    """Notes the pairs of chosen boxes of one class that cover each other."""
    overlap = np.triu(box_iou(xyxy[chosen], xyxy[chosen]), 1)
    overlap[class_id[chosen][:, None] != class_id[chosen][None, :]] = 0
    for first, second in np.argwhere(overlap >= DOUBLE_IOU).tolist():
        what = (
            f"of the same class and nearly the same as {place(int(chosen[first]))} (IoU {overlap[first, second]:.2f})"
        )
        findings.add(FindingKind.DOUBLE, place(int(chosen[second])), what)


def _box(xyxy: NDArray[np.float64], size: tuple[int, int]) -> str:
    return f"box {' '.join(f'{value:.6g}' for value in xyxy.tolist())} in {size[1]}x{size[0]}"
