"""The sample clip, which the demo weights never saw: detections, tracks and counts against its ground truth.

`pytest tests/end_to_end/test_sample.py -s` prints the figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from vidan.detector import resolve_weights
from vidan.detector.data.labels import read_mot_video
from vidan.detector.evaluate import evaluate_detector
from vidan.detector.yolo import load_detector
from vidan.pipeline.cli.main import main
from vidan.pipeline.replay import replay_run
from vidan.pipeline.sinks.files import read_events
from vidan.pipeline.sinks.tracks import read_tracks
from vidan.trackers.evaluate import evaluate_tracks
from vidan.trackers.mot import MotRows, read_mot

ROOT = Path(__file__).parents[2]
CLIP, TRUTH, CONFIG = ROOT / "samples/campus.mp4", ROOT / "samples/campus_gt.txt", ROOT / "configs/campus.yaml"
SIZE = np.array([768, 576])
DEAD_BAND_PX = 4


def run_sample(folder: Path, *options: str, config: Path = CONFIG) -> Path:
    assert main(["run", str(config), "--output", str(folder), "--quiet", *options]) == 0
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_sample(tmp_path_factory.mktemp("sample") / "run")


def test_detections_reach_the_promised_precision() -> None:
    detector = load_detector(resolve_weights("demo"), confidence=0.001, nms_iou=0.7)
    metrics = evaluate_detector(detector, read_mot_video(CLIP, TRUTH, 1, 265))
    print(f"\nAP50:95 {metrics.ap50_95:.3f}  AP50 {metrics.ap50:.3f}  AP75 {metrics.ap75:.3f}")
    assert metrics.ap50 >= 0.92
    assert metrics.ap50_95 >= 0.45


def test_tracks_reach_the_promised_accuracy(run: Path) -> None:
    frames = [
        replace(stored.counted.tracks, xyxy=stored.counted.observed_xyxy)
        for stored in read_tracks(run / "tracks.parquet")
    ]
    metrics = evaluate_tracks({"campus": read_mot(TRUTH)}, {"campus": MotRows.from_tracks(frames)})
    print(f"\n{metrics}")
    assert metrics.mota >= 0.85
    assert metrics.idf1 >= 0.80


def test_crossings_are_those_of_the_true_trajectories(run: Path) -> None:
    rules = yaml.safe_load(CONFIG.read_text())["rules"]
    lines = {name: np.array(rule["points"]) * SIZE for name, rule in rules.items() if rule["type"] == "line"}
    assert len(lines) == 3
    counted = Counter(event.rule for event in read_events(run / "events.jsonl"))
    truth = {name: sum(true_crossings(path, line) for path in true_paths()) for name, line in lines.items()}
    print(f"\ncounted {[counted[name] for name in lines]}, true {list(truth.values())}")
    assert min(truth.values()) >= 8
    for name in lines:
        assert abs(counted[name] - truth[name]) <= 1, name


@pytest.mark.parametrize("batch", [1, 4, 16, 8])
def test_the_event_log_is_the_same_to_the_byte_whatever_the_batch(run: Path, tmp_path: Path, batch: int) -> None:
    config = yaml.safe_load(CONFIG.read_text())
    config["streams"][0]["source"] = str(CLIP)
    config["output"] |= {"video": False, "evidence": False, "report": False, "database": False}
    quick = tmp_path / "quick.yaml"
    quick.write_text(yaml.safe_dump(config, sort_keys=False))  # rules take their turns in this order
    again = run_sample(tmp_path / "run", "--batch", str(batch), config=quick)
    assert (again / "events.jsonl").read_bytes() == (run / "events.jsonl").read_bytes()


def test_replaying_the_sample_gives_its_log_to_the_byte(run: Path, tmp_path: Path) -> None:
    again = replay_run(run, output=tmp_path / "again").folder
    for name in ("events.jsonl", "near_misses.jsonl", "counts.csv", "occupancy.csv"):
        assert (again.path / name).read_bytes() == (run / name).read_bytes(), name
    assert len(list(read_events(again.events))) > 50


def true_paths() -> Iterator[NDArray[np.float64]]:
    """Bottom centres (N, 2) of every person, in the order of time."""
    rows = read_mot(TRUTH)
    for identity in np.unique(rows.track_id):
        own = rows[rows.track_id == identity]
        xyxy = own.xyxy[np.argsort(own.frame)]
        yield np.column_stack(((xyxy[:, 0] + xyxy[:, 2]) / 2, xyxy[:, 3]))


def true_crossings(path: NDArray[np.float64], line: NDArray[np.float64]) -> int:
    """How often a path passes a line of two points; positions within the dead band decide nothing."""
    (ax, ay), (bx, by) = line
    distance = ((bx - ax) * (path[:, 1] - ay) - (by - ay) * (path[:, 0] - ax)) / np.hypot(bx - ax, by - ay)
    clear = path[np.abs(distance) >= DEAD_BAND_PX]
    side = np.sign(distance[np.abs(distance) >= DEAD_BAND_PX])
    crossings = 0
    for i in np.flatnonzero(side[1:] != side[:-1]):
        (px, py), (qx, qy) = clear[i], clear[i + 1]
        ends = [(qx - px) * (y - py) - (qy - py) * (x - px) for x, y in line]
        crossings += ends[0] * ends[1] <= 0
    return crossings
