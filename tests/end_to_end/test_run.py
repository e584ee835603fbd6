"""A config and a clip become a folder of results that agree with each other."""

from __future__ import annotations

import csv
import json
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from vidan.pipeline.errors import SinkError, SourceError
from vidan.pipeline.events import EventKind
from vidan.pipeline.job import Outcome, read_config, run_job
from vidan.pipeline.manifest import Manifest, RunStatus
from vidan.pipeline.provenance import hash_files
from vidan.pipeline.report.counts import COUNTED_KINDS
from vidan.pipeline.sinks.files import read_events
from vidan.pipeline.sinks.tracks import read_tracks

MakeConfig = Callable[..., Path]
MakeClip = Callable[[int], Path]
Vidan = Callable[..., "subprocess.CompletedProcess[str]"]


QUIET = """
rules:
  gate: {type: line, points: [[0.5, 0.0], [0.5, 1.0]]}
  yard: {type: zone, polygon: [[0.3, 0.1], [0.9, 0.1], [0.9, 0.9], [0.3, 0.9]]}
output: {folder: quiet, evidence: false, video: false}
"""


def _run(path: Path, *, batch: int | None = None) -> Outcome:
    loaded = read_config(path)
    if batch is not None:
        detector = loaded.config.detector.model_copy(update={"batch": batch})
        loaded = replace(loaded, config=loaded.config.model_copy(update={"detector": detector}))
    return run_job(loaded)


def _times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.time or 0.0) for frame in container.decode(video=0)]


def test_everything_that_is_promised_is_there_and_agrees(config: MakeConfig, clip: MakeClip) -> None:
    outcome = _run(config(clip(60)))
    folder, record = outcome.folder, json.loads(outcome.folder.manifest.read_text())
    assert record["status"] == "complete"
    assert record["streams"][0]["frames"] == {
        "expected": 60, "decoded": 60, "delivered": 60, "analysed": 60, "dropped": 0, "corrupt": 0, "repaired_pts": 0,
    }  # fmt: skip
    assert sorted(record["outputs"]) == sorted(path.name for path in folder.path.iterdir() if path != folder.manifest)
    assert list(record["stages"]) == ["decode", "detect", "watch", "track", "rules", "draw", "encode", "evidence"]
    assert all(stage["seconds"] > 0 for stage in record["stages"].values())
    assert record["inputs"].keys() == {str(clip(60))}
    assert _times(folder.video("a")) == pytest.approx(_times(clip(60)), abs=1e-4)

    events = list(read_events(folder.events))
    assert events, "the weights are made so that something is found"
    counted = Counter(event.rule for event in events if event.kind in COUNTED_KINDS)
    with folder.counts.open() as file:
        rows = list(csv.DictReader(file))
    in_table: Counter[str] = Counter()
    for row in rows:
        in_table[row["rule"]] += int(row["count"])
    assert +in_table == counted
    assert [frame.counted.stamp.index for frame in read_tracks(folder.tracks)] == list(range(60))
    arrivals = sum(event.kind in (EventKind.ZONE_ENTERED, EventKind.ZONE_APPEARED) for event in events)
    departures = sum(event.kind in (EventKind.ZONE_LEFT, EventKind.ZONE_VANISHED) for event in events)
    assert arrivals == departures, "at the end of the stream nobody is left inside"


def test_the_event_log_is_the_same_to_the_byte_whatever_the_batch_size(config: MakeConfig, clip: MakeClip) -> None:
    path = config(clip(60), clip(35), text=QUIET)
    logs = {_run(path, batch=batch).folder.events.read_bytes() for batch in (1, 4, 16, 4)}
    assert len(logs) == 1
    assert logs.pop()


def test_evidence_changes_nothing_in_the_log_and_shows_every_event(config: MakeConfig, clip: MakeClip) -> None:
    shown = _run(config(clip(60))).folder
    plain = _run(config(clip(60), text=QUIET)).folder
    assert shown.events.read_bytes() == plain.events.read_bytes()
    assert {path.name for path in shown.evidence.iterdir()} == {f"{e.id}.jpg" for e in read_events(shown.events)}
    assert not plain.evidence.exists()


def test_the_report_of_a_run_is_drawn_again_to_the_byte(config: MakeConfig, clip: MakeClip, vidan: Vidan) -> None:
    folder = _run(config(clip(60), clip(35))).folder
    page = folder.report.read_bytes()
    folder.report.unlink()
    result = vidan("report", folder.path, "--xlsx")
    assert (result.returncode, result.stderr) == (0, "")
    assert folder.report.read_bytes() == page
    assert folder.workbook.stat().st_size > 5000


def test_a_stream_gives_the_same_events_alone_and_beside_another(config: MakeConfig, clip: MakeClip) -> None:
    alone = list(read_events(_run(config(clip(60))).folder.events))
    both = list(read_events(_run(config(clip(60), clip(35))).folder.events))
    assert [event for event in both if event.stream == "a"] == alone
    assert {event.stream for event in both} == {"a", "b"}


def test_a_run_never_writes_over_an_earlier_one(config: MakeConfig, clip: MakeClip) -> None:
    path = config(clip(10))
    first = _run(path).folder
    before = first.manifest.read_bytes()
    assert _run(path).folder.path.name == f"{first.path.name}-2"
    assert first.manifest.read_bytes() == before


def test_what_is_switched_off_is_not_written(config: MakeConfig, clip: MakeClip) -> None:
    text = "output: {folder: runs, video: false, evidence: false, tracks: false, report: false, database: false}\n"
    outcome = _run(config(clip(10), text=text))
    names = {path.name for path in outcome.folder.path.iterdir()}
    assert names == {"counts.csv", "events.jsonl", "near_misses.jsonl", "run.json"}


def test_all_sources_that_cannot_be_opened_are_named_and_nothing_is_written(
    config: MakeConfig, clip: MakeClip, tmp_path: Path
) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    path = config(tmp_path / "missing.mp4", clip(10), tmp_path / "empty.mp4")
    with pytest.raises(SourceError) as caught:
        _run(path)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["stream a", "stream c"]
    assert not (tmp_path / "runs").exists()


def test_a_run_whose_disk_is_full_to_the_end_does_not_go_on_for_ever(
    config: MakeConfig, clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Manifest.write

    def write_first_only(self: Manifest, path: Path) -> None:
        if self.status is not RunStatus.RUNNING:
            raise SinkError("no space left")
        write(self, path)

    monkeypatch.setattr(Manifest, "write", write_first_only)
    path = config(clip(10))
    with pytest.raises(SinkError, match="no space left"):
        _run(path)
    record = json.loads((path.parent / "runs" / "run.json").read_text())
    assert (record["status"], record["error"]) == ("failed", "no space left")


def test_a_folder_of_pictures_has_one_hash(config: MakeConfig, tmp_path: Path) -> None:
    pictures = [tmp_path / "shots" / f"{number}.png" for number in (1, 2)]
    pictures[0].parent.mkdir()
    for picture in pictures:
        picture.write_bytes(cv2.imencode(".png", np.zeros((96, 128, 3), np.uint8))[1].tobytes())
    path = config()
    shots = "streams: [{name: a, source: {type: images, path: shots}}]\n"
    path.write_text(path.read_text().replace("streams:\n", shots))
    outcome = _run(path)
    assert outcome.manifest.inputs == {str(tmp_path / "shots"): hash_files(pictures)}


def test_a_stop_saves_everything_up_to_then(config: MakeConfig, clip: MakeClip) -> None:
    seen: list[int] = []

    class Counting:
        def write(self, result) -> None:
            seen.append(result.frame.stamp.index)

        def close(self) -> None:
            pass

    outcome = run_job(
        read_config(config(clip(60))), observers=[lambda streams: Counting()], stopped=lambda: len(seen) >= 20
    )
    analysed = outcome.manifest.streams[0].analysed
    assert outcome.manifest.status is RunStatus.INTERRUPTED
    assert 20 <= analysed < 60
    assert len(_times(outcome.folder.video("a"))) == analysed
    assert [frame.counted.stamp.index for frame in read_tracks(outcome.folder.tracks)] == list(range(analysed))
