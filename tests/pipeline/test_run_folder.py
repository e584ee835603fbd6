"""No run is written over by accident, and only what a run has written is ever removed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vidan.pipeline.errors import SinkError
from vidan.pipeline.run_folder import RunFolder


def _pretend_run(folder: RunFolder) -> None:
    folder.events.write_text("{}\n")
    folder.manifest.write_text(json.dumps({"outputs": ["events.jsonl", "outbox", "../precious.txt"]}))


def test_an_earlier_run_is_left_alone(tmp_path: Path) -> None:
    wanted = tmp_path / "runs" / "campus"
    names = []
    for _ in range(3):
        folder = RunFolder.create(wanted)
        _pretend_run(folder)
        names.append(folder.path.name)
    assert names == ["campus", "campus-2", "campus-3"]


def test_an_empty_folder_is_used_as_it_is(tmp_path: Path) -> None:
    assert RunFolder.create(tmp_path).path == tmp_path


def test_no_two_runs_take_one_folder(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as runs:
        folders = list(runs.map(lambda _: RunFolder.create(tmp_path / "campus"), range(8)))
    assert len({folder.path for folder in folders}) == 8


def test_overwriting_removes_what_the_run_wrote_and_nothing_else(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "campus")
    _pretend_run(folder)
    (folder.path / "notes.txt").write_text("mine")
    folder.outbox.mkdir()
    for name in ("mqtt.json", "mqtt.lock", "alarms.json.tmp"):
        (folder.outbox / name).touch()
    (tmp_path / "precious.txt").write_text("mine too")
    again = RunFolder.create(tmp_path / "campus", overwrite=True)
    assert again.path == folder.path
    assert [path.name for path in again.path.iterdir()] == ["notes.txt"]
    assert (tmp_path / "precious.txt").exists()


def test_a_folder_that_is_no_run_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SinkError, match="is no folder of a run"):
        RunFolder.create(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").exists()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="file"):
        RunFolder.create(tmp_path / "file" / "run")
