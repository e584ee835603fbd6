"""Recipes, data sets and judgements that lack something."""

from __future__ import annotations

import shutil

from mistakes import CLIP, YOLO_SET, Case, broken_pictures

MOT_ROWS = "998,1,10,10,30,60,1\n999,1,10,10,30,60,1\n"
IN_DATA = [
    Case(
        "a recipe with a misspelt key",
        lambda f: (f / "r.yaml").write_text("data: d.yaml\nepoch: 3\n"),
        "train FOLDER/r.yaml",
        2,
        "did you mean 'epochs'",
    ),
    Case(
        "a recipe without its data",
        lambda f: (f / "r.yaml").write_text("data: d.yaml\n"),
        "train FOLDER/r.yaml --output FOLDER/out",
        2,
        "d.yaml",
    ),
    Case(
        "a model that does not exist",
        lambda f: (f / "r.yaml").write_text("data: d\nmodel: yolo9-t\n"),
        "train FOLDER/r.yaml",
        2,
        "did you mean 'yolov9-t'",
    ),
    Case(
        "a data set of an unknown format",
        lambda f: (f / "d.yaml").write_text("classes: [a]\ntrain: [{format: csv, path: a.csv}]\n"),
        "data check FOLDER/d.yaml",
        2,
        "'csv'",
    ),
    Case(
        "a data set without its folders",
        lambda f: (f / "d.yaml").write_text("classes: [a]\ntrain: [{format: mot, folder: MOT17}]\n" + YOLO_SET),
        "data check FOLDER/d.yaml",
        2,
        "cannot list FOLDER/images",
    ),
    Case("a data set of broken pictures", broken_pictures, "data check FOLDER/d.yaml", 2, "can be used"),
    Case(
        "labels of frames that the video lacks",
        lambda f: (shutil.copyfile(CLIP, f / "clip.mp4"), (f / "gt.txt").write_text(MOT_ROWS)),
        "data from-video FOLDER/clip.mp4 FOLDER/gt.txt --output FOLDER/out --val 0.5 --every 1",
        2,
        "ends after 265 frames",
    ),
    Case(
        "a judgement on pictures that are not there",
        lambda f: (f / "d.yaml").write_text("classes: [person]\n" + YOLO_SET),
        "eval detector demo FOLDER/d.yaml",
        2,
        "cannot list FOLDER/images",
    ),
    Case("no ground truth", lambda _: None, "eval tracks FOLDER/gt FOLDER/a.txt", 2, "expected gt/gt.txt"),
    Case(
        "detections instead of tracks",
        lambda f: (f / "a.txt").write_text("1,-1,0,0,5,5,1\n"),
        "eval tracks FOLDER/a.txt FOLDER/a.txt",
        2,
        "detections",
    ),
    Case(
        "tracks without a frame rate",
        lambda f: (f / "a.txt").write_text("1,1,0,0,5,5,1\n"),
        "tracks import FOLDER/a.txt --output FOLDER/run",
        2,
        "give --fps",
    ),
    Case("manual counts of what is no run", lambda _: None, "eval counts FOLDER FOLDER/m.csv", 2, "finished run"),
]
