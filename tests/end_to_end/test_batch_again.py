"""Batches that were killed, stopped or done already go on; what is damaged fails alone, and plans are told."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest
from batches import RULES, Here, MakeClip, MakeConfig, batch, log_of
from range_server import range_server

from vidan.pipeline.batch.batch import locked, run_batch
from vidan.pipeline.batch.estimate import estimate
from vidan.pipeline.batch.plan import Settings, make_plan
from vidan.pipeline.batch.progress import failures_of
from vidan.pipeline.batch.workers import Job, Share
from vidan.pipeline.cli.batch_display import print_plan
from vidan.pipeline.errors import SinkError
from vidan.pipeline.job import read_config, run_job

Vidan = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.usefixtures("quick_detector")


def test_a_damaged_recording_fails_alone_and_is_listed_with_its_reason(
    config: MakeConfig, clip: MakeClip, tmp_path: Path
) -> None:
    folder = tmp_path / "footage"
    folder.mkdir()
    shutil.copy(clip(50), folder / "1.mp4")
    (folder / "2.mp4").write_bytes(clip(60).read_bytes()[:5000])
    (folder / "3.mp4").write_text("no video at all")
    shutil.copy(clip(40), folder / "4.mp4")
    path = config(clip(50), text=RULES)
    plan, _ = batch(path, tmp_path / "out", folder)
    assert [file.status.value for file in plan.files] == ["detected", "failed", "failed", "detected"]
    record = json.loads((tmp_path / "out/batch.json").read_text())
    assert record["status"] == "failed"
    assert [Path(failure.split(": ")[0].split(" ")[0]).name for failure in record["failures"]] == ["2.mp4", "3.mp4"]
    assert "its index is missing" in record["failures"][0]
    stream = json.loads((tmp_path / "out/cameras/a/run.json").read_text())["streams"][0]
    assert stream["frames"]["analysed"] == 90
    assert any(problem.startswith("2.mp4 is left out: ") for problem in stream["problems"])


def test_what_is_there_is_not_done_again_and_new_rules_need_no_detector(
    config: MakeConfig, long_clip: Path, tmp_path: Path
) -> None:
    path, out = config(long_clip, text=RULES), tmp_path / "out"
    batch(path, out)
    parts = {part: part.stat().st_mtime_ns for part in (out / "detections").rglob("*.parquet")}
    counted = (out / "cameras/a/run.json").stat().st_mtime_ns

    plan, workers = batch(path, out)
    assert not workers.jobs
    assert plan.cameras[0].counted is True
    assert (out / "cameras/a/run.json").stat().st_mtime_ns == counted

    moved = config(long_clip, text=RULES.replace("0.5, 0.0", "0.6, 0.0").replace("0.5, 1.0", "0.6, 1.0"))
    plan, workers = batch(moved, out)
    assert [type(job).__name__ for job in workers.jobs] == ["Counting"]
    assert parts == {part: part.stat().st_mtime_ns for part in (out / "detections").rglob("*.parquet")}
    assert log_of(out) == run_job(read_config(moved)).folder.events.read_bytes()

    _, workers = batch(config(long_clip, text=RULES + "tracker: {new_confidence: 0.9}\n"), out)
    assert [type(job).__name__ for job in workers.jobs] == ["Counting"]
    stricter = config(long_clip, text=RULES).read_text().replace("batch: 4", "batch: 4, confidence: 0.3")
    moved.write_text(stricter)
    _, workers = batch(moved, out)
    assert [type(job).__name__ for job in workers.jobs] == ["Detecting"] * 3 + ["Counting"]


def test_a_file_that_cannot_be_cut_goes_on_in_its_middle(config: MakeConfig, clip: MakeClip, tmp_path: Path) -> None:
    path, out = config(clip(100), text=RULES), tmp_path / "out"  # its only key frame is the first
    batch(path, out)
    folder = next((out / "detections").iterdir())
    log, parts = log_of(out), sorted(folder.glob("*.parquet"))
    assert len(parts) == 4
    assert log == run_job(read_config(path)).folder.events.read_bytes()
    before = {part.name: part.read_bytes() for part in parts}
    for lost in (folder / "file.json", parts[1], parts[3]):
        lost.unlink()
    shutil.rmtree(out / "cameras")
    kept = parts[2].stat().st_mtime_ns
    batch(path, out)
    assert parts[2].stat().st_mtime_ns == kept
    assert log_of(out) == log
    assert {part.name for part in folder.glob("*.parquet")} == set(before)


def _start(config: Path, output: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vidan.pipeline.cli.main", "batch", str(config), "--output", str(output)]
    command += ["--part", "1", "--workers", "2", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_batch_that_is_killed_goes_on_and_gives_the_same_bytes(
    config: MakeConfig, long_clip: Path, tmp_path: Path
) -> None:
    path = config(long_clip, text=RULES)
    killed, out = tmp_path / "killed", tmp_path / "out"
    process = _start(path, killed)
    deadline = time.monotonic() + 100
    while not list(killed.rglob("*.parquet")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    there = {part: part.stat().st_mtime_ns for part in (killed / "detections").rglob("*.parquet")}
    assert not (killed / "cameras/a").exists()

    for output in (killed, out):
        process = _start(path, output, "--json", "--progress", "json")
        said, lines = process.communicate(timeout=100)
        assert process.returncode == 0, lines
        assert json.loads(said)["status"] == "complete"
        assert json.loads(lines.splitlines()[0])["expected"] == 100
    assert log_of(killed) == log_of(out) == (out / "events.jsonl").read_bytes()
    assert log_of(out)
    assert there.items() <= {part: part.stat().st_mtime_ns for part in there}.items()


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished_and_says_so(config: MakeConfig, long_clip: Path, tmp_path: Path) -> None:
    process = _start(config(long_clip, text=RULES), tmp_path / "out", "--progress", "json")
    while not list((tmp_path / "out").rglob("*.parquet")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert json.loads((tmp_path / "out/batch.json").read_text())["status"] == "interrupted"


def test_a_plan_with_nothing_to_do_says_so(
    config: MakeConfig, clip: MakeClip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(clip(25), text=RULES)
    batch(path, tmp_path / "out")
    plan = make_plan(read_config(path), Settings((), tmp_path / "out", part_seconds=1.0))
    print_plan(plan, estimate(plan, Share(1, 1)), as_json=False)
    said = capsys.readouterr().out
    assert "are there" in said
    assert "everything is detected" in said


@pytest.mark.parametrize("room", [1, 1 << 30])
def test_a_batch_that_fails_ends_though_copies_wait_for_room(
    room: int, config: MakeConfig, clip: MakeClip, tmp_path: Path
) -> None:
    class Full(Here):
        def submit(self, job: Job) -> Future[bool]:
            future: Future[bool] = Future()
            future.set_exception(SinkError("the disk is full"))
            return future

    there = tmp_path / "there/a"
    there.mkdir(parents=True)
    for count in (25, 30, 35, 40):
        shutil.copy(clip(count), there / f"{count}.mp4")
    path, out, ended = config(clip(25), text=RULES), tmp_path / "out", threading.Event()
    with range_server(there.parent) as server:
        settings = Settings((f"{server.url}/a/",), out, cache_bytes=room)
        plan = make_plan(read_config(path), settings)

        def run() -> None:
            with pytest.raises(SinkError, match="the disk is full"):
                run_batch(plan, Full(), threads=None)
            ended.set()

        threading.Thread(target=run, daemon=True).start()
        assert ended.wait(20)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("survey")] == []
    after, _ = batch(path, out, str(there))  # what was left is in nobody's way
    assert not failures_of(after)


def test_two_batches_do_not_work_in_one_folder(config: MakeConfig, clip: MakeClip, tmp_path: Path) -> None:
    with (
        locked(tmp_path / "out"),
        pytest.raises(SinkError, match="another process is at work"),
        locked(tmp_path / "out"),
    ):
        pass


def test_a_dry_run_tells_what_there_is_to_do_and_does_nothing(
    config: MakeConfig, clip: MakeClip, tmp_path: Path, vidan: Vidan
) -> None:
    shutil.copy(clip(50), tmp_path / "a_20260501_080000.mp4")
    shutil.copy(clip(40), tmp_path / "a_20260501_081000.mp4")
    names = ["--names", "{camera}_{start:%Y%m%d_%H%M%S}", "--timezone", "UTC"]
    done = vidan("batch", config(clip(50), text=RULES), *names, "--output", "out", tmp_path / "a_*.mp4", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "598.0 s were not recorded before a_20260501_081000.mp4" in done.stdout
    assert "90 pictures are to be detected" in done.stdout
    assert "that takes about" in done.stdout
    assert not (tmp_path / "out").exists()
