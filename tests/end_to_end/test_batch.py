"""Recordings of cameras become counts: the same as of one run, however they are cut and wherever they lie."""

from __future__ import annotations

import json
import shutil
from datetime import UTC
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from batches import RULES, MakeClip, MakeConfig, batch, log_of
from range_server import range_server

from vidan.pipeline.batch.plan import FileStatus, Settings, make_plan
from vidan.pipeline.batch.progress import failures_of
from vidan.pipeline.job import read_config, run_job

pytestmark = pytest.mark.usefixtures("quick_detector")
_ZONE_KINDS = {"zone_entered", "zone_left", "zone_appeared", "zone_vanished"}


def test_a_recording_that_is_detected_in_parts_gives_the_log_of_one_run_to_the_byte(
    config: MakeConfig, long_clip: Path, tmp_path: Path
) -> None:
    path = config(long_clip, text=RULES)
    run = run_job(read_config(path))
    plan, workers = batch(path, tmp_path / "out")
    assert len(workers.jobs) == 3 + 1  # cut at the key frames after a second: 30, 60; and the counting
    assert plan.files[0].status is FileStatus.DETECTED
    assert log_of(tmp_path / "out") == run.folder.events.read_bytes()
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
    plan, _ = batch(path, tmp_path / "out")
    assert log_of(tmp_path / "out") == run.folder.events.read_bytes()
    timed, _ = batch(path, tmp_path / "timed", listed, names="{camera}_{start:%Y%m%d_%H%M%S}", zone=UTC)
    assert not timed.cameras[0].timeline.gaps
    assert not timed.cameras[0].timeline.overlaps
    assert [json.loads(line)["id"] for line in log_of(tmp_path / "timed").splitlines()] == [
        json.loads(line)["id"] for line in run.folder.events.read_bytes().splitlines()
    ]
    assert not failures_of(plan)


def test_a_gap_between_recordings_is_time_that_nobody_saw(config: MakeConfig, clip: MakeClip, tmp_path: Path) -> None:
    for name in ("a_20260501_080000.mp4", "a_20260501_080100.mp4"):
        shutil.copy(clip(40 if name.endswith("00.mp4") and "0801" in name else 50), tmp_path / name)
    path = config(clip(50), text=RULES)
    batch(path, tmp_path / "out", tmp_path / "a_*.mp4", names="{camera}_{start:%Y%m%d_%H%M%S}", zone=UTC)
    stream = json.loads((tmp_path / "out/cameras/a/run.json").read_text())["streams"][0]
    assert stream["gaps"] == [{"start": 2.0, "end": 60.0, "reason": "missing"}]
    assert stream["seconds"] == pytest.approx(61.6)
    assert stream["start_utc"] == "2026-05-01T08:00:00.000Z"
    times = [json.loads(line)["utc"] for line in log_of(tmp_path / "out").splitlines()]
    assert any(time.startswith("2026-05-01T08:01:0") for time in times)


def test_of_recordings_that_overlap_nobody_is_counted_twice(config: MakeConfig, clip: MakeClip, tmp_path: Path) -> None:
    shutil.copy(clip(100), tmp_path / "a_20260501_080000.mp4")
    shutil.copy(clip(90), tmp_path / "a_20260501_080001.mp4")  # 3.6 s that begin in the first one's second 1
    path = config(clip(100), text=RULES)
    options = {"names": "{camera}_{start:%Y%m%d_%H%M%S}", "zone": UTC, "join_seconds": 0.5}
    plan, _ = batch(path, tmp_path / "out", tmp_path / "a_*.mp4", **options)
    assert [span.seconds for span in plan.cameras[0].timeline.overlaps] == [pytest.approx(3.0)]
    stream = json.loads((tmp_path / "out/cameras/a/run.json").read_text())["streams"][0]
    assert stream["seconds"] == pytest.approx(4.6)
    assert stream["frames"]["analysed"] == 100 + 90 - 75
    assert any("begins 3.0 s before" in problem for problem in stream["problems"])


def test_the_same_recording_under_two_names_counts_once(config: MakeConfig, clip: MakeClip, tmp_path: Path) -> None:
    for name in ("one.mp4", "two.mp4"):
        shutil.copy(clip(50), tmp_path / name)
    path = config(clip(50), text=RULES)
    plan, _ = batch(path, tmp_path / "out", tmp_path / "one.mp4", tmp_path / "two.mp4")
    assert [file.status for file in plan.files] == [FileStatus.DETECTED, FileStatus.DUPLICATE]
    assert plan.files[1].reason == "is the same recording as one.mp4"
    assert log_of(tmp_path / "out") == run_job(read_config(path)).folder.events.read_bytes()


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
    batch(path, tmp_path / "here", there, **names)
    with range_server(there.parent) as server:
        url = f"{server.url}/a/"
        plan, _ = batch(path, out, url, cache_bytes=1, **names)  # less than one: one after the other
        assert not failures_of(plan)
        assert log_of(out) == log_of(tmp_path / "here") != b""
        assert not (out / "downloads").exists()
        account = json.loads((out / "batch.json").read_text())
        assert account["cameras"][0]["recordings"][0]["path"] == f"{url}20260501_080000.mp4"

        again, workers = batch(path, out, f"{url}*.mp4", **names)
        assert [file.was_there for file in again.files] == [True, True]
        assert not workers.jobs

        shutil.copy(clip(50), there / "20260501_080002.mp4")
        third = make_plan(read_config(path), Settings((url,), out, **names))  # type: ignore[arg-type]
        assert [file.status for file in third.files] == [FileStatus.DETECTED, FileStatus.NEW]


def test_each_camera_has_the_rules_of_its_stream(config: MakeConfig, clip: MakeClip, tmp_path: Path) -> None:
    for name in ("a/1.mp4", "b/1.mp4", "c/1.mp4"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(clip(60), tmp_path / name)
    path = config(clip(60), clip(60), text=RULES)
    path.write_text(path.read_text().replace("{name: b,", "{name: b, rules: [yard],"))
    plan, _ = batch(path, tmp_path / "out", *(tmp_path / name for name in "abc"))
    rules = {name: {json.loads(line)["rule"] for line in log_of(tmp_path / "out", name).splitlines()} for name in "ab"}
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
    batch(
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
    batch(path, tmp_path / "out", video=True, evidence=True)
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
    plan, workers = batch(path, tmp_path / "out")
    assert len(workers.jobs) == 3 + 1
    assert log_of(tmp_path / "out") == run.folder.events.read_bytes()
    stream = json.loads((tmp_path / "out/cameras/a/run.json").read_text())["streams"][0]
    assert stream["frames"] == run.manifest.streams[0].to_record()["frames"]
    assert not failures_of(plan)
