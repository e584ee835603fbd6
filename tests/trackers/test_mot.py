"""MOTChallenge files in and out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vidan.trackers import MotRows, Tracks, read_mot, write_mot
from vidan.trackers.mot import PEDESTRIAN


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "rows.txt"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_nine_columns_are_mot17_ground_truth_with_classes(written) -> None:
    rows = read_mot(written("2,5,10,20,30,40,0,8,0.25\n"))
    assert (rows.frame[0], rows.track_id[0], rows.confidence[0], rows.class_id[0]) == (2, 5, 0, 8)
    assert rows.xyxy.tolist() == [[10, 20, 40, 60]]


@pytest.mark.parametrize(
    "line",
    ["1,-1,10,20,30,40,0.5,-1,-1,-1", "1,4,10,20,30,40,1,-4.15,-7.35,0", "1,-1,10,20,30,40,0.5"],
    ids=["detections", "MOT15 ground truth", "seven columns"],
)
def test_other_files_know_only_pedestrians(written, line: str) -> None:
    assert read_mot(written(line)).class_id.tolist() == [PEDESTRIAN]


def test_spaces_blank_lines_windows_line_ends_and_unordered_frames_are_forgiven(written) -> None:
    rows = read_mot(written("\ufeff3, 1, 0, 0, 5, 5, 1\r\n\r\n1,2,0,0,5,5,1,\n1,1,0,0,5,5,1\n"))
    assert rows.frame.tolist() == [1, 1, 3]
    assert rows.track_id.tolist() == [2, 1, 1]


def test_an_empty_file_has_no_rows(written) -> None:
    assert len(read_mot(written(""))) == 0


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("1,2,3", "at least 7 comma-separated columns"),
        ("1,2,a,4,5,6,1", "could not convert"),
        ("0,2,3,4,5,6,1", "frames count from 1"),
        ("1,2,3,4,0,6,1", "must be positive"),
        ("1,2,3,4,-5,6,1", "must be positive"),
        ("1,2,nan,4,5,6,1", "finite"),
        ("inf,2,3,4,5,6,1", "finite"),
    ],
)
def test_a_wrong_line_is_named_by_file_and_number(written, line: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=rf"rows\.txt:2: .*{complaint}"):
        read_mot(written(f"1,1,0,0,5,5,1\n{line}\n"))


def test_tracks_survive_the_way_to_a_file_and_back(tmp_path: Path) -> None:
    one = Tracks(
        np.array([3, 9]),
        np.array([[0, 1, 10.5, 21], [5, 5, 6, 7]], np.float32),
        np.array([0.5, 0.25], np.float32),
        np.array([2, 0]),
        np.ones(2, np.float32),
        np.ones(2, np.bool_),
        np.ones(2, np.bool_),
    )
    rows = MotRows.from_tracks([one, Tracks.empty(), one[np.array([True, False])]])
    write_mot(tmp_path / "out.txt", rows)
    back = read_mot(tmp_path / "out.txt")
    for name in ("frame", "track_id", "xyxy", "confidence", "class_id"):
        np.testing.assert_array_equal(getattr(back, name), getattr(rows, name))
    assert rows.frame.tolist() == [1, 1, 3]


def test_detections_come_frame_by_frame_with_empty_ones(written) -> None:
    rows = read_mot(written("2,-1,0,0,5,5,0.5\n2,-1,1,1,5,5,0.75\n4,-1,0,0,5,5,0.25\n"))
    assert [detections.confidence.tolist() for detections in rows.detections(5)] == [[], [0.5, 0.75], [], [0.25], []]
