"""MOTChallenge ground truth: rows of a text file for the frames of a video, or of a folder of numbered pictures.

    MOT15    frame, id, left, top, width, height, confidence, x, y, z          every object is a pedestrian
    MOT17    frame, id, left, top, width, height, confidence, class, visibility

Confidence 0 means "not evaluated". Classes of MOT17 (Milan et al., arXiv 1603.00831) are 1 pedestrian, 2 person on a
vehicle, 3 to 6 vehicles, 7 static person, 8 distractor, 9 to 11 occluders, 12 reflection. The benchmark judges class 1
alone and forgives detections on 2, 7, 8 and 12; so do we.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidan.detector.boxes import xywh_to_xyxy
from vidan.detector.data.findings import FindingKind, Findings
from vidan.detector.data.labels.common import listed, listed_pictures, make_sample, picture_size, read_text
from vidan.detector.data.samples import DataError, ImageSource, Sample, VideoFrame, video_size

TRUTH = Path("gt", "gt.txt")
PICTURES = "img1"
PEDESTRIAN = 1
FORGIVEN = frozenset({2, 7, 8, 12})
_NINE_COLUMNS = 9


@dataclass(frozen=True, slots=True)
class MotChoice:
    """Which objects of MOTChallenge rows are learned.

    Attributes:
        classes: Class number of the rows -> our class id; rows without a class column are pedestrians.
        min_visibility: Objects of which less is to be seen (0..1) are ignored; rows without the column are seen whole.
    """

    classes: Mapping[int, int]
    min_visibility: float = 0.0


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    xywh: tuple[float, ...]
    class_id: int
    ignored: bool


PEDESTRIANS = MotChoice({PEDESTRIAN: 0})


def read_mot_video(
    video: Path,
    labels: Path,
    first: int,
    last: int,
    choice: MotChoice = PEDESTRIANS,
    *,
    findings: Findings | None = None,
) -> list[Sample]:
    """Samples of the frames ``first`` to ``last`` (from 1, both included) of a video; others' rows are passed over.

    A frame without rows shows no object.

    Raises:
        DataError: If the video or the labels cannot be opened.
    """
    found = Findings() if findings is None else findings
    rows = _read_rows(labels, choice, found)
    size = video_size(video)
    samples = [
        _sample(VideoFrame(video, frame - 1), size, rows.get(frame, []), labels, found)
        for frame in range(first, last + 1)
    ]
    if findings is None:
        found.raise_errors()
    return samples


def labeled_frames(labels: Path) -> tuple[int, int]:
    """The first and the last frame that has a row.

    Raises:
        DataError: If a row is wrong, or there is none.
    """
    findings = Findings()
    rows = _read_rows(labels, PEDESTRIANS, findings)
    findings.raise_errors()
    if not rows:
        raise DataError(f"{labels} has no rows, so nothing is labeled")
    return min(rows), max(rows)


def read_mot_folder(folder: Path, choice: MotChoice = PEDESTRIANS, *, findings: Findings | None = None) -> list[Sample]:
    """Samples of a sequence's folder, or of a folder of such folders.

    A sequence has ``gt/gt.txt`` and its pictures in ``img1``, named by their frame's number. A picture without rows
    shows no object.

    Raises:
        DataError: If there is no sequence, a sequence has no pictures, or one is not named by a number.
    """
    found = Findings() if findings is None else findings
    samples = [sample for sequence in sequences(folder) for sample in _read_sequence(sequence, choice, found)]
    if findings is None:
        found.raise_errors()
    return samples


def sequences(folder: Path) -> list[Path]:
    """The folders of the sequences in a folder, or that folder itself.

    Raises:
        DataError: If there is none.
    """
    if (folder / TRUTH).is_file():
        return [folder]
    found = [path for path in listed(folder) if (path / TRUTH).is_file()]
    if not found:
        raise DataError(f"{folder} holds no sequence: expected {TRUTH}, or folders with it")
    return found


def _read_sequence(folder: Path, choice: MotChoice, findings: Findings) -> Iterator[Sample]:
    rows = _read_rows(folder / TRUTH, choice, findings)
    for picture in listed_pictures(folder / PICTURES):
        if not picture.stem.isdecimal():
            raise DataError(f"{picture} is not named by the number of its frame, as in 000001.jpg")
        objects = rows.pop(int(picture.stem), [])
        if (size := picture_size(picture, findings)) is not None:
            yield _sample(picture, size, objects, folder / TRUTH, findings)
    for frame, left in rows.items():
        findings.add(
            FindingKind.NO_PICTURE, f"{folder / TRUTH}:{left[0].line}", f"there is no picture of frame {frame}"
        )


def _read_rows(path: Path, choice: MotChoice, findings: Findings) -> dict[int, list[_Row]]:
    """The rows of each frame that matter."""
    rows: dict[int, list[_Row]] = defaultdict(list)
    for number, cells in enumerate(csv.reader(read_text(path).splitlines()), 1):
        if not any(cell.strip() for cell in cells):
            continue
        try:
            frame, row = _parse(number, [float(cell) for cell in cells if cell.strip()], choice)
        except (ValueError, IndexError, OverflowError):
            what = f"not frame,id,x,y,w,h,confidence: {','.join(cells)}"
            findings.add(FindingKind.WRONG_ROW, f"{path}:{number}", what)
            continue
        if row is not None:
            rows[frame].append(row)
    return rows


def _parse(line: int, values: list[float], choice: MotChoice) -> tuple[int, _Row | None]:
    """Frame and row; None for an object of a class that does not matter."""
    if not np.isfinite(values).all() or values[0] < 1:
        raise ValueError("frames are counted from 1, and all columns are finite")
    classified = len(values) == _NINE_COLUMNS
    number = int(values[7]) if classified else PEDESTRIAN
    ignored = values[6] == 0 or (classified and values[8] < choice.min_visibility)
    if number in choice.classes:
        return int(values[0]), _Row(line, tuple(values[2:6]), choice.classes[number], ignored)
    if number in FORGIVEN:
        return int(values[0]), _Row(line, tuple(values[2:6]), 0, True)
    return int(values[0]), None


def _sample(image: ImageSource, size: tuple[int, int], rows: list[_Row], labels: Path, findings: Findings) -> Sample:
    return make_sample(
        image,
        size,
        xywh_to_xyxy(np.array([row.xywh for row in rows], np.float64).reshape(-1, 4)),
        np.array([row.class_id for row in rows], np.int64),
        np.array([row.ignored for row in rows], np.bool_),
        lambda index: f"{labels}:{rows[index].line}",
        findings,
    )
