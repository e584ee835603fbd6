"""MOTChallenge folders: what is found, what it is called, and what is said about wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidan.trackers import SequenceInfo, read_info, read_sequences

INFO = "[Sequence]\nname=Square\nframeRate=12.5\nseqLength=3\nimWidth=64\nimHeight=48\n"
BOX = "1,1,0,0,5,5,1\n"


def sequence(folder: Path, truth: str = BOX, info: str | None = None) -> Path:
    (folder / "gt").mkdir(parents=True)
    (folder / "gt" / "gt.txt").write_text(truth)
    if info is not None:
        (folder / "seqinfo.ini").write_text(info)
    return folder


def test_a_folder_of_folders_holds_all_sequences_by_name(tmp_path: Path) -> None:
    sequence(tmp_path / "a", info=INFO)
    sequence(tmp_path / "b", truth="")
    (tmp_path / "notes").mkdir()
    found = read_sequences(tmp_path)
    assert list(found) == ["Square", "b"]
    assert found["Square"].info == read_info(tmp_path / "a" / "seqinfo.ini")
    assert found["Square"].info == SequenceInfo("Square", 12.5, 3, (64, 48))
    assert (len(found["b"].truth), found["b"].info.fps) == (0, None)


def test_the_folder_of_one_sequence_its_file_and_a_loose_file_are_taken_too(tmp_path: Path) -> None:
    folder = sequence(tmp_path / "yard", info=INFO.replace("name=Square\n", ""))
    (tmp_path / "loose.txt").write_text(BOX)
    assert list(read_sequences(folder)) == list(read_sequences(folder / "gt" / "gt.txt")) == ["yard"]
    assert read_sequences(folder / "gt" / "gt.txt")["yard"].info.frame_count == 3
    assert list(read_sequences(tmp_path / "loose.txt")) == ["loose"]


@pytest.mark.parametrize(
    ("truth", "info", "complaint"),
    [
        ("4,1,0,0,5,5,1\n", INFO, "boxes in frame 4, but seqinfo.ini says that 3 is the last"),
        (BOX, INFO.replace("12.5", "fast"), "seqinfo.ini: could not convert string to float: 'fast'"),
        (BOX, INFO.replace("12.5", "0"), "frameRate must be positive, got 0"),
        (BOX, INFO.replace("64", "nan"), "imWidth must be positive, got nan"),
        (BOX, "name=Square\n", "seqinfo.ini: File contains no section headers"),
        ("1,1,0\n", INFO, "gt.txt:1: expected at least 7"),
    ],
)
def test_what_is_wrong_with_a_sequence_is_said(tmp_path: Path, truth: str, info: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_sequences(sequence(tmp_path / "a", truth, info))


def test_no_ground_truth_and_two_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no sequence: expected gt.gt\.txt"):
        read_sequences(tmp_path)
    with pytest.raises(ValueError, match="does not exist"):
        read_sequences(tmp_path / "gone")
    sequence(tmp_path / "a", info=INFO)
    sequence(tmp_path / "b", info=INFO)
    with pytest.raises(ValueError, match="two sequences named 'Square'"):
        read_sequences(tmp_path)
