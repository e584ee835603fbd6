"""run.json: whole or not at all, in plain words and numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vidan.detector import file_sha256
from vidan.pipeline.coverage import DropLedger
from vidan.pipeline.errors import SinkError
from vidan.pipeline.manifest import Manifest, RunStatus
from vidan.pipeline.provenance import SEMANTICS_VERSION, environment, hash_files, hash_text
from vidan.pipeline.stages import SourceHealth
from vidan.pipeline.stream_record import StreamRecord


def a_manifest() -> Manifest:
    health = SourceHealth(expected=100, decoded=98, delivered=49, corrupt=2, duration_seconds=10.0)
    health.problems.append("2 corrupt packets were skipped")
    health.gaps.append((3.0, 4.5))
    drops = DropLedger()
    for seconds in (0.1, 0.2):
        drops.note_dropped(seconds)
    drops.note_analysed(0.3)
    return Manifest(
        config={"streams": [{"name": "Tür 入口", "source": "rtsp://user:***@door/1"}]},
        config_sha256=hash_text("streams: []"),
        detector={"model": "yolov9-t", "image_size": [288, 384]},
        inputs={"door.mp4": hash_text("x")},
        streams=[
            StreamRecord(
                "Tür 入口", "door.mp4", health, 47, 9.8, datetime(2024, 5, 1, tzinfo=UTC), 576, 768, drops=drops
            )
        ],
        stage_seconds={"decode": 1.0, "detect": 3.0},
        outputs=["events.jsonl"],
    )


def test_it_tells_what_came_in_and_what_was_lost(tmp_path: Path) -> None:
    manifest = a_manifest()
    manifest.finish(RunStatus.COMPLETE)
    manifest.write(tmp_path / "run.json")
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert record["status"] == "complete"
    assert record["semantics"] == SEMANTICS_VERSION
    assert record["started"] <= record["ended"]
    (stream,) = record["streams"]
    assert stream["name"] == "Tür 入口"
    assert stream["start_utc"] == "2024-05-01T00:00:00.000Z"
    assert stream["frames"] == {
        "expected": 100,
        "decoded": 98,
        "delivered": 49,
        "analysed": 47,
        "dropped": 2,
        "corrupt": 2,
        "repaired_pts": 0,
    }
    assert stream["gaps"] == [{"start": 3.0, "end": 4.5, "reason": "missing"}]
    assert (stream["seconds"], stream["seconds_observed"]) == (9.8, 8.3)
    assert stream["drops"] == [[0.1, 0.3, 2]]
    assert stream["problems"] == ["2 corrupt packets were skipped"]
    assert record["stages"] == {"decode": {"seconds": 1.0, "share": 0.25}, "detect": {"seconds": 3.0, "share": 0.75}}


def test_a_running_and_a_failed_run_say_so(tmp_path: Path) -> None:
    manifest = Manifest(config={})
    assert manifest.to_record()["status"] == "running"
    assert manifest.to_record()["ended"] is None
    manifest.finish(RunStatus.FAILED, "cannot open door.mp4")
    assert (manifest.to_record()["status"], manifest.to_record()["error"]) == ("failed", "cannot open door.mp4")


def test_a_reader_never_meets_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    manifest = a_manifest()
    manifest.write(path)
    before = path.read_bytes()

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vidan.pipeline.manifest.os.fsync", no_space)
    manifest.finish(RunStatus.COMPLETE)
    with pytest.raises(SinkError, match=r"cannot write the manifest .*run\.json: No space left"):
        manifest.write(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path], "the draft is removed"


def test_on_a_full_disk_it_is_written_over_itself_as_far_as_it_fits(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    manifest = a_manifest()
    manifest.write(path)
    manifest.finish(RunStatus.FAILED, "no space left")
    manifest.write_over(path)
    assert json.loads(path.read_text(encoding="utf-8")) == manifest.to_record()
    manifest.finish(RunStatus.FAILED)
    manifest.write_over(path)
    assert json.loads(path.read_text(encoding="utf-8")) == manifest.to_record()
    before = path.read_bytes()
    manifest.finish(RunStatus.FAILED, "x" * 4096)
    with pytest.raises(SinkError, match=r"cannot write the manifest .*run\.json: No space left"):
        manifest.write_over(path)
    assert path.read_bytes() == before


def test_versions_are_told_without_importing_the_packages() -> None:
    program = (
        "import sys; from vidan.pipeline.provenance import environment; facts = environment(); "
        "assert facts['packages']['numpy']; assert not {'torch', 'openvino', 'pyarrow', 'av'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert environment()["python"].count(".") == 2


def test_hashes_are_sha_256_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc" * 1_000_000)
    assert file_sha256(path) == hash_text("abc" * 1_000_000)
    (tmp_path / "b.bin").write_bytes(b"b")
    listed = f"{file_sha256(path)}  a.bin\n{hash_text('b')}  b.bin\n"  # the format of sha256sum
    assert hash_files([path, tmp_path / "b.bin"]) == hash_text(listed)
    assert hash_text("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
