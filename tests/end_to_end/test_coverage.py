"""An encoded clip with a freeze, a dark stretch and lost frames: what was not seen is said in every file of the run."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from vidan.pipeline.events import EventKind
from vidan.pipeline.report.counts import COUNTED_KINDS
from vidan.pipeline.sinks.files import read_events
from vidan.pipeline.sources.synthetic import MovingShape, SyntheticSource

FPS = 10
HEALTH = "health: {frozen_seconds: 2}"
RULES = """
rules:
  gate: {type: line, points: [[0.5, 0.0], [0.5, 1.0]]}
  yard: {type: zone, polygon: [[0.3, 0.1], [0.9, 0.1], [0.9, 0.9], [0.3, 0.9]]}
output: {folder: runs, interval_seconds: 2, video: false}
"""


def _pictures() -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """(time in tenths of a second, picture): 0-4 s alive, -8 s frozen, -10 s alive, -13 s dark, -15 s alive, -19 s
    lost, -21 s alive. The noise is that of a camera, and in the dark there is only noise."""
    rng = np.random.default_rng(3)
    shapes = [MovingShape([(0, 0, 100), (21, 320, 130)], 30, 70), MovingShape([(0, 320, 120), (21, 0, 110)], 26, 64)]
    source = SyntheticSource("clip", shapes, fps=FPS, seconds=21)
    shown = np.zeros((240, 320, 3), np.uint8)
    for frame in source:
        tenths = frame.stamp.index
        if 150 <= tenths < 190:
            continue
        if not 40 <= tenths < 80:
            scene = np.full((240, 320, 3), 5.0) if 100 <= tenths < 130 else frame.image
            shown = (scene + rng.normal(0, 2, (240, 320, 1))).clip(0, 255).astype(np.uint8)
        yield tenths, shown


@pytest.fixture(scope="module")
def bad_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bad") / "bad.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "26", "g": "10"})
        stream.height, stream.width = 240, 320
        for tenths, picture in _pictures():
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = tenths, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_what_was_not_seen_is_said_in_every_file(config: Callable[..., Path], bad_clip: Path, vidan) -> None:
    path = config(bad_clip, text=RULES)
    path.write_text(path.read_text().replace(f"source: {bad_clip}", f"source: {bad_clip}, {HEALTH}"))
    done = vidan("run", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"10\.\d s were seen; not seen: 3\.0 s dark, [34]\.\d s frozen, [34]\.\d s missing", done.stdout)
    run = path.parent / "runs"

    (stream,) = json.loads((run / "run.json").read_text())["streams"]
    gaps = {gap["reason"]: (gap["start"], gap["end"]) for gap in stream["gaps"]}
    assert [gap["reason"] for gap in stream["gaps"]] == ["frozen", "dark", "missing"]
    assert gaps["frozen"] == (pytest.approx(4.0, abs=0.15), pytest.approx(8.0, abs=0.15))
    assert gaps["dark"] == (10.0, 13.0)
    assert gaps["missing"] == (pytest.approx(15.0, abs=0.15), 19.0)
    assert stream["seconds"] == 21.0
    assert stream["seconds_observed"] == pytest.approx(21 - sum(end - start for start, end in gaps.values()))

    events = list(read_events(run / "events.jsonl"))
    rows = _rows(run / "counts.csv")
    counted = Counter(event.rule for event in events if event.kind in COUNTED_KINDS)
    in_table: Counter[str] = Counter()
    for row in rows:
        in_table[row["rule"]] += int(row["count"] or 0)
        assert row["count"] != "0" or row["observed_seconds"] != "0.0", "no zero where nobody looked"
        assert row["count"] != "" or row["observed_seconds"] == "0.0", "a number where somebody did"
        seen, expected = float(row["observed_seconds"]), float(row["expected_seconds"])
        lost = [float(seconds) for seconds in re.findall(r"[\d.]+", row["gap_reasons"])]
        assert sum(lost) == pytest.approx(expected - seen, abs=0.002)
    assert +in_table == counted
    assert sum(counted.values()) > 0, "the weights are made so that something is found"
    reasons = {float(row["start"]): row["gap_reasons"] for row in rows}
    assert reasons[6.0].startswith("frozen ")
    assert reasons[10.0] == "dark 2.000 s"
    assert reasons[16.0] == "missing 2.000 s"
    assert reasons[20.0] == ""

    occupancy = {float(row["start"]): row for row in _rows(run / "occupancy.csv")}
    for start in (4.0, 10.0, 16.0):
        assert (occupancy[start]["samples"], occupancy[start]["mean"]) == ("0", "")
    assert occupancy[20.0]["mean"] != ""

    page = (run / "report.html").read_text()
    dark, missing = "0:10 to 0:13: dark (a dark picture)", "0:15 to 0:19: missing (no pictures)"
    for words in ("frozen (a frozen picture)", dark, missing):
        assert words in page


def test_it_can_be_switched_off_and_the_events_stay_the_same(config: Callable[..., Path], bad_clip: Path) -> None:
    from vidan.pipeline.job import read_config, run_job

    logs = []
    for health in (HEALTH, "health: false"):
        path = config(bad_clip, text=RULES)
        path.write_text(path.read_text().replace(f"source: {bad_clip}", f"source: {bad_clip}, {health}"))
        outcome = run_job(read_config(path))
        logs.append(outcome.folder.events.read_bytes())
    assert logs[0] == logs[1], "coverage only accounts"
    assert [gap.reason for gap in outcome.manifest.streams[0].gaps] == ["missing"]
    assert any(event.kind is EventKind.LINE_CROSSED for event in read_events(outcome.folder.events))
