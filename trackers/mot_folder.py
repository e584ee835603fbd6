"""MOTChallenge folders: ground truth of one sequence or of many, with what their `seqinfo.ini` says.

SEQUENCE/gt/gt.txt        ground truth, see `mot.py`
SEQUENCE/seqinfo.ini      name, frame rate, number of frames, size of the pictures; may be absent
"""

from __future__ import annotations

import configparser
from dataclasses import dataclass
from pathlib import Path

from vidan.trackers.mot import MotRows, read_mot

_TRUTH = Path("gt", "gt.txt")
_INFO = "seqinfo.ini"


@dataclass(frozen=True, slots=True)
class SequenceInfo:
    """What `seqinfo.ini` says; None where it says nothing.

    Attributes:
        name: Of the sequence.
        fps: Frames per second.
        frame_count: Frames are numbered from 1 to this.
        size: Width and height of the pictures in pixels.
    """

    name: str | None = None
    fps: float | None = None
    frame_count: int | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class MotSequence:
    """Ground truth of one sequence.

    Attributes:
        name: From `seqinfo.ini`, else of the folder, else of the file.
        info: What is known beside the boxes.
        truth: The rows of its gt.txt.
    """

    name: str
    info: SequenceInfo
    truth: MotRows


def read_sequences(path: Path) -> dict[str, MotSequence]:
    """Ground truth by name of the sequence.

    Args:
        path: A sequence's folder, a folder of such folders, or one ground-truth file. `seqinfo.ini` is looked for in
            the sequence's folder: beside the file, or above it where that is `gt`.

    Raises:
        ValueError: If nothing of that kind is there, a file cannot be read or is wrong, a box lies after the last frame
            that `seqinfo.ini` promises, or two sequences share a name.
    """
    if path.is_file():
        files = [path]
    elif (path / _TRUTH).is_file():
        files = [path / _TRUTH]
    else:
        files = sorted(folder / _TRUTH for folder in path.glob("*") if (folder / _TRUTH).is_file())
    if not files:
        reason = "holds no sequence" if path.is_dir() else "does not exist"
        raise ValueError(f"ground truth {path} {reason}: expected {_TRUTH}, folders with it, or a text file")
    sequences: dict[str, MotSequence] = {}
    for file in files:
        sequence = _read_sequence(file)
        if sequence.name in sequences:
            raise ValueError(f"{path} has two sequences named {sequence.name!r}; rename one in its {_INFO}")
        sequences[sequence.name] = sequence
    return sequences


def read_info(path: Path) -> SequenceInfo:
    """What a `seqinfo.ini` says.

    Raises:
        ValueError: If it cannot be read, or a number in it is none or not positive.
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        with path.open(encoding="utf-8-sig") as file:
            parser.read_file(file)
        section = parser["Sequence"] if parser.has_section("Sequence") else {}
        fps, frames, width, height = (
            float(section[key]) if key in section else None for key in ("framerate", "seqlength", "imwidth", "imheight")
        )
    except (OSError, ValueError, configparser.Error) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error
    for key, value in (("frameRate", fps), ("seqLength", frames), ("imWidth", width), ("imHeight", height)):
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"{path}: {key} must be positive, got {value:g}")
    size = None if width is None or height is None else (int(width), int(height))
    return SequenceInfo(section.get("name"), fps, None if frames is None else int(frames), size)


def _read_sequence(file: Path) -> MotSequence:
    in_folder = file.parent.name == _TRUTH.parent.name
    folder = file.absolute().parent.parent if in_folder else file.parent
    info = read_info(folder / _INFO) if (folder / _INFO).is_file() else SequenceInfo()
    try:
        truth = read_mot(file)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read the ground truth {file}: {error}") from error
    last = int(truth.frame.max(initial=0))
    if info.frame_count is not None and last > info.frame_count:
        raise ValueError(f"{file} has boxes in frame {last}, but {_INFO} says that {info.frame_count} is the last")
    return MotSequence(info.name or (folder.name if in_folder else file.stem), info, truth)
