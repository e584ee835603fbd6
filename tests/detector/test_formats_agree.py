"""A law of the formats: the same objects on the same picture are the same samples, whoever wrote them down."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.detector.data import load_dataset

HEIGHT, WIDTH = 60, 120


def write_picture(folder: Path) -> None:
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "7.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))


def as_yolo(folder: Path, rows: list[list[int]]) -> str:
    write_picture(folder / "images" / "set")
    scaled = [(n, (x + w / 2) / WIDTH, (y + h / 2) / HEIGHT, w / WIDTH, h / HEIGHT) for n, x, y, w, h in rows]
    (folder / "labels" / "set").mkdir(parents=True)
    text = "".join(" ".join(map(str, row)) + "\n" for row in scaled)
    (folder / "labels" / "set" / "7.txt").write_text(text)
    return "{format: yolo, images: images/set}"


def as_coco(folder: Path, rows: list[list[int]]) -> str:
    write_picture(folder / "images" / "set")
    content = {
        "images": [{"id": 7, "file_name": "7.png", "height": HEIGHT, "width": WIDTH}],
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
        "annotations": [
            {"id": i, "image_id": 7, "category_id": (1, 18)[row[0]], "bbox": row[1:]} for i, row in enumerate(rows)
        ],
    }
    (folder / "instances.json").write_text(json.dumps(content))
    return "{format: coco, annotations: instances.json, images: images/set}"


def as_voc(folder: Path, rows: list[list[int]]) -> str:
    write_picture(folder / "images" / "set")
    objects = "".join(
        f"<object><name>{('person', 'dog')[n]}</name><bndbox><xmin>{x + 1}</xmin><ymin>{y + 1}</ymin>"
        f"<xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>"
        for n, x, y, w, h in rows
    )
    (folder / "xml").mkdir()
    (folder / "xml" / "7.xml").write_text(f"<annotation>{objects}</annotation>")
    return "{format: voc, annotations: xml, images: images/set}"


def as_mot(folder: Path, rows: list[list[int]]) -> str:
    write_picture(folder / "seq" / "img1")
    (folder / "seq" / "gt").mkdir()
    text = "".join(f"7,{i},{x},{y},{w},{h},1,{(1, 3)[n]},1\n" for i, (n, x, y, w, h) in enumerate(rows))
    (folder / "seq" / "gt" / "gt.txt").write_text(text)
    return "{format: mot, folder: seq, classes_from: {person: 1, dog: 3}}"


@given(
    st.lists(
        st.tuples(
            st.integers(0, 1), st.integers(0, 90), st.integers(0, 40), st.integers(1, 30), st.integers(1, 20)
        ).map(list),
        max_size=5,
        unique_by=tuple,
    )
)
@settings(max_examples=15, deadline=None)
def test_the_same_objects_are_the_same_in_every_format(rows: list[list[int]]) -> None:
    for write in (as_yolo, as_coco, as_voc, as_mot):
        with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
            folder = Path(name)
            patch.setenv("VIDAN_HOME", str(folder / "home"))
            (folder / "data.yaml").write_text(f"classes: [person, dog]\nval: [{write(folder, rows)}]\n")
            (sample,), _ = load_dataset(folder / "data.yaml", "val")
        assert sample.class_id.tolist() == [row[0] for row in rows]
        expected = np.array([(x, y, x + w, y + h) for _, x, y, w, h in rows], np.float32).reshape(-1, 4)
        np.testing.assert_allclose(sample.xyxy, expected, atol=1e-4)
