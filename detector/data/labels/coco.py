"""COCO instances files: one JSON for all pictures."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vidan.detector.boxes import xywh_to_xyxy
from vidan.detector.data.findings import FindingKind, Findings
from vidan.detector.data.labels.common import make_sample, names_listed, picture_size, read_text
from vidan.detector.data.samples import DataError, Outline, Sample


def read_coco(
    annotations: Path, images: Path, class_names: Sequence[str] | None = None, *, findings: Findings | None = None
) -> tuple[list[Sample], tuple[str, ...]]:
    """Samples of a COCO instances file, and the class names that their ids index.

    Crowds are marked as ignored. Boxes without area are left out. Polygons of `segmentation` become outlines;
    run-length masks, which COCO has for crowds, do not.

    Args:
        annotations: JSON with ``images``, ``annotations`` and ``categories``.
        images: Folder that the ``file_name`` of each picture is relative to.
        class_names: Which categories to keep, in the order of our ids; None keeps all, by rising category id.
        findings: Takes what is wrong or odd, with the ids of annotations; None: what is wrong is raised.

    Raises:
        DataError: If the file is not of that format, or a class name is not among its categories.
    """
    found = Findings() if findings is None else findings
    try:
        content: dict[str, Any] = json.loads(read_text(annotations))
        categories = {int(entry["id"]): str(entry["name"]) for entry in content["categories"]}
        names = tuple(class_names or (categories[number] for number in sorted(categories)))
        if unknown := set(names) - set(categories.values()):
            raise DataError(
                f"{annotations} has no category {names_listed(unknown)}; it has {names_listed(categories.values())}"
            )
        class_of = {number: names.index(name) for number, name in categories.items() if name in names}
        rows: dict[int, list[tuple[float, ...]]] = defaultdict(list)
        outlines: dict[int, list[Outline]] = defaultdict(list)
        passed_over = Counter[str]()
        for entry in content["annotations"]:
            if entry["category_id"] not in class_of:
                passed_over[categories[entry["category_id"]]] += 1
            else:
                box = _box(annotations, entry)
                crowd = entry.get("iscrowd", 0)
                rows[entry["image_id"]].append((class_of[entry["category_id"]], crowd, *box, entry.get("id", -1)))
                outlines[entry["image_id"]].append(_outline(annotations, entry))
        samples = []
        for entry in content["images"]:
            size = (int(entry["height"]), int(entry["width"]))
            table = np.array(rows.pop(entry["id"], ()), np.float64).reshape(-1, 7)
            picture = images / entry["file_name"]
            if not _is_as_said(picture, size, found):
                continue

            def place(index: int, ids: Sequence[float] = tuple(table[:, 6].tolist())) -> str:
                return f"{annotations}: annotation {ids[index]:.0f}"

            xyxy = xywh_to_xyxy(table[:, 2:6])
            own = outlines[entry["id"]]
            samples.append(make_sample(picture, size, xyxy, table[:, 0], table[:, 1] != 0, place, found, own))
    except json.JSONDecodeError as error:
        raise DataError(f"cannot read {annotations}: {error}") from error
    except (KeyError, TypeError) as error:
        raise DataError(f"{annotations} is not a COCO instances file: {error!r} is missing or wrong") from error
    found.add_passed_over(annotations, passed_over)
    for image_id, left in rows.items():
        found.add(FindingKind.NO_PICTURE, annotations, f"{len(left)} annotations of an unlisted picture, {image_id}")
    if findings is None:
        found.raise_errors()
    return samples, names


def _is_as_said(picture: Path, size: tuple[int, int], findings: Findings) -> bool:
    """Whether the picture is there and as large as its annotations say."""
    found = picture_size(picture, findings)
    if found is not None and found != size:
        what = f"{found[1]}x{found[0]} pixels, its annotations are for {size[1]}x{size[0]}"
        findings.add(FindingKind.WRONG_SIZE, picture, what)
    return found == size


def _box(annotations: Path, entry: dict[str, Any]) -> tuple[float, ...]:
    """Left, top, width, height of an object in pixels."""
    try:
        left, top, width, height = map(float, entry["bbox"])
    except (TypeError, ValueError) as error:
        told = f"bbox must be left, top, width, height; got {entry['bbox']}"
        raise DataError(f"{annotations}: annotation {entry.get('id')}: {told}") from error
    return left, top, width, height


def _outline(annotations: Path, entry: dict[str, Any]) -> Outline:
    """The polygons of an object; none where it has a run-length mask, or nothing."""
    polygons = entry.get("segmentation")
    if not isinstance(polygons, list):
        return ()
    try:
        return tuple(np.array(polygon, np.float32).reshape(-1, 2) for polygon in polygons if len(polygon) >= 6)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{annotations}: annotation {entry.get('id')}: segmentation must be polygons x1, y1, x2, y2, ..., "
            "or a run-length mask"
        ) from error
