"""vidan data: what people see of a data set and get from it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from vidan.detector.boxes import clip_boxes
from vidan.detector.data import load_dataset, read_images
from vidan.detector.data.labels import read_mot_video
from vidan.pipeline.cli.main import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is also where the process stands and what it keeps goes."""
    monkeypatch.setenv("VIDAN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def data(folder: Path) -> Path:
    """Two black pictures of 360x270 with a dog each, in the upper left and the lower right."""
    for name, row in (("a", "1 0.25 0.25 0.4 0.4"), ("b", "1 0.75 0.75 0.4 0.4")):
        for kind in ("images", "labels"):
            (folder / kind / "set").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "images" / "set" / f"{name}.png"), np.zeros((270, 360, 3), np.uint8))
        (folder / "labels" / "set" / f"{name}.txt").write_text(row)
    path = folder / "pets.yaml"
    path.write_text("classes: [cat, dog]\ntrain: [{format: yolo, images: images/set}]\n")
    return path


def test_a_check_shows_parts_classes_and_findings(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data.parent / "labels" / "set" / "c.txt").write_text("0 0.5 0.5 0.1 0.1")
    assert main(["data", "check", str(data)]) == 0
    told = capsys.readouterr().out
    assert "yolo images/set" in told
    assert "dog      ████" in told
    assert "labels without picture: 1  (note)" in told
    record = json.loads((data.parent / "runs" / "data" / "pets" / "report.json").read_text())
    assert record["class_counts"]["train"]["dog"]["objects"] == 2
    assert [finding["kind"] for finding in record["findings"]] == ["labels without picture", "picture twice"]
    assert record["parts"][0]["pictures"] == 2


def test_the_contact_sheet_shows_each_box_where_it_is(data: Path) -> None:
    assert main(["data", "check", str(data), "--output", "seen"]) == 0
    sheet = cv2.imread(str(data.parent / "seen" / "contact-train.png"))
    assert sheet is not None
    gap, width, height, caption = 6, 360, 270, 22
    top = len(sheet) - gap - caption - height
    for number, box in enumerate([(18, 13, 162, 121), (198, 148, 342, 256)]):
        left = gap + number * (width + gap)
        rows, columns = np.nonzero(sheet[top : top + height, left : left + width].max(axis=2) > 90)
        drawn = np.array([columns.min(), rows.min(), columns.max(), rows.max()])
        assert np.abs(drawn - box).max() <= 1


def test_errors_in_labels_are_told_and_end_the_check_with_2(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data.parent / "labels" / "set" / "b.txt"
    path.write_text("9 0.5 0.5 0.1 0.1\n" * 5)
    assert main(["data", "check", str(data)]) == 2
    told = capsys.readouterr()
    assert "✗ wrong row: 5  (error)" in told.out
    assert f"{path}:1: class 9 is unknown, classes go 0 to 1" in told.out
    assert "and 2 more" in told.out
    assert told.err == "vidan: the data set has errors; training refuses it until they are mended\n"


CLIP, TRUTH = (Path(__file__).parents[2] / "samples" / name for name in ("campus.mp4", "campus_gt.txt"))
FROM_VIDEO = ["data", "from-video", str(CLIP), str(TRUTH), "--output", "made"]


def test_a_labeled_video_becomes_pictures_with_the_same_objects(folder: Path) -> None:
    assert main([*FROM_VIDEO, "--frames", "11", "50", "--every", "4", "--val", "0.3", "--class", "walker"]) == 0
    train, classes = load_dataset(folder / "made" / "made.yaml", "train")
    val, _ = load_dataset(folder / "made" / "made.yaml", "val")
    assert classes == ("walker",)
    names = [sample.image.name for sample in [*train, *val] if isinstance(sample.image, Path)]
    assert names == [f"campus-{frame:06d}.jpg" for frame in range(11, 51, 4)]
    assert len(val) == 3
    originals = read_mot_video(CLIP, TRUTH, 11, 50)[::4]
    for made, original in zip([*train, *val], originals, strict=True):
        inside = clip_boxes(original.xyxy, *original.size)
        assert np.abs(made.xyxy - inside).max() < 1e-3
        assert made.ignored.tolist() == original.ignored.tolist()
    images = zip(read_images(s.image for s in val), read_images(s.image for s in originals[-3:]), strict=True)
    assert all(np.abs(own.astype(int) - other).mean() < 4 for own, other in images)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--every", "0"], 2, "--every must be at least 1"),
        (["--val", "1"], 2, "--val must lie between 0 and 1"),
        (["--frames", "9", "3"], 2, "from the first to the last"),
        (["--frames", "250", "275", "--every", "1", "--val", "0.5"], 2, "ends after 265 frames, frame 266 is labeled"),
        (["--frames", "1", "5"], 2, "are for 'val'"),
    ],
)
def test_a_data_set_that_cannot_be_made_leaves_nothing_behind(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    assert main([*FROM_VIDEO, *arguments]) == code
    assert words in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_nothing_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "made").mkdir()
    assert main(FROM_VIDEO) == 4
    assert "made is there already; name another folder" in capsys.readouterr().err
