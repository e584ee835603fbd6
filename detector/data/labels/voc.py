"""Pascal VOC annotations: an XML file per picture, as LabelImg and CVAT write them too.

Source: Everingham and Winn, The PASCAL Visual Object Classes Challenge 2012 Development Kit, section 4. Pixels count
from 1 and both ends belong to the box, so that a box over the whole of a 500x375 picture is 1 1 500 375.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidan.detector.data.findings import FindingKind, Findings
from vidan.detector.data.labels.common import PICTURE_SUFFIXES, listed, make_sample, picture_size, read_text
from vidan.detector.data.samples import DataError, Sample

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_voc(
    annotations: Path,
    images: Path,
    class_names: Sequence[str],
    *,
    listing: Path | None = None,
    findings: Findings | None = None,
) -> list[Sample]:
    """Samples of a folder of VOC annotations.

    Objects marked ``difficult`` are ignored, as the VOC evaluation does: no target, and no mistake to find.

    Args:
        annotations: Folder of XML files.
        images: Folder of pictures; the XML's own name names one, else the ``filename`` in it does.
        class_names: Names of objects, in the order of our ids; others are passed over.
        listing: Text file with the names (without suffix) of the pictures to take, one per line, as in
            ``ImageSets/Main``; None takes all.
        findings: Takes what is wrong (each object with its file) or odd; None: what is wrong is raised.

    Raises:
        DataError: If a folder or the listing cannot be read, or there are no annotations.
    """
    found = Findings() if findings is None else findings
    files = {path.stem: path for path in listed(annotations) if path.suffix.lower() == ".xml"}
    if not files:
        raise DataError(f"no annotations in {annotations} (looked for .xml)")
    by_stem = {path.stem: path for path in listed(images) if path.suffix.lower() in PICTURE_SUFFIXES}
    names = list(files) if listing is None else [line.split()[0] for line in read_text(listing).splitlines() if line]
    samples, passed_over = [], Counter[str]()
    for name in names:
        if name not in files:
            found.add(FindingKind.NO_LABELS, images / name, f"listed in {listing}, but there is no {name}.xml")
            continue
        beside = by_stem.pop(name, None)
        reader = _Reader(files[name], class_names, passed_over, found)
        if (root := reader.root()) is None:
            continue
        picture = beside or images / (root.findtext("filename") or f"{name}.jpg").strip()
        by_stem.pop(picture.stem, None)
        if (size := picture_size(picture, found)) is not None:
            samples.append(reader.sample(root, picture, size))
    found.add_passed_over(annotations, passed_over)
    if listing is None:
        for picture in by_stem.values():
            found.add(FindingKind.NO_LABELS, picture, "has no XML, so it is not used")
    if findings is None:
        found.raise_errors()
    return samples


class _Reader:
    """One XML file."""

    def __init__(self, path: Path, class_names: Sequence[str], passed_over: Counter[str], findings: Findings) -> None:
        self._path = path
        self._names = class_names
        self._passed_over = passed_over
        self._findings = findings

    def root(self) -> ElementTree.Element | None:
        """The annotation; None, and a finding, if the file has none."""
        try:
            text = read_text(self._path)
            if "<!ENTITY" in text:  # entities can blow a small file up to any size, and no annotation needs one
                raise ElementTree.ParseError("it defines entities, which annotations do not need")
            root = ElementTree.fromstring(text)
        except (DataError, ElementTree.ParseError) as error:
            self._findings.add(FindingKind.WRONG_ROW, self._path, f"is no annotation: {error}")
            return None
        if root.tag != "annotation":
            self._findings.add(FindingKind.WRONG_ROW, self._path, f"holds <{root.tag}>, expected <annotation>")
            return None
        return root

    def sample(self, root: ElementTree.Element, picture: Path, size: tuple[int, int]) -> Sample:
        self._compare_size(root, picture, size)
        rows: dict[int, tuple[float, ...]] = {}
        for number, entry in enumerate(root.iter("object"), 1):
            try:
                if (row := self._row(entry)) is not None:
                    rows[number] = row
            except ValueError as error:
                self._findings.add(FindingKind.WRONG_ROW, self._place(number), str(error))
        table = np.array(list(rows.values()), np.float64).reshape(-1, 6)
        numbers = list(rows)
        return make_sample(
            picture,
            size,
            _to_xyxy(table[:, 2:]),
            table[:, 0],
            table[:, 1] != 0,
            lambda index: self._place(numbers[index]),
            self._findings,
        )

    def _row(self, entry: ElementTree.Element) -> tuple[float, ...] | None:
        """Class, difficult, and the four corners as they stand; None for an object that is passed over."""
        name = (entry.findtext("name") or "").strip()
        if name not in self._names:
            self._passed_over[name] += 1
            return None
        box = entry.find("bndbox")
        texts = [None if box is None else box.findtext(corner) for corner in _CORNERS]
        try:
            corners = [float(text) for text in texts if text is not None]
        except ValueError:
            corners = []
        if len(corners) != 4 or not np.isfinite(corners).all():
            raise ValueError(f"bndbox needs the numbers {', '.join(_CORNERS)}; got {texts}")
        return (self._names.index(name), float((entry.findtext("difficult") or "0").strip() == "1"), *corners)

    def _compare_size(self, root: ElementTree.Element, picture: Path, size: tuple[int, int]) -> None:
        said = root.find("size")
        height, width = (None if said is None else said.findtext(side) for side in ("height", "width"))
        if height and width and height.strip() != "0" and (height.strip(), width.strip()) != tuple(map(str, size)):
            what = f"{size[1]}x{size[0]} pixels, {self._path} is for {width.strip()}x{height.strip()}"
            self._findings.add(FindingKind.WRONG_SIZE, picture, what)

    def _place(self, number: int) -> str:
        return f"{self._path}: object {number}"


def _to_xyxy(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges in pixels from the first and last pixel of each side, counted from 1; tools that count from 0 say 0."""
    xyxy = corners.copy()
    xyxy[:, :2] = np.where(corners[:, :2] == 0, 0, corners[:, :2] - 1)
    return xyxy
