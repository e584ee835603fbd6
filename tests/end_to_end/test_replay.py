"""What was seen once is counted again: the same rules give the same log, other rules what a run with them gives."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vidan.detector import file_sha256
from vidan.pipeline.cli.main import main
from vidan.pipeline.errors import ConfigError, SinkError, SourceError
from vidan.pipeline.job import Outcome, read_config, run_job
from vidan.pipeline.manifest import RunStatus
from vidan.pipeline.replay import replay_run
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks.files import read_events

MakeConfig = Callable[..., Path]
MakeClip = Callable[[int], Path]

COUNTED = ("events.jsonl", "near_misses.jsonl", "counts.csv", "occupancy.csv")
RULES = """
rules:
  gate: {type: line, points: [[0.5, 0.0], [0.5, 1.0]]}
  yard: {type: zone, polygon: [[0.3, 0.1], [0.9, 0.1], [0.9, 0.9], [0.3, 0.9]]}
"""
ANEW = "output: {folder: anew, interval_seconds: 2, video: false, evidence: false, report: false, database: false}\n"
OTHER_RULES = [
    "rules: {gate: {type: line, points: [[0.4, 0], [0.6, 1]], hysteresis: 0, anchor: center, policy: once}}\n",
    "rules:\n"
    "  gate: {type: line, points: [[0.5, 0], [0.45, 0.5], [0.5, 1]], settle: 0.1, directions: {in: east, out: west}}\n"
    "  yard: {type: zone, polygon: [[0, 0], [160, 0], [160, 240], [0, 240]], overlap: 0.5, loiter: {after: 0.4}}\n",
    "rules: {yard: {type: zone, polygon: [[0.2, 0], [0.9, 0], [0.9, 1]], settle: 0, capacity: {max: 1}, every: 0.2}}\n",
]


@pytest.fixture(scope="module")
def seen(weights: Path, clip: MakeClip, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A run over two streams; it is to stay as it is."""
    path = tmp_path_factory.mktemp("seen") / "config.yaml"
    path.write_text(
        f"detector: {{weights: {weights}, runtime: torch, device: cpu, max_detections: 20, batch: 4}}\n"
        f"streams: [{{name: a, source: {clip(60)}}}, {{name: b, source: {clip(35)}}}]\n{RULES}"
        "output: {folder: runs, interval_seconds: 2}\n"
    )
    return run_job(read_config(path))


@pytest.fixture
def run(seen: Outcome, tmp_path: Path) -> Outcome:
    """A copy of that run."""
    folder = RunFolder(tmp_path / "runs")
    shutil.copytree(seen.folder.path, folder.path)
    return replace(seen, folder=folder)


def without_detector(folder: Path, text: str, streams: str = "ab") -> Path:
    """A config for the same streams, of sources that are gone by now."""
    path = folder / "other.yaml"
    named = "".join(f"  - {{name: {name}, source: gone.mp4}}\n" for name in streams)
    path.write_text(f"streams:\n{named}{text}output: {{interval_seconds: 2}}\n")
    return path


def test_the_same_rules_give_the_same_files_to_the_byte(run: Outcome) -> None:
    again = replay_run(run.folder.path)
    assert again.folder.path == run.folder.path.with_name("runs-replay")
    assert run.folder.events.stat().st_size > 1000
    for name in COUNTED:
        assert (again.folder.path / name).read_bytes() == (run.folder.path / name).read_bytes(), name
    record = json.loads(again.folder.manifest.read_text())
    assert record["status"] == "complete"
    assert record["streams"] == json.loads(run.folder.manifest.read_text())["streams"]
    assert record["replayed_from"]["run"] == run.manifest.run != record["run"]
    assert record["replayed_from"]["tracks_sha256"] == file_sha256(run.folder.tracks)
    assert sorted(record["outputs"]) == sorted(
        path.name for path in again.folder.path.iterdir() if path != again.folder.manifest
    )
    assert not {"a.mp4", "b.mp4", "tracks.parquet"} & set(record["outputs"])
    assert "report.html" in record["outputs"]


@pytest.mark.parametrize("rules", OTHER_RULES)
def test_other_rules_give_what_a_run_with_them_gives(
    run: Outcome, config: MakeConfig, clip: MakeClip, tmp_path: Path, rules: str
) -> None:
    anew = run_job(read_config(config(clip(60), clip(35), text=rules + ANEW)))
    again = replay_run(run.folder.path, without_detector(tmp_path, rules))
    assert anew.folder.events.stat().st_size > 1000
    for name in COUNTED:
        assert (anew.folder.path / name).exists() == (again.folder.path / name).exists()
        if (anew.folder.path / name).exists():
            assert (again.folder.path / name).read_bytes() == (anew.folder.path / name).read_bytes(), name


def test_tracks_by_stream_and_day_give_the_same_log(config: MakeConfig, clip: MakeClip) -> None:
    path = config(clip(60), clip(35))
    path.write_text(
        path.read_text().replace(
            "folder: runs", "folder: runs, tracks: {partitioned: true}, video: false, evidence: false"
        )
    )
    run = run_job(read_config(path))
    assert (run.folder.path / "tracks" / "source=b" / "day=unknown" / "part-0.parquet").exists()
    again = replay_run(run.folder.path)
    assert again.folder.events.read_bytes() == run.folder.events.read_bytes() != b""
    path.write_text(path.read_text().replace("tracks: {partitioned: true}", "tracks: false"))
    run_job(read_config(path), overwrite=True)
    assert not (run.folder.path / "tracks").exists(), "replaced with the rest of the run"


def test_a_stream_may_be_left_out(run: Outcome, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    again = replay_run(run.folder.path, without_detector(tmp_path, RULES, streams="b"))
    assert list(read_events(again.folder.events)) == [
        event for event in read_events(run.folder.events) if event.stream == "b"
    ]
    assert "does not name the stream a, which is left out" in caplog.text


def test_other_settings_of_detector_and_tracker_are_said_to_change_nothing(
    run: Outcome, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = "detector: {confidence: 0.7}\ntracker: {lost_after_seconds: 3}\n" + OTHER_RULES[0]
    replay_run(run.folder.path, without_detector(tmp_path, text))
    assert "other settings of detector." in caplog.text
    assert "detector.confidence" in caplog.text
    assert "tracker.lost_after_seconds change nothing" in caplog.text


def cut_off(run: Outcome, keep_rows: int) -> None:
    """Leaves of a run what a killed process leaves: a manifest that says "running", the first batches of the tracks."""
    record = json.loads(run.folder.manifest.read_text())
    record["status"] = "running"
    for stream in record["streams"]:
        stream |= {"seconds": 0.0, "height": None, "width": None}
        stream["frames"]["analysed"] = 0
    run.folder.manifest.write_text(json.dumps(record))
    table = pq.read_table(run.folder.tracks)
    run.folder.tracks.unlink()
    with pa.ipc.new_stream(str(run.folder.path / "tracks.parquet.partial"), table.schema) as stream:
        stream.write_table(table.slice(0, keep_rows))


def test_what_a_crash_has_left_is_counted_and_its_coverage_told(
    run: Outcome, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    log = run.folder.events.read_bytes()
    rows = pq.read_table(run.folder.tracks, columns=["source", "frame"]).to_pylist()
    cut_off(run, rows.index({"source": "a", "frame": 30}))
    assert main(["replay", str(run.folder.path)]) == 0
    again = run.folder.path.with_name("runs-replay")
    part = (again / "events.jsonl").read_bytes()
    assert part
    assert log.startswith(part)
    assert len(part) < len(log)
    record = json.loads((again / "run.json").read_text())
    assert (record["streams"][0]["seconds"], record["streams"][0]["frames"]["analysed"]) == (1.2, 30)
    assert "only the first 1.2 s were counted: the run was cut off" in record["streams"][0]["problems"]
    assert "tracks.parquet was not completed" in caplog.text
    row = (again / "counts.csv").read_text().splitlines()[1]
    assert row.endswith(",1.2,2.0,0,unread 0.800 s"), "observed and expected seconds, frames dropped, and why"
    assert "only the first 1.2 s" in capsys.readouterr().out


def test_a_stop_saves_everything_up_to_then(run: Outcome) -> None:
    asked = iter(range(100))
    again = replay_run(run.folder.path, stopped=lambda: next(asked) >= 40)
    assert again.manifest.status is RunStatus.INTERRUPTED
    assert sum(stream.analysed for stream in again.manifest.streams) == 40
    assert run.folder.events.read_bytes().startswith(again.folder.events.read_bytes())


def test_what_the_run_does_not_have_is_told_in_words(run: Outcome, tmp_path: Path) -> None:
    folder = run.folder.path
    with pytest.raises(ConfigError, match=r"there is no class 'dog'"):
        replay_run(
            folder, without_detector(tmp_path, "rules: {g: {type: line, points: [[0, 0], [1, 1]], classes: [dog]}}\n")
        )
    with pytest.raises(ConfigError, match=r"no stream c or d in .*runs, which has a, b"):
        replay_run(folder, without_detector(tmp_path, OTHER_RULES[0], streams="acd"))
    with pytest.raises(SinkError, match="is the run that is counted again"):
        replay_run(folder, output=folder, overwrite=True)
    replay = replay_run(folder).folder.path
    with pytest.raises(SourceError, match=rf"is itself a replay, without tracks: replay {folder}"):
        replay_run(replay)
    with pytest.raises(SourceError, match=r"has no run\.json"):
        replay_run(tmp_path)
    assert not folder.with_name("runs-replay-2").exists(), "nothing is written"


def test_a_run_counted_by_other_rules_of_counting_is_warned_of(
    run: Outcome, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vidan.pipeline.replay.SEMANTICS_VERSION", "7")
    again = replay_run(run.folder.path)
    assert "was counted by version 1 of the counting rules, this vidan counts by version 7" in caplog.text
    assert (again.manifest.replayed_from or {})["semantics"] == "1"


def test_rules_that_took_secrets_from_the_environment_need_their_config(
    config: MakeConfig, clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAME", "person")
    text = "rules: {gate: {type: line, points: [[0.5, 0], [0.5, 1]], classes: ['${NAME}']}}\n"
    path = config(clip(10), text=text)
    run = run_job(read_config(path))
    with pytest.raises(ConfigError, match="name the config file with --config"):
        replay_run(run.folder.path)
    again = replay_run(run.folder.path, path)
    assert again.folder.events.read_bytes() == run.folder.events.read_bytes()


def test_runs_without_tracks_cannot_be_replayed(config: MakeConfig, clip: MakeClip) -> None:
    run = run_job(read_config(config(clip(10), text="output: {tracks: false}\n")))
    with pytest.raises(SourceError, match=r"output\.tracks: false"):
        replay_run(run.folder.path)


def test_diff_says_what_changed_and_exits_with_6(
    run: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same, other = (str(tmp_path / name) for name in ("same", "other"))
    shifted = without_detector(tmp_path, "rules: {gate: {type: line, points: [[0.52, 0], [0.52, 1]]}}\n")
    assert main(["replay", str(run.folder.path), "--output", same, "--quiet"]) == 0
    assert main(["replay", str(run.folder.path), "--output", other, "--quiet", "--config", str(shifted)]) == 0
    capsys.readouterr()
    assert main(["diff", str(run.folder.path), same]) == 0
    assert "0 moved, 0 vanished, 0 appeared" in capsys.readouterr().out
    assert main(["diff", str(run.folder.path), other]) == 6
    told = capsys.readouterr().out
    assert "moved" in told
    assert "vanished" in told
    assert main(["diff", str(run.folder.path), other, "--json"]) == 6
    record = json.loads(capsys.readouterr().out)
    assert not record["identical"]
    assert {event["rule"] for event in record["vanished"]} >= {"yard"}
    for total in record["totals"]:
        assert total["before"] == sum(
            event.rule == total["rule"] and event.stream == total["source"]
            and event.details.get("direction", event.kind.value) == total["what"]
            for event in read_events(run.folder.events)
        )  # fmt: skip


def test_the_report_of_a_replay_finds_its_run_where_both_were_moved(run: Outcome, tmp_path: Path) -> None:
    again = replay_run(run.folder.path)
    replay_run(run.folder.path)  # runs-replay-2
    before = {name: (tmp_path / name / "report.html").read_text() for name in ("runs-replay", "runs-replay-2")}
    assert before[again.folder.path.name].count("data:image/jpeg;base64,/9j") == 2
    (tmp_path / "archive").mkdir()
    for name in ("runs", *before):
        (tmp_path / name).rename(tmp_path / "archive" / name)
    for name, text in before.items():
        assert main(["report", str(tmp_path / "archive" / name)]) == 0
        assert (tmp_path / "archive" / name / "report.html").read_text() == text


def test_the_report_of_a_replay_shows_no_other_run_that_has_the_folder_now(
    run: Outcome, caplog: pytest.LogCaptureFixture
) -> None:
    again = replay_run(run.folder.path)
    record = json.loads(run.folder.manifest.read_text())
    run.folder.manifest.write_text(json.dumps(record | {"run": "another"}))
    assert main(["report", str(again.folder.path)]) == 0
    assert f"is no longer in {run.folder.path}: the report lacks its scenes" in caplog.text
    assert "data:image/jpeg;base64,/9j" not in again.folder.report.read_text()


def test_the_default_database_has_the_events_of_the_log(run: Outcome) -> None:
    with sqlite3.connect(run.folder.path / "events.sqlite") as database:
        ids = [row[0] for row in database.execute("SELECT id FROM events ORDER BY number")]
        status, manifest = database.execute("SELECT status, manifest FROM runs").fetchone()
    database.close()
    assert ids == [event.id for event in read_events(run.folder.events)]
    assert status == "complete"
    assert json.loads(manifest)["streams"] == json.loads(run.folder.manifest.read_text())["streams"]
    assert {path.name for path in run.folder.path.glob("events.sqlite*")} == {"events.sqlite"}


@pytest.mark.needs_postgres
def test_a_server_that_is_down_stops_no_run_and_gets_the_events_later(
    postgres: Any,
    config: MakeConfig,
    clip: MakeClip,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("vidan.pipeline.sinks.delivery.PATIENCE_SECONDS", 0.1)
    monkeypatch.setenv("DATABASE_PASSWORD", "pa55word")
    monkeypatch.setenv("VIDAN_DATABASE_URL", postgres.url)
    path = config(clip(35))
    url = postgres.url.replace("pa55word", "${DATABASE_PASSWORD}")
    path.write_text(path.read_text().replace("folder: runs", f"folder: runs, database: {{url: '{url}'}}"))
    postgres.kill()
    try:
        assert main(["run", str(path)]) == 4
    finally:
        postgres.start()  # others use it, too
    folder = path.parent / "runs"
    told = capfd.readouterr().err
    assert "it has only 0 events" in told
    assert "vidan db load" in told
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "complete"
    assert "events.sqlite" not in record["outputs"]
    (database,) = record["destinations"]
    assert "refused" in database["error"]
    assert "pa55word" not in told + (folder / "run.json").read_text() + (folder / "report.html").read_text()

    number = len(list(read_events(folder / "events.jsonl")))
    assert main(["db", "load", str(folder), str(folder)]) == 0
    assert capfd.readouterr().out.splitlines() == [
        f"{folder}: {number} events added, {number} there now",
        f"{folder}: 0 events added, {number} there now",
    ]
    shutil.rmtree(folder)
    assert main(["run", str(path), "--quiet"]) == 0
    assert json.loads((folder / "run.json").read_text())["destinations"][0]["delivered"] == number
