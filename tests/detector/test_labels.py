"""Pascal VOC and MOTChallenge annotations, on tiny files made on the spot and on real footage."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from vidan.detector.data import DataError, FindingKind, Findings, read_images
from vidan.detector.data.labels import MotChoice, read_mot_folder, read_mot_video, read_voc

HEIGHT, WIDTH = 50, 100
NAMES = ("person", "dog")


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((HEIGHT, WIDTH, 3), np.uint8))


def voc_object(name: str, corners: object = (11, 6, 30, 25), difficult: int | None = 0) -> str:
    box = "".join(f"<{c}>{v}</{c}>" for c, v in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=False))  # type: ignore[call-overload]
    hard = "" if difficult is None else f"<difficult>{difficult}</difficult>"
    return f"<object><name>{name}</name>{hard}<bndbox>{box}</bndbox></object>"


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """A folder with pictures a, b in JPEGImages; annotations are up to the test."""
    for name in "ab":
        picture(tmp_path / "JPEGImages" / f"{name}.png")
    (tmp_path / "Annotations").mkdir()
    return tmp_path


def annotate(voc: Path, name: str, *objects: str, head: str = "") -> Path:
    path = voc / "Annotations" / f"{name}.xml"
    path.write_text(f"<annotation>{head}{''.join(objects)}</annotation>")
    return path


def read(voc: Path, listing: Path | None = None) -> tuple[list, Findings]:
    findings = Findings()
    folders = (voc / "Annotations", voc / "JPEGImages")
    return read_voc(*folders, NAMES, listing=listing, findings=findings), findings


def test_voc_pixels_count_from_1_and_belong_to_the_box_at_both_ends(voc: Path) -> None:
    whole = voc_object("dog", (1, 1, WIDTH, HEIGHT))
    annotate(voc, "a", whole, voc_object("person", (11, 6, 30, 25), difficult=1), voc_object("person", difficult=None))
    annotate(voc, "b")
    (first, second), findings = read(voc)
    assert first.image == voc / "JPEGImages" / "a.png"
    assert first.xyxy.tolist() == [[0, 0, WIDTH, HEIGHT], [10, 5, 30, 25], [10, 5, 30, 25]]
    assert first.class_id.tolist() == [1, 0, 0]
    assert first.ignored.tolist() == [False, True, False]
    assert len(second.xyxy) == 0
    assert findings == []


def test_boxes_of_tools_that_count_from_0_stay_in_the_picture(voc: Path) -> None:
    annotate(voc, "a", voc_object("dog", (0, 0, 20.5, 10.5)))
    (sample,), _ = read(voc)
    assert sample.xyxy.tolist() == [[0, 0, 20.5, 10.5]]


def test_what_is_wrong_in_voc_files_is_named_and_the_rest_is_read(voc: Path) -> None:
    first = annotate(
        voc,
        "a",
        voc_object("dog"),
        voc_object("dog", (1, 2, 3)),
        voc_object("dog", ("x", 2, 3, 4)),
        voc_object("cat"),
        voc_object("cat"),
        head="<size><width>640</width><height>480</height></size>",
    )
    second = voc / "Annotations" / "b.xml"
    second.write_text("<annotation><object>")
    (sample,), findings = read(voc)
    assert sample.class_id.tolist() == [1]
    assert [(finding.kind, finding.where) for finding in findings] == [
        (FindingKind.WRONG_SIZE, str(voc / "JPEGImages" / "a.png")),
        (FindingKind.WRONG_ROW, f"{first}: object 2"),
        (FindingKind.WRONG_ROW, f"{first}: object 3"),
        (FindingKind.WRONG_ROW, str(second)),
        (FindingKind.PASSED_OVER, str(voc / "Annotations")),
    ]
    assert "2 of class 'cat' are passed over" in str(findings[-1])
    with pytest.raises(DataError, match="object 2: bndbox needs the numbers xmin, ymin, xmax, ymax"):
        read_voc(voc / "Annotations", voc / "JPEGImages", NAMES)


def test_an_annotation_cannot_blow_itself_up(voc: Path) -> None:
    lol = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
    (voc / "Annotations" / "a.xml").write_text(f"{lol}<annotation><object><name>&b;</name></object></annotation>")
    samples, findings = read(voc)
    assert samples == []
    assert "defines entities" in str(findings[0])


def test_a_listing_chooses_pictures_and_what_it_lacks_is_told(voc: Path) -> None:
    annotate(voc, "a", voc_object("dog"))
    annotate(voc, "b", voc_object("dog"))
    (voc / "train.txt").write_text("b  1\n\nc -1\n")
    samples, findings = read(voc, voc / "train.txt")
    assert [sample.image.name for sample in samples] == ["b.png"]
    assert [finding.kind for finding in findings] == [FindingKind.NO_LABELS]


def sequence(folder: Path, rows: str, frames: int = 3) -> Path:
    for frame in range(1, frames + 1):
        picture(folder / "img1" / f"{frame:06d}.jpg")
    (folder / "gt").mkdir()
    (folder / "gt" / "gt.txt").write_text(rows)
    return folder


def test_mot17_judges_pedestrians_and_forgives_what_looks_like_them(tmp_path: Path) -> None:
    rows = "".join(f"1,{number},{number},5,20,30,1,{number},0.9\n" for number in range(1, 13))
    folder = sequence(tmp_path / "MOT17-01", rows + "1,20,40,5,9,9,0,1,1\n2,21,40,5,9,9,1,1,0.2\n")
    first, second, third = read_mot_folder(folder, MotChoice({1: 0}, min_visibility=0.25))
    assert first.xyxy[:, 0].tolist() == [1, 2, 7, 8, 12, 40]
    assert first.ignored.tolist() == [False, True, True, True, True, True]
    assert second.ignored.tolist() == [True]  # a fifth of it is to be seen
    assert len(third.xyxy) == 0


def test_a_folder_of_sequences_is_read_in_order_and_other_classes_can_be_learned(tmp_path: Path) -> None:
    sequence(tmp_path / "b", "1,1,1,1,9,9,1,3,1\n", frames=1)
    sequence(tmp_path / "a", "2,1,1,1,9,9,1,1,1\n", frames=2)
    samples = read_mot_folder(tmp_path, MotChoice({3: 1, 1: 0}))
    assert [sample.image.parent.parent.name for sample in samples if isinstance(sample.image, Path)] == ["a", "a", "b"]
    assert [sample.class_id.tolist() for sample in samples] == [[], [0], [1]]


def test_mot_folders_that_are_none_say_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no sequence: expected gt/gt\.txt"):
        read_mot_folder(tmp_path)
    folder = sequence(tmp_path / "a", "7,1,1,1,9,9,1\n0,1,1,1,9,9,1\n", frames=1)
    findings = Findings()
    read_mot_folder(folder, findings=findings)
    truth = folder / "gt" / "gt.txt"
    assert [(finding.kind, finding.where) for finding in findings] == [
        (FindingKind.WRONG_ROW, f"{truth}:2"),
        (FindingKind.NO_PICTURE, f"{truth}:1"),
    ]
    picture(folder / "img1" / "first.jpg")
    with pytest.raises(DataError, match=r"first\.jpg is not named by the number of its frame"):
        read_mot_folder(folder)


def test_pictures_of_a_sequence_have_the_objects_of_the_video_that_they_were(shared: Path, tmp_path: Path) -> None:
    campus = shared / "media" / "campus"
    folder = tmp_path / "PETS09-S2L1"
    (folder / "img1").mkdir(parents=True)
    with av.open(str(campus / "campus.avi")) as container:
        for number, frame in enumerate(itertools.islice(container.decode(video=0), 12), 1):
            cv2.imwrite(str(folder / "img1" / f"{number:06d}.png"), frame.to_ndarray(format="bgr24"))
    (folder / "gt").symlink_to(shared / "tracking" / "mot15" / "PETS09-S2L1" / "gt")
    pictures, frames = read_mot_folder(folder), read_mot_video(campus / "campus.avi", campus / "gt.txt", 1, 12)
    for own, other in zip(pictures, frames, strict=True):
        assert own.xyxy.tolist() == other.xyxy.tolist()
        assert own.size == other.size
    images = zip(read_images(s.image for s in pictures), read_images(s.image for s in frames), strict=True)
    assert all(np.abs(own.astype(int) - other).max() <= 3 for own, other in images)
