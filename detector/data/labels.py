"""Annotation files, YOLO, COCO and MOTChallenge, each read into the same list of samples."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidan.detector.boxes import cxcywh_to_xyxy, xywh_to_xyxy
from vidan.detector.data.samples import DataError, Sample, VideoFrame, video_size

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
PROBLEMS_SHOWN = 10
EXIF_ORIENTATION = 0x0112


def read_yolo(images: Path, labels: Path | None = None, class_names: Sequence[str] | None = None) -> list[Sample]:
    """Samples of a folder of pictures with one label file each.

    A row is ``class cx cy w h`` or ``class x1 y1 x2 y2 x3 y3 ...`` (a polygon, of which the bounding box is taken),
    all numbers fractions of the picture. One row of more than 6 values makes all rows of its file polygons. Equal rows
    count once, boxes without area not at all; a picture without label file shows no object.

    Args:
        images: Folder of pictures.
        labels: Folder of label files; None replaces the last folder named ``images`` in the path by ``labels``.
        class_names: The known classes; None allows every class number.

    Raises:
        DataError: With the file and line of every wrong row (the first ten), or if there are no pictures.
    """
    pictures = sorted(path for path in _listed(images) if path.suffix.lower() in PICTURE_SUFFIXES)
    if not pictures:
        raise DataError(f"no pictures in {images} (looked for {', '.join(sorted(PICTURE_SUFFIXES))})")
    folder = labels or _labels_beside(images)
    if not folder.is_dir():
        raise DataError(f"no folder of labels at {folder}; name it with `labels`")
    problems: list[str] = []
    samples = []
    for picture in pictures:
        rows = _read_label_file(folder / f"{picture.stem}.txt", class_names, problems)
        height, width = _picture_size(picture)
        samples.append(_sample(picture, (height, width), rows[:, 1:] * (width, height, width, height), rows[:, 0]))
    _raise_if_any(problems)
    return samples


def read_coco(
    annotations: Path, images: Path, class_names: Sequence[str] | None = None
) -> tuple[list[Sample], tuple[str, ...]]:
    """Samples of a COCO instances file, and the class names that their ids index.

    Crowds are marked as ignored. Boxes without area are left out.

    Args:
        annotations: JSON with ``images``, ``annotations`` and ``categories``.
        images: Folder that the ``file_name`` of each picture is relative to.
        class_names: Which categories to keep, in the order of our ids; None keeps all, by rising category id.

    Raises:
        DataError: If the file is not of that format, or a class name is not among its categories.
    """
    try:
        content: dict[str, Any] = json.loads(_read_text(annotations))
        categories = {int(entry["id"]): str(entry["name"]) for entry in content["categories"]}
        names = tuple(class_names or (categories[number] for number in sorted(categories)))
        if unknown := set(names) - set(categories.values()):
            raise DataError(
                f"{annotations} has no category {_listing(unknown)}; it has {_listing(categories.values())}"
            )
        class_of = {number: names.index(name) for number, name in categories.items() if name in names}
        rows: dict[int, list[tuple[float, ...]]] = defaultdict(list)
        for entry in content["annotations"]:
            if entry["category_id"] in class_of:
                row = (class_of[entry["category_id"]], entry.get("iscrowd", 0), *_coco_box(annotations, entry))
                rows[entry["image_id"]].append(row)
        samples = []
        for entry in content["images"]:
            table = np.array(rows[entry["id"]], np.float64).reshape(-1, 6)
            size = (int(entry["height"]), int(entry["width"]))
            xyxy = xywh_to_xyxy(table[:, 2:])
            samples.append(_sample(images / entry["file_name"], size, xyxy, table[:, 0], table[:, 1] != 0))
    except json.JSONDecodeError as error:
        raise DataError(f"cannot read {annotations}: {error}") from error
    except (KeyError, TypeError) as error:
        raise DataError(f"{annotations} is not a COCO instances file: {error!r} is missing or wrong") from error
    return samples, names


def read_mot_video(video: Path, labels: Path, first: int, last: int) -> list[Sample]:
    """Samples of the frames ``first`` to ``last`` (from 1, both included) of a video with MOTChallenge labels.

    Rows are ``frame, id, left, top, width, height, confidence, ...``; an object of confidence 0 is ignored, and every
    object is of class 0. A frame without rows shows no object.

    Raises:
        DataError: If the video cannot be opened, or a row is wrong (file and line).
    """
    rows: dict[int, list[tuple[float, ...]]] = defaultdict(list)
    for number, row in enumerate(csv.reader(_read_text(labels).splitlines()), 1):
        try:
            rows[int(row[0])].append(tuple(float(row[column]) for column in range(2, 7)))
        except (ValueError, IndexError) as error:
            raise DataError(f"{labels}:{number}: not frame,id,x,y,w,h,confidence: {','.join(row)}") from error
    size = video_size(video)
    samples = []
    for frame in range(first, last + 1):
        table = np.array(rows[frame], np.float64).reshape(-1, 5)
        source = VideoFrame(video, frame - 1)
        samples.append(_sample(source, size, xywh_to_xyxy(table[:, :4]), np.zeros(len(table)), table[:, 4] == 0))
    return samples


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: not UTF-8 text, which labels must be") from error


def _coco_box(annotations: Path, entry: dict[str, Any]) -> tuple[float, ...]:
    """Left, top, width, height of an object in pixels."""
    try:
        left, top, width, height = map(float, entry["bbox"])
    except (TypeError, ValueError) as error:
        told = f"bbox must be left, top, width, height; got {entry['bbox']}"
        raise DataError(f"{annotations}: annotation {entry.get('id')}: {told}") from error
    return left, top, width, height


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise DataError(f"cannot list {folder}: {error}") from error


def _labels_beside(images: Path) -> Path:
    parts = list(images.absolute().parts)
    if "images" not in parts:
        raise DataError(
            f"{images} has no folder named 'images' in its path, so its labels are not beside it; name them"
        )
    parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts)


def _picture_size(path: Path) -> tuple[int, int]:
    """Height and width as `read_images` will give them, from the header: turned if the camera says so."""
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            turned = picture.getexif().get(EXIF_ORIENTATION, 1) >= 5
    except OSError as error:
        raise DataError(f"cannot read picture {path}: {error}") from error
    return (width, height) if turned else (height, width)


def _read_label_file(path: Path, class_names: Sequence[str] | None, problems: list[str]) -> NDArray[np.float64]:
    """(M, 5) class, left, top, right, bottom as fractions; what is wrong is added to ``problems``."""
    try:
        lines = _read_text(path).splitlines() if path.exists() else []
    except DataError as error:
        problems.append(str(error))
        lines = []
    numbered = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]
    polygons = any(len(values) > 6 for _, values in numbered)
    rows: dict[tuple[float, ...], None] = {}  # a dict keeps the order and drops equal rows
    for number, values in numbered:
        try:
            rows[_parse_row(values, polygons, class_names)] = None
        except ValueError as error:
            problems.append(f"{path}:{number}: {error}")
    return np.array(list(rows), np.float64).reshape(-1, 5)


def _parse_row(values: Sequence[str], polygons: bool, class_names: Sequence[str] | None) -> tuple[float, ...]:
    try:
        class_id, numbers = int(values[0]), np.array(values[1:], np.float64)
    except ValueError:
        raise ValueError(f"expected a whole class number and fractions, got {' '.join(values)}") from None
    if class_id < 0 or (class_names is not None and class_id >= len(class_names)):
        known = "from 0" if class_names is None else f"0 to {len(class_names) - 1}"
        raise ValueError(f"class {class_id} is unknown, classes go {known}")
    if len(numbers) < 4 or len(numbers) % 2 or (len(numbers) > 4 and not polygons):
        raise ValueError(f"expected class and 4 numbers, or class and points of a polygon; got {len(values)} values")
    if not np.all((numbers >= 0) & (numbers <= 1)):
        raise ValueError(f"coordinates must be fractions of the picture, within 0..1; got {' '.join(values[1:])}")
    if polygons:
        points = numbers.reshape(-1, 2)
        return (class_id, *points.min(0), *points.max(0))
    return (class_id, *cxcywh_to_xyxy(numbers))


def _sample(
    image: Path | VideoFrame,
    size: tuple[int, int],
    xyxy: NDArray[np.float64],
    class_id: NDArray[np.float64],
    ignored: NDArray[np.bool_] | None = None,
) -> Sample:
    """A sample of the boxes that have an area."""
    solid = (xyxy[:, 2] > xyxy[:, 0]) & (xyxy[:, 3] > xyxy[:, 1])
    marks = np.zeros(len(xyxy), np.bool_) if ignored is None else ignored
    return Sample(image, size, xyxy[solid].astype(np.float32), class_id[solid].astype(np.int64), marks[solid])


def _raise_if_any(problems: Sequence[str]) -> None:
    if problems:
        more = [f"and {len(problems) - PROBLEMS_SHOWN} more"] if len(problems) > PROBLEMS_SHOWN else []
        raise DataError("\n".join([*problems[:PROBLEMS_SHOWN], *more]))


def _listing(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
