"""YOLO labels: a text file beside each picture, one object per line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidan.detector.boxes import cxcywh_to_xyxy
from vidan.detector.data.findings import FindingKind, Findings
from vidan.detector.data.labels.common import listed, listed_pictures, make_sample, picture_size, read_text
from vidan.detector.data.samples import DataError, Outline, Sample


def read_yolo(
    images: Path,
    labels: Path | None = None,
    class_names: Sequence[str] | None = None,
    *,
    findings: Findings | None = None,
) -> list[Sample]:
    """Samples of a folder of pictures with one label file each.

    A row is ``class cx cy w h`` or ``class x1 y1 x2 y2 x3 y3 ...`` (an outline, whose bounding box is taken), all
    numbers fractions of the picture. One row of more than 6 values makes all rows of its file polygons. Equal rows
    count once, boxes without area not at all; a picture without label file shows no object.

    Args:
        images: Folder of pictures.
        labels: Folder of label files; None replaces the last folder named ``images`` in the path by ``labels``.
        class_names: The known classes; None allows every class number.
        findings: Takes what is wrong (each row with file and line) or odd; None: what is wrong is raised.

    Raises:
        DataError: If there are no pictures, or no folder of labels.
    """
    found = Findings() if findings is None else findings
    pictures = listed_pictures(images)
    folder = labels_beside(images) if labels is None else labels
    if not folder.is_dir():
        raise DataError(f"no folder of labels at {folder}; name it with `labels`")
    files = {path.stem: path for path in listed(folder) if path.suffix == ".txt" and path.name != "classes.txt"}
    samples = []
    for picture in pictures:
        file = files.get(picture.stem)
        if file is None:
            found.add(FindingKind.NO_LABELS, picture)
        if (size := picture_size(picture, found)) is None:
            continue
        numbers, rows, polygons = _read_file(file, class_names, found)
        height, width = size
        outlines = [tuple(polygon * np.array(size[::-1], np.float32) for polygon in each) for each in polygons]
        xyxy = rows[:, 1:] * (width, height, width, height)

        def place(index: int, file: Path | None = file, numbers: Sequence[int] = numbers) -> str:
            return f"{file}:{numbers[index]}"

        nobody = np.zeros(len(rows), np.bool_)
        samples.append(make_sample(picture, size, xyxy, rows[:, 0], nobody, place, found, outlines))
    for stem in sorted(files.keys() - {picture.stem for picture in pictures}):
        found.add(FindingKind.NO_PICTURE, files[stem])
    if findings is None:
        found.raise_errors()
    return samples


def labels_beside(images: Path) -> Path:
    """The folder of labels that belongs to one of pictures by the custom of the format.

    Raises:
        DataError: If the path has no folder named ``images``.
    """
    parts = list(images.absolute().parts)
    if "images" not in parts:
        raise DataError(
            f"{images} has no folder named 'images' in its path, so its labels are not beside it; name them"
        )
    parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts)


def _read_file(
    path: Path | None, class_names: Sequence[str] | None, findings: Findings
) -> tuple[list[int], NDArray[np.float64], list[Outline]]:
    """Line numbers, (M, 5) class, left, top, right, bottom, and outlines, as fractions; what is wrong is a finding."""
    try:
        lines = [] if path is None else read_text(path).splitlines()
    except DataError as error:
        where, _, what = str(error).partition(": ")
        findings.add(FindingKind.WRONG_ROW, where, what)
        lines = []
    numbered = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]
    polygons = any(len(values) > 6 for _, values in numbered)
    rows: dict[tuple[float, ...], int] = {}
    outlines: list[Outline] = []
    for number, values in numbered:
        try:
            row = _parse_row(values, polygons, class_names)
        except ValueError as error:
            findings.add(FindingKind.WRONG_ROW, f"{path}:{number}", str(error))
            continue
        if row in rows:
            findings.add(FindingKind.REPEATED_ROW, f"{path}:{number}", f"the same as line {rows[row]}")
            continue
        rows[row] = number
        outlines.append((np.array(values[1:], np.float32).reshape(-1, 2),) if len(values) > 6 else ())
    return list(rows.values()), np.array(list(rows), np.float64).reshape(-1, 5), outlines


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
