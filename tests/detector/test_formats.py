"""Annotation files and the data set file, on tiny files made on the spot."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from vidan.detector.data import DataError, VideoFrame, load_dataset, read_images
from vidan.detector.data.labels import read_coco, read_mot_video, read_yolo

HEIGHT, WIDTH = 50, 100


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept of labels goes with the test."""
    monkeypatch.setenv("VIDAN_HOME", str(tmp_path / "home"))


@pytest.fixture
def yolo_folder(tmp_path: Path) -> Path:
    """``images/train`` with pictures a, b, c; label files are up to the test."""
    folder = tmp_path / "images" / "train"
    folder.mkdir(parents=True)
    (tmp_path / "labels" / "train").mkdir(parents=True)
    for name in "abc":
        cv2.imwrite(str(folder / f"{name}.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    return folder


def write_labels(yolo_folder: Path, name: str, text: str) -> Path:
    path = yolo_folder.parents[1] / "labels" / yolo_folder.name / f"{name}.txt"
    path.write_text(text)
    return path


def test_yolo_rows_become_pixels_and_equal_rows_count_once(yolo_folder: Path) -> None:
    write_labels(yolo_folder, "a", "1 0.5 0.5 0.2 0.4\n0 0.25 0.5 0.1 0.2\n\n1 0.5 0.5 0.2 0.4\n")
    first, second, third = read_yolo(yolo_folder, class_names=("person", "dog"))
    assert first.image == yolo_folder / "a.png"
    assert first.size == (HEIGHT, WIDTH)
    np.testing.assert_allclose(first.xyxy, [[40, 15, 60, 35], [20, 20, 30, 30]], rtol=1e-6)
    assert first.class_id.tolist() == [1, 0]
    assert len(second.xyxy) == len(third.xyxy) == 0  # no label file: background


def test_one_long_row_makes_the_file_polygons(yolo_folder: Path) -> None:
    write_labels(yolo_folder, "a", "0 0.1 0.2 0.5 0.2 0.3 0.8\n0 0.0 0.0 1.0 1.0\n")
    sample = read_yolo(yolo_folder)[0]
    np.testing.assert_allclose(sample.xyxy, [[10, 10, 50, 40], [0, 0, 100, 50]], rtol=1e-6)
    (outline,), nothing = sample.outlines
    np.testing.assert_allclose(outline, [[10, 10], [50, 10], [30, 40]], rtol=1e-6)
    assert nothing == ()  # two points are a box, no outline


def test_wrong_yolo_rows_are_all_named_with_file_and_line(yolo_folder: Path) -> None:
    first = write_labels(yolo_folder, "a", "0 0.5 0.5 0.2 0.4\n0 0.5 1.5 0.2 0.4\n7 0.5 0.5 0.2 0.4\n")
    second = write_labels(yolo_folder, "b", "0 0.5 0.5 0.2\nperson 0.5 0.5 0.2 0.4\n")
    with pytest.raises(DataError) as caught:
        read_yolo(yolo_folder, class_names=("person",))
    assert str(caught.value).splitlines() == [
        f"{first}:2: coordinates must be fractions of the picture, within 0..1; got 0.5 1.5 0.2 0.4",
        f"{first}:3: class 7 is unknown, classes go 0 to 0",
        f"{second}:1: expected class and 4 numbers, or class and points of a polygon; got 4 values",
        f"{second}:2: expected a whole class number and fractions, got person 0.5 0.5 0.2 0.4",
    ]


def test_labels_that_are_not_utf8_are_named_with_file_and_line(yolo_folder: Path) -> None:
    path = write_labels(yolo_folder, "a", "")
    path.write_bytes(b"0 0.5 0.5 0.2 0.4\n0 0.5 0.5 0.2 \xff\n")
    with pytest.raises(DataError, match=r"a\.txt:2: not UTF-8"):
        read_yolo(yolo_folder)
    with pytest.raises(DataError, match=r"a\.txt:2: not UTF-8"):
        read_mot_video(yolo_folder, path, 1, 1)
    with pytest.raises(DataError, match=r"a\.txt:2: not UTF-8"):
        read_coco(path, yolo_folder)


def test_only_ten_problems_are_shown(yolo_folder: Path) -> None:
    write_labels(yolo_folder, "a", "0 2 2 2 2\n" * 13)
    with pytest.raises(DataError) as caught:
        read_yolo(yolo_folder)
    assert str(caught.value).splitlines()[10:] == ["and 3 more"]


def test_a_picture_turned_by_its_camera_is_labeled_as_it_is_shown(yolo_folder: Path) -> None:
    upright = Image.Exif()
    upright[0x0112] = 6  # orientation: to be turned by a quarter
    Image.new("RGB", (WIDTH, HEIGHT)).save(yolo_folder / "a.jpg", exif=upright)
    sample = next(sample for sample in read_yolo(yolo_folder) if sample.image == yolo_folder / "a.jpg")
    assert sample.size == (WIDTH, HEIGHT) == next(read_images([sample.image])).shape[:2]


def test_folders_that_do_not_fit_say_what_was_looked_for(tmp_path: Path, yolo_folder: Path) -> None:
    with pytest.raises(DataError, match=r"no folder of labels at .*nowhere"):
        read_yolo(yolo_folder, tmp_path / "nowhere")
    with pytest.raises(DataError, match="no pictures in"):
        read_yolo(tmp_path / "labels" / "train")
    with pytest.raises(DataError, match="cannot list"):
        read_yolo(tmp_path / "nowhere")
    stray = tmp_path / "stray"
    stray.mkdir()
    cv2.imwrite(str(stray / "a.png"), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DataError, match="no folder named 'images' in its path"):
        read_yolo(stray)


def test_the_last_folder_named_images_gives_the_labels(tmp_path: Path) -> None:
    folder = tmp_path / "images" / "set" / "images"
    folder.mkdir(parents=True)
    (tmp_path / "images" / "set" / "labels").mkdir()
    cv2.imwrite(str(folder / "a.png"), np.zeros((10, 10, 3), np.uint8))
    (tmp_path / "images" / "set" / "labels" / "a.txt").write_text("3 0.5 0.5 1 1")
    assert read_yolo(folder)[0].class_id.tolist() == [3]


def coco_file(folder: Path) -> Path:
    content = {
        "images": [
            {"id": 7, "file_name": "a.jpg", "height": HEIGHT, "width": WIDTH},
            {"id": 3, "file_name": "b.jpg", "height": HEIGHT, "width": WIDTH},
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}, {"id": 3, "name": "car"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 18, "bbox": [10, 20, 30, 10], "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 1, "bbox": [0, 0, 50, 50], "iscrowd": 1},
            {"id": 3, "image_id": 7, "category_id": 3, "bbox": [5, 5, 0, 10], "iscrowd": 0},
        ],
    }
    (folder / "images").mkdir(exist_ok=True)
    for name in "ab":
        cv2.imwrite(str(folder / "images" / f"{name}.jpg"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path


def test_coco_categories_become_consecutive_ids_by_rising_category(tmp_path: Path) -> None:
    (first, second), names = read_coco(coco_file(tmp_path), tmp_path / "images")
    assert names == ("person", "car", "dog")
    assert first.image == tmp_path / "images" / "a.jpg"
    assert first.xyxy.tolist() == [[10, 20, 40, 30], [0, 0, 50, 50]]  # the car has no area
    assert first.class_id.tolist() == [2, 0]
    assert first.ignored.tolist() == [False, True]
    assert len(second.xyxy) == 0


def test_coco_classes_can_be_chosen_and_ordered(tmp_path: Path) -> None:
    (first, _), names = read_coco(coco_file(tmp_path), tmp_path / "images", ("dog", "car"))
    assert names == ("dog", "car")
    assert first.class_id.tolist() == [0]
    with pytest.raises(DataError, match="has no category horse; it has car, dog, person"):
        read_coco(coco_file(tmp_path), tmp_path / "images", ("horse",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot read"),
        ("{}", "KeyError\\('categories'\\)"),
        ("[]", "not a COCO instances file"),
        (
            '{"images": [], "categories": [{"id": 1, "name": "dog"}],'
            ' "annotations": [{"id": 9, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3]}]}',
            r"annotation 9: bbox must be left, top, width, height; got \[1, 2, 3\]",
        ),
    ],
)
def test_a_file_that_is_not_coco_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_coco(path, tmp_path)
    assert str(path) in str(caught.value)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Six frames of 64x48 pixels, frame i of brightness 40 i."""
    path = tmp_path / "video.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for index in range(6):
            picture = np.full((48, 64, 3), 40 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_mot_rows_label_frames_of_a_video(tmp_path: Path, video: Path) -> None:
    labels = tmp_path / "gt.txt"
    labels.write_text("2,1,10,5,20,30,1,-1,-1,-1\n3,1,12,5,20,30,0,-1,-1,-1\n9,1,0,0,5,5,1,-1,-1,-1\n")
    first, second = read_mot_video(video, labels, 2, 3)
    assert first.image == VideoFrame(video, 1)
    assert first.size == (48, 64)
    assert first.xyxy.tolist() == [[10, 5, 30, 35]]
    assert first.class_id.tolist() == [0]
    assert first.ignored.tolist() == [False]
    assert second.ignored.tolist() == [True]  # confidence 0


def test_a_wrong_mot_row_is_named_with_file_and_line(tmp_path: Path, video: Path) -> None:
    labels = tmp_path / "gt.txt"
    labels.write_text("2,1,10,5,20,30,1\n2,1,10,five,20,30,1\n")
    with pytest.raises(DataError, match=r"gt\.txt:2: not frame,id,x,y,w,h,confidence: 2,1,10,five,20,30,1"):
        read_mot_video(video, labels, 1, 3)


def test_pictures_come_in_the_order_asked_for(tmp_path: Path, video: Path) -> None:
    still = tmp_path / "still.png"
    cv2.imwrite(str(still), np.full((48, 64, 3), (0, 0, 255), np.uint8))  # red, as OpenCV writes it
    wanted = [VideoFrame(video, 4), still, VideoFrame(video, 1), VideoFrame(video, 3), VideoFrame(video, 0)]
    images = list(read_images(wanted))
    assert [round(image.mean() / 40) for index, image in enumerate(images) if index != 1] == [4, 1, 3, 0]
    assert images[1][0, 0].tolist() == [255, 0, 0]


def test_pictures_that_cannot_be_read_are_named(tmp_path: Path, video: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read picture .*gone.png"):
        list(read_images([tmp_path / "gone.png"]))
    with pytest.raises(DataError, match="ends after 6 frames, frame 8 is labeled"):
        list(read_images([VideoFrame(video, 7)]))
    text = tmp_path / "text.avi"
    text.write_text("no video")
    (tmp_path / "gt.txt").write_text("")
    with pytest.raises(DataError, match=r"cannot open video .*text.avi"):
        read_mot_video(text, tmp_path / "gt.txt", 1, 2)


def write_dataset(folder: Path, text: str) -> Path:
    path = folder / "data.yaml"
    path.write_text(text)
    return path


def test_a_data_set_joins_parts_of_several_formats(tmp_path: Path, yolo_folder: Path, video: Path) -> None:
    write_labels(yolo_folder, "a", "5 0.5 0.5 0.2 0.4\n2 0.5 0.5 0.1 0.1\n9 0.5 0.5 0.3 0.3\n")
    coco_file(tmp_path)
    (tmp_path / "gt.txt").write_text("1,1,10,5,20,30,1\n")
    path = write_dataset(
        tmp_path,
        """
        classes: [person, animal]
        train:
          - {format: mot-video, video: video.avi, labels: gt.txt, frames: [1, 2], repeat: 2}
          - {format: yolo, images: images/train, classes_from: {animal: [2, 5]}, keep_background: 0}
          - {format: coco, annotations: instances.json, images: images, classes_from: {animal: dog}, keep_background: 0}
        val:
          - {format: yolo, images: images/train, classes_from: {person: 9}}
        """,
    )
    train, names = load_dataset(path, "train")
    assert names == ("person", "animal")
    assert [sample.class_id.tolist() for sample in train] == [[0], [], [0], [], [1, 1], [1]]
    assert train[4].image == yolo_folder / "a.png"
    val, _ = load_dataset(path, "val")
    assert [sample.class_id.tolist() for sample in val] == [[0], [], []]


def test_outlines_follow_their_objects_through_classes_and_the_cache(tmp_path: Path) -> None:
    path = coco_file(tmp_path)
    content = json.loads(path.read_text())
    dog, crowd, _ = content["annotations"]
    dog["segmentation"] = [[10, 20, 40, 20, 40, 30], [10, 20, 12, 20, 12, 30, 10, 30], [1, 2, 3, 4]]
    crowd["segmentation"] = {"counts": [1, 2], "size": [HEIGHT, WIDTH]}  # a run-length mask
    person = {"id": 4, "image_id": 7, "category_id": 1, "bbox": [0, 0, 9, 9], "segmentation": [[0, 0, 9, 0, 9, 9]]}
    path.write_text(json.dumps(content | {"annotations": [person, dog, crowd]}))
    part = "{format: coco, annotations: instances.json, images: images, classes_from: {animal: dog}}"
    data = write_dataset(tmp_path, f"classes: [animal]\ntrain: [{part}]")
    assert len(read_coco(path, tmp_path / "images")[0][0].outlines) == 3
    for _ in range(2):  # the second time from what was kept
        (first, second), _ = load_dataset(data, "train")
        ((triangle, square),) = first.outlines
        assert triangle.tolist() == [[10, 20], [40, 20], [40, 30]]
        assert len(square) == 4
        assert second.outlines == ()
    dog["segmentation"] = [[1, 2, 3, 4, 5, 6, 7]]
    path.write_text(json.dumps(content | {"annotations": [dog]}))
    with pytest.raises(DataError, match="annotation 1: segmentation must be polygons"):
        load_dataset(data, "train")


def test_backgrounds_are_thinned_evenly(tmp_path: Path, video: Path) -> None:
    (tmp_path / "gt.txt").write_text("")
    part = "{format: mot-video, video: video.avi, labels: gt.txt, frames: [1, 6], keep_background: 0.5}"
    train, _ = load_dataset(write_dataset(tmp_path, f"classes: [person]\ntrain: [{part}]"), "train")
    assert [sample.image for sample in train] == [VideoFrame(video, index) for index in (1, 3, 5)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes: [", "is no valid YAML"),
        ("classes: []", "classes: "),
        ("classes: [a, a]", "class names must differ"),
        ("classes: [a]\ntrain: [{format: csv}]", "train.0: .*'csv'"),
        ("classes: [a]\ntrain: [{format: yolo, images: x, label: y}]", "train.0.yolo.label: "),
        (
            "classes: [a]\ntrain: [{format: mot-video, video: v, labels: l, frames: [9, 3]}]",
            "from the first to the last",
        ),
        ("classes: [a]\ntrain: [{format: yolo, images: x, classes_from: {b: 0}}]", r"names \['b'\], but classes are"),
        ("classes: [a]", "has no pictures for 'train'"),
    ],
)
def test_a_wrong_data_set_file_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = write_dataset(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(path, "train")
    assert str(path) in str(caught.value)


def test_one_class_cannot_be_two(tmp_path: Path, yolo_folder: Path) -> None:
    text = "classes: [a, b]\ntrain: [{format: yolo, images: images/train, classes_from: {a: 0, b: [1, 0]}}]"
    with pytest.raises(DataError, match="takes 0 twice, for 'a' and 'b'"):
        load_dataset(write_dataset(tmp_path, text), "train")


def test_real_labels_are_read(shared: Path) -> None:
    samples = read_yolo(shared / "media" / "coco256" / "images" / "val2017")
    assert len(samples) == 128
    assert all((sample.xyxy >= -1).all() for sample in samples)
    campus = shared / "media" / "campus"
    frames = read_mot_video(campus / "campus.avi", campus / "gt.txt", 531, 795)
    assert len(frames) == 265
    assert frames[0].size == (576, 768)
