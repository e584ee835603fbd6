"""A run on a camera is killed, stopped and reloaded, and goes on: what was committed stays and is never said twice."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from vidan.pipeline.job import read_config, run_job
from vidan.pipeline.replay import replay_run
from vidan.pipeline.sinks.tracks import read_tracks

CONFIG = """
streams: [{name: yard, source: walker.mp4}]
tracker: {lost_after_seconds: 0.2, smooth_seconds: 0.05}
rules:
  gate: {type: line, points: [[0.5, 0.0], [0.5, 1.0]], settle: 0.1}
  room: {type: zone, polygon: [[0.2, 0.0], [0.8, 0.0], [0.8, 1.0], [0.2, 1.0]], settle: 0.0, capacity: {max: 0}}
output: {folder: run, interval_seconds: 1, video: false, report: false}
"""
COMING, GOING = {"zone_entered", "zone_appeared"}, {"zone_left", "zone_vanished"}


class WalkerRun:
    """Starts and ends processes of one run."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "config.yaml"
        self.config.write_text(CONFIG)
        self.folder = folder / "run"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("walker_run.py")), str(self.config), "--resume"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def wait_for_events(self, more: int) -> None:
        before = len(self.lines())
        self.wait_until(lambda: len(self.lines()) >= before + more)

    def wait_until(self, is_there: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + 60
        while not is_there():
            assert self.process is not None
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < give_up_at, "no events come"
            time.sleep(0.01)

    def end(self, number: int) -> tuple[int, str]:
        assert self.process is not None
        self.process.send_signal(number)
        errors = self.process.communicate(timeout=60)[1]
        code, self.process = self.process.returncode, None
        return code, errors

    def lines(self) -> list[bytes]:
        log = self.folder / "events.jsonl"
        return log.read_bytes().splitlines(keepends=True) if log.exists() else []

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]

    def record(self) -> dict[str, Any]:
        return json.loads((self.folder / "run.json").read_text())


@pytest.fixture
def run(tmp_path: Path) -> Iterator[WalkerRun]:
    walker = WalkerRun(tmp_path)
    yield walker
    if walker.process is not None:
        walker.process.kill()
        walker.process.communicate()


def test_a_run_that_is_killed_again_and_again_goes_on_and_counts_nothing_twice(run: WalkerRun) -> None:
    kept: list[bytes] = []
    highest = 0
    rng = random.Random(1)
    for _ in range(2):
        run.start()
        run.wait_for_events(8)
        time.sleep(rng.uniform(0, 0.3))
        run.end(signal.SIGKILL)
        lines = run.lines()
        assert lines[: len(kept)] == kept, "what was committed stays as it is"
        assert all(line.endswith(b"\n") for line in lines), "no half line"
        new = [json.loads(line) for line in lines[len(kept) :]]
        begun = {event["track"] for event in new if event["event"] in COMING}
        assert min(begun) > highest, "ids of tracks go on after the highest"
        highest = max(event["track"] or 0 for event in new)
        kept = lines
    (run.folder / "events.jsonl").open("ab").write(b'{"id":"torn')
    run.start()
    run.wait_for_events(6)
    code, errors = run.end(signal.SIGTERM)
    assert code == 130, errors

    events = run.events()
    assert max(Counter(event["id"] for event in events).values()) == 1
    stays = Counter((event["track"], event["event"] in COMING) for event in events if event["event"] in COMING | GOING)
    assert all(stays[track, True] == stays[track, False] for track, _ in stays), "nobody is left inside"
    crowds = Counter(event["event"] for event in events if event["event"].startswith("capacity"))
    assert crowds["capacity_exceeded"] == crowds["capacity_cleared"] > 2

    record = run.record()
    assert [session["status"] for session in record["sessions"]] == ["failed"] * 2 + ["interrupted"]
    assert record["started"] == record["sessions"][0]["started"]
    (stream,) = record["streams"]
    stops = [gap for gap in stream["gaps"] if gap["reason"] == "stopped"]
    assert stops, "that of a session that was killed before it wrote run.json is not known"
    assert all(earlier["end"] <= later["start"] for earlier, later in pairwise(stops))
    with (run.folder / "counts.csv").open() as file:
        counted = sum(int(row["count"] or 0) for row in csv.DictReader(file))
    assert counted == sum(event["event"] in COMING | GOING | {"line_crossed"} for event in events)

    tracks = [frame.counted for frame in read_tracks(run.folder / "tracks.parquet")]
    times = [frame.stamp.pts_seconds for frame in tracks]
    assert times == sorted(set(times)), "the time of the stored tracks only grows"
    again = replay_run(run.folder, output=run.folder.parent / "again")
    assert again.summary.counts, "a run of several sessions can be counted again"


def test_a_hangup_reads_the_rules_again_and_keeps_the_tracks(run: WalkerRun) -> None:
    run.start()
    run.wait_until(lambda: any(b'"gate"' in line for line in run.lines()))
    run.config.write_text(CONFIG.replace("gate:", "door:").replace("[0.5, 0.0], [0.5, 1.0]", "[0.4, 0.0], [0.4, 1.0]"))
    assert run.process is not None
    os.kill(run.process.pid, signal.SIGHUP)
    time.sleep(1.5)
    run.config.write_text("streams: nonsense\n")
    os.kill(run.process.pid, signal.SIGHUP)
    run.wait_until(lambda: any(b'"door"' in line for line in run.lines()))
    run.wait_for_events(3)
    code, errors = run.end(signal.SIGTERM)
    assert code == 130, errors
    assert "the rules were read again" in errors
    assert "the rules stay as they were" in errors
    rules = [event["rule"] for event in run.events()]
    door = rules.index("door")
    assert "gate" in rules[:door]
    assert "gate" not in rules[door:]
    assert max(Counter(event["id"] for event in run.events()).values()) == 1
    (session,) = run.record()["sessions"]
    assert len(session["reloads"]) == 1
    assert {rule["name"] for rule in run.record()["rules"]} == {"gate", "door", "room"}
    assert (run.folder / "counts.csv").read_text().count(",gate,") > 0


def test_two_runs_never_write_one_folder(run: WalkerRun) -> None:
    run.start()
    run.wait_for_events(2)
    second = WalkerRun(run.folder.parent)
    second.start()
    assert second.process is not None
    errors = second.process.communicate(timeout=60)[1]
    assert second.process.returncode == 4
    assert "another run is writing" in errors
    run.wait_for_events(2)
    second.process = None


def test_a_recording_that_is_resumed_ends_with_the_same_log(config: Any, clip: Any) -> None:
    loaded = read_config(config(clip(60)))
    whole = run_job(loaded, overwrite=True).folder
    log = whole.events.read_bytes()
    (name,) = (name for name in os.listdir(whole.path) if name.endswith(".mp4"))
    video = (whole.path / name).read_bytes()
    record = json.loads(whole.manifest.read_text())
    whole.events.write_bytes(log[: len(log) // 2])
    whole.manifest.write_text(json.dumps(record | {"status": "running", "ended": None}))
    outcome = run_job(loaded, resume=True)
    assert outcome.folder.path == whole.path
    assert whole.events.read_bytes() == log
    assert outcome.manifest.run == record["run"]
    again = name.replace(".mp4", "-2.mp4")
    assert (whole.path / name).read_bytes() == video, "what is there is not written over"
    assert (whole.path / again).stat().st_size == pytest.approx(len(video), rel=0.1)
    assert {name, again} <= {*outcome.manifest.outputs}
