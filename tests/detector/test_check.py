"""What the check of a data set finds, and what is kept of labels until their content changes."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from vidan.detector.data import DataError, FindingKind, check_dataset, load_dataset, parts, read_images
from vidan.detector.data.label_cache import KEPT

HEIGHT, WIDTH = 60, 120


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDAN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A right data set: two pictures to train on, one to judge by."""
    for split, names in (("train", "ab"), ("val", "c")):
        for name in names:
            write_picture(tmp_path, split, name)
            write_labels(tmp_path, split, name, "0 0.5 0.5 0.4 0.4\n")
    path = tmp_path / "data.yaml"
    path.write_text(
        "classes: [person, dog]\n"
        "train: [{format: yolo, images: images/train}]\nval: [{format: yolo, images: images/val}]\n"
    )
    return path


def write_picture(folder: Path, split: str, name: str) -> Path:
    path = folder / "images" / split / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(ord(name[0]))
    cv2.imwrite(str(path), rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8))
    return path


def write_labels(folder: Path, split: str, name: str, text: str) -> Path:
    path = folder / "labels" / split / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def kinds(path: Path) -> list[FindingKind]:
    return [finding.kind for finding in check_dataset(path).findings]


def test_nothing_is_found_in_a_right_data_set(data: Path) -> None:
    report = check_dataset(data)
    assert report.findings == []
    assert not report.has_errors
    counts = report.class_counts("train")
    assert (counts["person"].objects, counts["person"].pictures, counts["person"].sizes) == (2, 2, (0, 2, 0))
    assert counts["person"].median_px == pytest.approx((0.4 * HEIGHT * 0.4 * WIDTH) ** 0.5)
    assert counts["dog"].objects == 0


def test_every_kind_of_oddity_is_found_where_it_is(data: Path) -> None:
    folder = data.parent
    labels = write_labels(
        folder,
        "train",
        "a",
        "0 0.5 0.5 0.4 0.4\n0 0.5 0.5 0.4 0.4\n0 0.5 0.5 0.401 0.4\n1 0.5 0.5 0.4 0.4\n"
        "0 0.99 0.5 0.2 0.2\n0 0.3 0.3 0 0.1\n0 2 0.5 0.1 0.1\n7 0.5 0.5 0.1 0.1\n",
    )
    (folder / "labels" / "train" / "b.txt").unlink()
    stray = write_labels(folder, "val", "z", "0 0.5 0.5 0.4 0.4\n")
    report = check_dataset(data)
    assert [(finding.kind, finding.where) for finding in report.findings] == [
        (FindingKind.REPEATED_ROW, f"{labels}:2"),
        (FindingKind.WRONG_ROW, f"{labels}:7"),
        (FindingKind.WRONG_ROW, f"{labels}:8"),
        (FindingKind.NO_AREA, f"{labels}:6"),
        (FindingKind.OUTSIDE, f"{labels}:5"),
        (FindingKind.DOUBLE, f"{labels}:3"),
        (FindingKind.NO_LABELS, str(folder / "images" / "train" / "b.png")),
        (FindingKind.NO_PICTURE, str(stray)),
    ]
    assert "by 11 px" in str(report.findings[4])
    assert report.has_errors
    with pytest.raises(DataError, match=r"a\.txt:7: coordinates must be fractions"):
        load_dataset(data, "train")


def test_a_picture_that_is_cut_off_is_left_out_and_named(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = data.parent / "images" / "train" / "a.jpg"
    path.write_bytes(cv2.imencode(".jpg", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))[1].tobytes()[:-300])
    for name in ("empty.png", "text.png"):
        (path.parent / name).write_text("hello" * (name == "text.png"))
    with caplog.at_level(logging.WARNING):
        samples, _ = load_dataset(data, "train")
    assert [sample.image for sample in samples] == [path.parent / "a.png", path.parent / "b.png"]
    assert len(caplog.messages) == 3
    assert all(message.startswith("left out: ") for message in caplog.messages)
    assert {
        finding.where for finding in check_dataset(data).findings if finding.kind is FindingKind.CORRUPT_PICTURE
    } == {str(path.parent / name) for name in ("a.jpg", "empty.png", "text.png")}


def test_a_data_set_without_one_good_picture_says_why(data: Path) -> None:
    for path in (data.parent / "images" / "train").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"none of the pictures of yolo images/train can be used; the first: .*a\.png"):
        load_dataset(data, "train")


CLIP, TRUTH = (Path(__file__).parents[2] / "samples" / name for name in ("campus.mp4", "campus_gt.txt"))


def video_set(folder: Path, video: Path, frames: str) -> Path:
    path = folder / "data.yaml"
    part = f"{{format: mot-video, video: {video}, labels: {TRUTH}, frames: {frames}}}"
    path.write_text(f"classes: [person]\ntrain: [{part}]\n")
    return path


def test_frames_after_the_end_of_a_video_are_left_out_and_told(tmp_path: Path) -> None:
    report = check_dataset(video_set(tmp_path, CLIP, "[250, 300]"))
    assert len(report.samples("train")) == 16
    (finding,) = [each for each in report.findings if each.kind is FindingKind.MISSING_PICTURE]
    assert str(finding) == f"{CLIP}: ends after 265 frames, 300 are asked for"


def test_a_video_without_one_frame_that_was_asked_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"can be used; the first: .*ends after 265 frames"):
        load_dataset(video_set(tmp_path, CLIP, "[290, 300]"), "train")


def test_the_same_picture_in_train_and_val_is_found_whatever_it_is_called(data: Path) -> None:
    images = data.parent / "images"
    (images / "val" / "c.png").write_bytes((images / "train" / "a.png").read_bytes())
    (images / "train" / "b.png").write_bytes((images / "train" / "a.png").read_bytes())
    assert kinds(data) == [FindingKind.TWICE, FindingKind.LEAK]


def test_all_parts_that_cannot_be_read_are_told_at_once(data: Path) -> None:
    data.write_text("classes: [a]\ntrain: [{format: yolo, images: images/x}, {format: mot, folder: y}]\n")
    with pytest.raises(DataError) as caught:
        check_dataset(data)
    assert len(str(caught.value).splitlines()) == 2


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows by one whenever a part is read anew."""
    calls: list[object] = []
    real = parts._read_anew

    def spy(*arguments: object) -> object:
        calls.append(arguments)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(parts, "_read_anew", spy)
    return calls


def test_what_has_not_changed_is_not_read_again(data: Path, reads: list[object]) -> None:
    write_labels(data.parent, "train", "b", "")
    first = check_dataset(data)
    again = check_dataset(data)
    assert len(reads) == 2  # one for each part
    assert again.findings == first.findings
    for old, new in zip(first.samples("train"), again.samples("train"), strict=True):
        assert (old.image, old.size) == (new.image, new.size)
        for column in ("xyxy", "class_id", "ignored"):
            old_values, new_values = getattr(old, column), getattr(new, column)
            assert old_values.dtype == new_values.dtype
            assert old_values.tolist() == new_values.tolist()


@pytest.mark.parametrize("change", ["labels of the same length and time", "a new picture", "another class", "damage"])
def test_what_has_changed_is_read_again(data: Path, reads: list[object], home: Path, change: str) -> None:
    load_dataset(data, "train")
    if change.startswith("labels"):
        path = data.parent / "labels" / "train" / "a.txt"
        times = path.stat()
        path.write_text("1 0.5 0.5 0.4 0.4\n")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif change == "a new picture":
        write_picture(data.parent, "train", "n")
    elif change == "another class":
        data.write_text(data.read_text().replace("dog", "cat"))
    else:
        (kept,) = (home / "datasets").iterdir()
        kept.write_bytes(kept.read_bytes()[:-100])
    samples, _ = load_dataset(data, "train")
    assert len(reads) == 2
    if change.startswith("labels"):
        assert samples[0].class_id.tolist() == [1]


def test_what_is_kept_is_found_from_any_folder(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, name in ((data.parent, Path("data.yaml")), (data.parents[1], data.relative_to(data.parents[1]))):
        monkeypatch.chdir(place)
        for _ in range(2):
            samples, _ = load_dataset(name, "train")
            assert len(list(read_images(sample.image for sample in samples))) == 2


def test_thinning_and_repeating_read_nothing_anew(data: Path, reads: list[object]) -> None:
    write_labels(data.parent, "train", "b", "")
    assert len(load_dataset(data, "train")[0]) == 2
    data.write_text(data.read_text().replace("images/train", "images/train, repeat: 3, keep_background: 0"))
    assert len(load_dataset(data, "train")[0]) == 3
    assert len(reads) == 1


def test_only_the_newest_are_kept(data: Path, home: Path) -> None:
    folder = home / "datasets"
    folder.mkdir(parents=True)
    for number in range(KEPT + 5):
        (folder / f"{number}.npz").touch()
        os.utime(folder / f"{number}.npz", (number, number))
    load_dataset(data, "train")
    assert len(list(folder.iterdir())) == KEPT
    assert not (folder / "0.npz").exists()


def test_a_full_disk_is_a_warning(data: Path, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    home.write_text("a file where the folder should be")
    assert len(load_dataset(data, "train")[0]) == 2
    assert "set VIDAN_HOME" in caplog.text
