"""vidan tune counts as a user meets it: one clip, the network once, and a config that counts as the table says."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml

from vidan.detector import Detections, ImageLike
from vidan.pipeline import job
from vidan.pipeline.batch import detecting
from vidan.pipeline.cli.main import main
from vidan.pipeline.config.tracking import DetectorConfig
from vidan.pipeline.events import Event
from vidan.pipeline.frame import Frame
from vidan.pipeline.report.counts import COUNTED_KINDS, direction_of
from vidan.pipeline.sinks.files import read_events
from vidan.trackers import read_mot, write_mot

RULES = """
rules:
  gate: {type: line, points: [[0.5, 0.0], [0.5, 1.0]]}
  yard: {type: zone, polygon: [[0.3, 0.1], [0.9, 0.1], [0.9, 0.9], [0.3, 0.9]]}
output: {folder: FOLDER}
"""
TRACKER = "\ntracker: {new_confidence: 0.5}  # when tracks begin\n"
SWEEP = ("--sweep", "tracker.new_confidence=0.4,0.5,0.6", "--sweep", "detector.confidence=0.1,0.2")


class Eye:
    """A detector that is surer of red than of blue, and sees a shadow behind what is red."""

    class_names = ("person",)

    def __init__(self, config: DetectorConfig, *, threads: int | None = None) -> None:
        self._confidence = config.confidence

    def describe(self) -> dict[str, object]:
        return {"model": "eye", "classes": ["person"], "kept_classes": None}

    def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
        return [self._detect(image.image.astype(int)) for image in images if isinstance(image, Frame)]

    def _detect(self, image: np.ndarray) -> Detections:
        redder = image[..., 0] - image[..., 2]
        boxes, scores = [], []
        for mask, score in ((redder > 60, 0.8), (redder < -60, 0.55)):
            y, x = np.nonzero(mask)
            if len(x) > 200:
                boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
                scores.append(score)
                if score == 0.8:
                    boxes.append([x.min(), y.min() + 90, x.max() + 1, y.max() + 91])
                    scores.append(0.45)
        confidence = np.array(scores, np.float32)
        found = Detections(np.array(boxes, np.float32).reshape(-1, 4), confidence, np.zeros(len(scores), np.int64))
        return found[confidence > self._confidence]


def counted(run: Path) -> list[Event]:
    return [event for event in read_events(run / "events.jsonl") if event.kind in COUNTED_KINDS]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, where the detector is an `Eye`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(detecting, "build_detector", Eye)
    monkeypatch.setattr(detecting, "_loaded", None)
    monkeypatch.setattr(job, "build_detector", Eye)
    return tmp_path


@pytest.fixture
def tuned(clip: Callable[[int], Path], here: Path) -> Path:
    """A config whose tracks begin too late, and beside it what a better one tracks (gt.txt) and counts (manual.csv)."""
    path = here / "config.yaml"
    text = f"streams:\n  - {{name: a, source: {clip(50)}}}{TRACKER}{RULES}"
    path.write_text(text.replace("FOLDER", "good"))
    assert main(["run", str(path), "--quiet"]) == 0
    lines = [f"a,{event.rule},,{direction_of(event)},{event.pts_seconds}\n" for event in counted(here / "good")]
    (here / "manual.csv").write_text("source,rule,class,direction,time\n" + "".join(lines))
    assert main(["tracks", "export", "good", "gt.txt"]) == 0
    rows = read_mot(here / "gt.txt")
    write_mot(here / "gt.txt", rows[rows.confidence > 0])
    path.write_text(text.replace("0.5}", "0.6}").replace("FOLDER", "'{config}'"))
    return path


def test_the_setting_that_counts_right_is_found_written_down_and_counts_so_in_a_run(
    tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tuned.read_bytes()
    assert len(counted(tmp_path / "good")) >= 2
    capsys.readouterr()
    assert main(["tune", "counts", str(tuned), "--counts", "manual.csv", "--tracks", "gt.txt", *SWEEP]) == 0
    told = capsys.readouterr().out
    written = tmp_path / "config.tuned.yaml"
    with written.with_suffix(".csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["role"] for row in table if row["role"]] == ["chosen", "as configured"]
    chosen = table[0]
    configured = next(row for row in table if row["role"] == "as configured")
    assert (chosen["tracker.new_confidence"], chosen["wrong"], float(chosen["hota"])) == ("0.5", "0", 1.0)
    assert configured["tracker.new_confidence"] == "0.6"
    assert int(configured["wrong"]) > 0
    assert "caution: only" in told
    assert "judged on the other, both ways" in told

    assert tuned.read_bytes() == before
    text = written.read_text()
    assert "tracker.new_confidence 0.6 -> 0.5" in text
    assert "config.tuned.csv" in text
    assert "# when tracks begin" in text
    assert yaml.safe_load(text)["tracker"]["new_confidence"] == 0.5
    assert main(["run", str(written), "--quiet"]) == 0
    assert (tmp_path / "config.tuned" / "events.jsonl").read_bytes() == (tmp_path / "good/events.jsonl").read_bytes()

    monkeypatch.setattr(detecting, "_detector", None)  # who asks the network again, fails
    capsys.readouterr()
    # With true tracks alone the rules count them: nearly the same truth.
    again = ["tune", "counts", str(tuned), "--tracks", "gt.txt", *SWEEP]
    assert main(again) == 2
    assert "config.tuned.yaml is there already; give --overwrite" in capsys.readouterr().err
    assert main([*again, "--overwrite"]) == 0
    assert yaml.safe_load(written.read_text())["tracker"]["new_confidence"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("", "what is true? give --counts MANUAL, --tracks GT, or both"),
        ("--counts manual.csv --output CONFIG", "is the config that is tuned; it is never overwritten"),
        ("--counts manual.csv --output /tmp/elsewhere.yaml", "must lie beside"),
        ("--counts manual.csv --output manual.yaml --overwrite", "would replace"),
        ("--counts manual.csv --output manual.csv --overwrite", "names the config"),
        ("--counts manual.csv --stream b", "--stream b: there is none in"),
        ("--tracks gt.txt --first-frame 9", "has boxes in frame"),
        ("--tracks gt.txt --class cat", "--class cat: the detector has no such class"),
        ("--counts empty.csv", "by the truth nothing crosses a line"),
    ],
)
def test_what_cannot_be_tuned_is_a_sentence(
    clip: Callable[[int], Path],
    here: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    complaint: str,
) -> None:
    path = here / "config.yaml"
    path.write_text(f"streams:\n  - {{name: a, source: {clip(8)}}}{RULES}")
    (here / "gt.txt").write_text("2,1,10,10,20,40,1\n")
    (here / "empty.csv").write_text("source,rule,class,direction,start,end,count\na,gate,,in,0,9,0\n")
    (here / "manual.csv").write_text("source,rule,class,direction,start,end,count\na,gate,,in,0,9,1\n")
    assert main(["tune", "counts", str(path), *arguments.replace("CONFIG", str(path)).split()]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert complaint in told.err
    assert told.err.count("\n") == 1
    assert not list(here.glob("*.tuned.*"))


def test_what_is_missing_is_told_before_the_clip_is_detected(
    clip: Callable[[int], Path], here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = here / "config.yaml"
    path.write_text(f"streams:\n  - {{name: a, source: {clip(8)}}}{RULES}")
    (here / "gt.txt").write_text("2,1,10,10,20,40,1\n")
    monkeypatch.setitem(sys.modules, "trackeval", None)
    assert main(["tune", "counts", str(path), "--tracks", str(here / "gt.txt")]) == 2
    assert "needs TrackEval: pip install 'vidan[eval]'" in capsys.readouterr().err
    assert not list(here.glob("runs/tune/*"))


def test_a_rule_with_a_schedule_needs_a_clip_whose_time_is_known(
    clip: Callable[[int], Path], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = here / "config.yaml"
    open_at = "{time_zone: UTC, windows: [{days: [mon], from: '08:00', to: '18:00'}]}"
    gate = f"gate: {{type: line, points: [[0.5, 0], [0.5, 1]], schedule: {open_at}}}"
    path.write_text(f"streams:\n  - {{name: a, source: {clip(8)}}}\nrules:\n  {gate}\n")
    (here / "manual.csv").write_text("source,rule,class,direction,start,end,count\na,gate,,in,0,9,1\n")
    assert main(["tune", "counts", str(path), "--counts", str(here / "manual.csv")]) == 2
    assert "rule gate has a schedule, but nothing says when this was recorded" in capsys.readouterr().err
