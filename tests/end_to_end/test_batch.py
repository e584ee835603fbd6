"""Recordings of cameras become counts: the same as of one run, however they are cut, killed and gone on with."""

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
from datetime import UTC
from pathlib import Path

import av
import pyarrow.dataset as ds
import pytest
from batch_here import Here, RedAndBlue, batch_here
from range_server import range_server

from vidan.pipeline.batch.batch import locked, run_batch
from vidan.pipeline.batch.estimate import estimate
from vidan.pipeline.batch.plan import FileStatus, Settings, make_plan
from vidan.pipeline.batch.progress import failures_of
from vidan.pipeline.batch.workers import Job, Share
from vidan.pipeline.cli.batch_display import print_plan
from vidan.pipeline.errors import SinkError
from vidan.pipeline.job import read_config, run_job

MakeConfig = Callable[..., Path]
MakeClip = Callable[[int], Path]
Vidan = Callable[..., "subprocess.CompletedProcess[str]"]

RULES = """
rules:
  gate: {type: line, points: [[0.5, 0.0], [0.5, 1.0]]}
  yard: {type: zone, polygon: [[0.3, 0.1], [0.9, 0.1], [0.9, 0.9], [0.3, 0.9]]}
output: {folder: runs, interval_seconds: 2, evidence: false, video: false}
"""


_ZONE_KINDS = {"zone_entered", "zone_left", "zone_appeared", "zone_vanished"}


@pytest.fixture(autouse=True)
def _quick_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, detection by colours instead of a network, which would take most of the time."""
    monkeypatch.setattr("vidan.pipeline.batch.detecting.build_detector", lambda config, threads: RedAndBlue())
    monkeypatch.setattr("vidan.pipeline.batch.detecting._loaded", None)
    monkeypatch.setattr("vidan.pipeline.job.build_detector", lambda config: RedAndBlue())


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory, clip: MakeClip) -> Path:
    """100 pictures with a key frame every ten."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    with av.open(str(clip(100))) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=25, options={"preset": "fast", "g": "10", "bf": "2", "crf": "20"})
        stream.height, stream.width = source.streams.video[0].height, source.streams.video[0].width
        for frame in source.decode(video=0):
            picture = frame.reformat(format="yuv420p")
            picture.pict_type = 0
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    return path


def _log(folder: Path, camera: str = "a") -> bytes:
    return (folder / "cameras" / camera / "events.jsonl").read_bytes()


def test_a_recording_that_is_detected_in_parts_gives_the_log_of_one_run_to_the_byte(
    config: MakeConfig, long_clip: Path, tmp_path: Path
) -> None:
    path = config(long_clip, text=RULES)
    run = run_job(read_config(path))
    plan, workers = batch_here(path, tmp_path / "out")
    assert len(workers.jobs) == 3 + 1  # cut at the key frames after a second: 30, 60; and the counting
    assert plan.files[0].status is FileStatus.DETECTED
    assert _log(tmp_path / "out") == run.folder.events.read_bytes()
    assert run.folder.events.stat().st_size > 0
    for name in ("near_misses.jsonl", "counts.csv", "occupancy.csv"):
        assert (tmp_path / "out/cameras/a" / name).read_bytes() == (run.folder.path / name).read_bytes()


def test_files_that_follow_each_other_are_one_stream_whose_tracks_go_on_over_the_cuts(
    config: MakeConfig, clip: MakeClip, tmp_path: Path
) -> None:
    files = [clip(60), clip(40)]
    listed = tmp_path / "listed"
    listed.mkdir()
    names = ["a_20260501_080000.mp4", "a_20260501_080002.mp4"]  # the second begins 0.4 s early: within --join
    for file, name in zip(files, names, strict=True):
        shutil.copy(file, listed / name)
    path = config(listed / "*.mp4", text=RULES)
    run = run_job(read_config(path))
    plan, _ = batch_here(path, tmp_path / "out")
    assert _log(tmp_path / "out") == run.folder.events.read_bytes()
    timed, _ = batch_here(path, tmp_path / "timed", listed, names="{camera}_{start:%Y%m%d_%H%M%S}", zone=UTC)
    assert not timed.cameras[0].timeline.gaps
    assert not timed.cameras[0].timeline.overlaps
    assert [json.loads(line)["id"] for line in _log(tmp_path / "timed").splitlines()] == [
        json.loads(line)["id"] for line in run.folder.events.read_bytes().splitlines()
    ]
    assert not failures_of(plan)


def test_a_gap_between_recordings_is_time_that_nobody_saw(config: MakeConfig, clip: MakeClip, tmp_path: Path) -> None:
    for name in ("a_20260501_080000.mp4", "a_20260501_080100.mp4"):
        shutil.copy(clip(40 if name.endswith("00.mp4") and "0801" in name else 50), tmp_path / name)
    path = config(clip(50), text=RULES)
    batch_here(path, tmp_path / "out", tmp_path / "a_*.mp4", names="{camera}_{start:%Y%m%d_%H%M%S}", zone=UTC)
    stream = json.loads((tmp_path / "out/cameras/a/run.json").read_text())["streams"][0]
    assert stream["gaps"] == [{"start": 2.0, "end": 60.0, "reason": "missing"}]
    assert stream["seconds"] == pytest.approx(61.6)
    assert stream["start_utc"] == "2026-05-01T08:00:00.000Z"
    times = [json.loads(line)["utc"] for line in _log(tmp_path / "out").splitlines()]
    assert any(time.startswith("2026-05-01T08:01:0") for time in times)


def test_of_recordings_that_overlap_nobody_is_counted_twice(config: MakeConfig, clip: MakeClip, tmp_path: Path) -> None:
    shutil.copy(clip(100), tmp_path / "a_20260501_080000.mp4")
    shutil.copy(clip(90), tmp_path / "a_20260501_080001.mp4")  # 3.6 s that begin in the first one's second 1
    path = config(clip(100), text=RULES)
    options = {"names": "{camera}_{start:%Y%m%d_%H%M%S}", "zone": UTC, "join_seconds": 0.5}
    plan, _ = batch_here(path, tmp_path / "out", tmp_path / "a_*.mp4", **options)
    assert [span.seconds for span in plan.cameras[0].timeline.overlaps] == [pytest.approx(3.0)]
    stream = json.loads((tmp_path / "out/cameras/a/run.json").read_text())["streams"][0]
    assert stream["seconds"] == pytest.approx(4.6)
    assert stream["frames"]["analysed"] == 100 + 90 - 75
    assert any("begins 3.0 s before" in problem for problem in stream["problems"])


def test_the_same_recording_under_two_names_counts_once(config: MakeConfig, clip: MakeClip, tmp_path: Path) -> None:
    for name in ("one.mp4", "two.mp4"):
        shutil.copy(clip(50), tmp_path / name)
    path = config(clip(50), text=RULES)
    plan, _ = batch_here(path, tmp_path / "out", tmp_path / "one.mp4", tmp_path / "two.mp4")
    assert [file.status for file in plan.files] == [FileStatus.DETECTED, FileStatus.DUPLICATE]
    assert plan.files[1].reason == "is the same recording as one.mp4"
    assert _log(tmp_path / "out") == run_job(read_config(path)).folder.events.read_bytes()


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
    plan, _ = batch_here(path, tmp_path / "out", folder)
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
    batch_here(path, out)
    parts = {part: part.stat().st_mtime_ns for part in (out / "detections").rglob("*.parquet")}
    counted = (out / "cameras/a/run.json").stat().st_mtime_ns

    plan, workers = batch_here(path, out)
    assert not workers.jobs
    assert plan.cameras[0].counted is True
    assert (out / "cameras/a/run.json").stat().st_mtime_ns == counted

    moved = config(long_clip, text=RULES.replace("0.5, 0.0", "0.6, 0.0").replace("0.5, 1.0", "0.6, 1.0"))
    plan, workers = batch_here(moved, out)
    assert [type(job).__name__ for job in workers.jobs] == ["Counting"]
    assert parts == {part: part.stat().st_mtime_ns for part in (out / "detections").rglob("*.parquet")}
    assert _log(out) == run_job(read_config(moved)).folder.events.read_bytes()

    _, workers = batch_here(config(long_clip, text=RULES + "tracker: {new_confidence: 0.9}\n"), out)
    assert [type(job).__name__ for job in workers.jobs] == ["Counting"]
    stricter = config(long_clip, text=RULES).read_text().replace("batch: 4", "batch: 4, confidence: 0.3")
    moved.write_text(stricter)
    _, workers = batch_here(moved, out)
    assert [type(job).__name__ for job in workers.jobs] == ["Detecting"] * 3 + ["Counting"]


def test_a_file_that_cannot_be_cut_goes_on_in_its_middle(config: MakeConfig, clip: MakeClip, tmp_path: Path) -> None:
    path, out = config(clip(100), text=RULES), tmp_path / "out"  # its only key frame is the first
    batch_here(path, out)
    folder = next((out / "detections").iterdir())
    log, parts = _log(out), sorted(folder.glob("*.parquet"))
    assert len(parts) == 4
    assert log == run_job(read_config(path)).folder.events.read_bytes()
    before = {part.name: part.read_bytes() for part in parts}
    for lost in (folder / "file.json", parts[1], parts[3]):
        lost.unlink()
    shutil.rmtree(out / "cameras")
    kept = parts[2].stat().st_mtime_ns
    batch_here(path, out)
    assert parts[2].stat().st_mtime_ns == kept
    assert _log(out) == log
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
    assert _log(killed) == _log(out) == (out / "events.jsonl").read_bytes()
    assert _log(out)
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


def test_footage_at_a_url_gives_the_log_of_the_same_files_here_and_leaves_no_copy(
    config: MakeConfig, clip: MakeClip, tmp_path: Path
) -> None:
    pytest.importorskip("aiohttp", reason="needs vidan[remote]")
    there, out = tmp_path / "there/a", tmp_path / "out"
    there.mkdir(parents=True)
    shutil.copy(clip(60), there / "20260501_080000.mp4")
    shutil.copy(clip(40), there / "20260501_080002.mp4")
    path = config(clip(60), text=RULES)
    names = {"names": "{camera}/{start:%Y%m%d_%H%M%S}", "zone": UTC}
    batch_here(path, tmp_path / "here", there, **names)
    with range_server(there.parent) as server:
        url = f"{server.url}/a/"
        plan, _ = batch_here(path, out, url, cache_bytes=1, **names)  # less than one: one after the other
        assert not failures_of(plan)
        assert _log(out) == _log(tmp_path / "here") != b""
        assert not (out / "downloads").exists()
        account = json.loads((out / "batch.json").read_text())
        assert account["cameras"][0]["recordings"][0]["path"] == f"{url}20260501_080000.mp4"

        again, workers = batch_here(path, out, f"{url}*.mp4", **names)
        assert [file.was_there for file in again.files] == [True, True]
        assert not workers.jobs

        shutil.copy(clip(50), there / "20260501_080002.mp4")
        third = make_plan(read_config(path), Settings((url,), out, **names))  # type: ignore[arg-type]
        assert [file.status for file in third.files] == [FileStatus.DETECTED, FileStatus.NEW]


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
    after, _ = batch_here(path, out, str(there))  # what was left is in nobody's way
    assert not failures_of(after)


def test_a_plan_with_nothing_to_do_says_so(
    config: MakeConfig, clip: MakeClip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(clip(25), text=RULES)
    batch_here(path, tmp_path / "out")
    plan = make_plan(read_config(path), Settings((), tmp_path / "out", part_seconds=1.0))
    print_plan(plan, estimate(plan, Share(1, 1)), as_json=False)
    said = capsys.readouterr().out
    assert "are there" in said
    assert "everything is detected" in said


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


def test_each_camera_has_the_rules_of_its_stream(config: MakeConfig, clip: MakeClip, tmp_path: Path) -> None:
    for name in ("a/1.mp4", "b/1.mp4", "c/1.mp4"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(clip(60), tmp_path / name)
    path = config(clip(60), clip(60), text=RULES)
    path.write_text(path.read_text().replace("{name: b,", "{name: b, rules: [yard],"))
    plan, _ = batch_here(path, tmp_path / "out", *(tmp_path / name for name in "abc"))
    rules = {name: {json.loads(line)["rule"] for line in _log(tmp_path / "out", name).splitlines()} for name in "ab"}
    assert rules == {"a": {"gate", "yard"}, "b": {"yard"}}
    assert [Path(left.shown).name for left in plan.left_out] == ["1.mp4"]
    assert "neither its name nor a folder tells its camera" in failures_of(plan)[0]
    report = (tmp_path / "out/report.html").read_text()
    assert 'href="cameras/b/report.html"' in report
    counts = json.loads((tmp_path / "out/batch.json").read_text())["counts"]
    total = sum(count["count"] for count in counts)
    lines = (tmp_path / "out/events.jsonl").read_text().splitlines()
    assert total == sum(json.loads(line)["event"] in {"line_crossed", *_ZONE_KINDS} for line in lines) > 0


def test_tracks_of_all_cameras_are_one_table_by_camera_and_day(
    config: MakeConfig, clip: MakeClip, tmp_path: Path
) -> None:
    for name in ("a_20260501_080000.mp4", "b_20260502_080000.mp4"):
        shutil.copy(clip(50), tmp_path / name)
    batch_here(
        config(clip(50), clip(50), text=RULES),
        tmp_path / "out",
        tmp_path / "[ab]_*.mp4",
        names="{camera}_{start:%Y%m%d_%H%M%S}",
        zone=UTC,
    )
    table = ds.dataset(tmp_path / "out/tracks", partitioning="hive").to_table().to_pydict()
    assert set(zip(table["source"], table["day"], strict=True)) == {("a", "2026-05-01"), ("b", "2026-05-02")}


def test_pictures_on_wish_are_those_of_a_run(config: MakeConfig, long_clip: Path, tmp_path: Path) -> None:
    text = RULES.replace(", evidence: false, video: false", "")
    path = config(long_clip, text=text)
    run = run_job(read_config(path))
    batch_here(path, tmp_path / "out", video=True, evidence=True)
    folder = tmp_path / "out/cameras/a"
    assert (folder / "a.mp4").read_bytes() == (run.folder.path / "a.mp4").read_bytes()
    assert {still.name for still in (folder / "evidence").iterdir()} == {
        still.name for still in run.folder.evidence.iterdir()
    }


def test_stride_and_max_fps_choose_the_same_pictures_in_parts_as_in_one_run(
    config: MakeConfig, long_clip: Path, tmp_path: Path
) -> None:
    path = config(long_clip, text=RULES)
    source = f"{{type: video, path: {long_clip}, max_fps: 7}}"
    path.write_text(path.read_text().replace(f"source: {long_clip}", f"source: {source}"))
    run = run_job(read_config(path))
    plan, workers = batch_here(path, tmp_path / "out")
    assert len(workers.jobs) == 3 + 1
    assert _log(tmp_path / "out") == run.folder.events.read_bytes()
    stream = json.loads((tmp_path / "out/cameras/a/run.json").read_text())["streams"][0]
    assert stream["frames"] == run.manifest.streams[0].to_record()["frames"]
    assert not failures_of(plan)
