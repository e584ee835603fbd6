"""The command line in processes of its own: what it prints, what it exits with, and what a signal does to it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from vidan.pipeline.sinks.files import read_events

MakeConfig = Callable[..., Path]
MakeClip = Callable[[int], Path]
Vidan = Callable[..., "subprocess.CompletedProcess[str]"]


def test_help_names_every_command_and_every_exit_code(vidan_process: Vidan) -> None:
    done = vidan_process("--help")
    assert done.returncode == 0
    for word in ("run", "check", "replay", "diff", "db", "train", "weights", "version", "exit codes", "130"):
        assert word in done.stdout


def test_help_loads_no_large_library() -> None:
    script = (
        "import sys\n"
        "from vidan.pipeline.cli.main import _parser\n"
        "_parser()\n"
        "large = {'numpy', 'cv2', 'av', 'pydantic', 'torch', 'rich', 'sqlalchemy'}\n"
        "sys.exit(str(sorted(large & set(sys.modules)) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_a_run_tells_what_it_counted_and_where_everything_is(
    vidan_process: Vidan, config: MakeConfig, clip: MakeClip
) -> None:
    done = vidan_process("run", config(clip(20)), "--output", "here", "--batch", 2)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    tables = ("counts.csv", "occupancy.csv", "events.jsonl", "near_misses.jsonl", "tracks.parquet", "run.json")
    for name in ("a.mp4", "report.html", *tables):
        assert str(Path("here") / name) in done.stdout
    assert "20 frames decoded, 20 analysed, 0 dropped" in done.stdout
    assert "\x1b" not in done.stdout, "no colours where nobody sees them"


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("streams: [{name: a, source: x.mp4}]\nruls: {}\n", 2, "did you mean 'rules'"),
        ("streams: [{name: a, source: gone.mp4}]\n", 3, "gone.mp4 does not exist"),
        ("streams: [{name: a, source: x.mp4}]\ndetector: {weights: gone.safetensors}\n", 5, "no such weights file"),
    ],
)
def test_what_is_wrong_is_told_in_lines_with_an_exit_code(
    vidan: Vidan, weights: Path, tmp_path: Path, text: str, code: int, told: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text if "detector" in text else f"detector: {{weights: {weights}}}\n{text}")
    for command in ("run", "check"):
        done = vidan(command, path)
        assert told in done.stderr
        assert "Traceback" not in done.stderr
        assert done.returncode == code


def test_check_tells_all_problems_at_once(vidan: Vidan, weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        f"detector: {{weights: {weights}}}\n"
        "streams: [{name: a, source: gone.mp4}, {name: b, source: lost.mp4}]\n"
        "rules: {gate: {type: line, points: [[0, 0], [1, 1]], classes: [persn]}}\n"
    )
    done = vidan("check", path, "--json")
    problems = "\n".join(json.loads(done.stdout)["problems"])
    assert done.returncode == 2
    for word in ("did you mean 'person'", "gone.mp4", "lost.mp4"):
        assert word in problems


def test_check_prints_the_schema(vidan: Vidan) -> None:
    done = vidan("check", "--schema")
    assert "streams" in json.loads(done.stdout)["properties"]


def test_check_says_that_a_config_is_right(vidan: Vidan, config: MakeConfig, clip: MakeClip) -> None:
    done = vidan("check", config(clip(20)))
    assert done.returncode == 0, done.stderr
    assert "stream a: 320×240, 20 frames" in done.stdout


def test_an_output_that_cannot_be_written_is_exit_code_4(
    vidan: Vidan, config: MakeConfig, clip: MakeClip, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = vidan("run", config(clip(10)), "--output", tmp_path / "file" / "run")
    assert done.returncode == 4
    assert "file" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_option_with_a_wrong_value_is_exit_code_2(vidan: Vidan, config: MakeConfig, clip: MakeClip) -> None:
    done = vidan("run", config(clip(10)), "--batch", 0)
    assert done.returncode == 2
    assert done.stderr.startswith("vidan: --batch 0: ")
    done = vidan("run", config(clip(10)), "--device", "gpu")
    assert done.returncode == 2
    assert done.stderr.startswith("vidan: --device gpu: should be auto, cpu, cuda or cuda:N")


def test_check_masks_passwords_in_all_that_it_says(vidan: Vidan, weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    folder = "rtsp://me:secret@door"
    path.write_text(f"detector: {{weights: {weights}}}\nstreams: [{{name: a, source: '{folder}/*.mp4'}}]\n")
    for options in ([], ["--json"]):
        done = vidan("check", path, *options)
        assert done.returncode == 3
        assert "rtsp://me:***@door" in done.stdout + done.stderr
        assert "secret" not in done.stdout + done.stderr


def test_a_rule_outside_the_picture_is_warned_of(vidan: Vidan, config: MakeConfig, clip: MakeClip) -> None:
    path = config(clip(10), text="rules: {gate: {type: line, points: [[900, 0], [900, 90]]}}\n")
    warning = "stream a: rule gate lies wholly outside the picture of 320×240 pixels"
    done = vidan("check", path)
    assert done.returncode == 0
    assert done.stderr.startswith(f"warning: {warning}")
    (told,) = json.loads(vidan("check", path, "--json").stdout)["warnings"]
    assert told.startswith(warning)
    assert warning.removeprefix("stream ") in vidan("run", path).stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_everything_saved(
    config: MakeConfig, clip: MakeClip, tmp_path: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "vidan.pipeline.cli.main", "run", str(config(clip(1500))), "--batch", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    events, video = tmp_path / "runs" / "events.jsonl", tmp_path / "runs" / "a.mp4"
    deadline = time.monotonic() + 90
    while not (events.exists() and events.stat().st_size > 2000 and video.stat().st_size > 0):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr

    record = json.loads((tmp_path / "runs" / "run.json").read_text())
    analysed = record["streams"][0]["frames"]["analysed"]
    assert record["status"] == "interrupted"
    assert 0 < analysed < 1500
    assert list(read_events(events))
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) == analysed
    assert (tmp_path / "runs" / "counts.csv").exists()
    assert (tmp_path / "runs" / "report.html").exists()


def test_output_that_nobody_reads_is_no_error(config: MakeConfig, clip: MakeClip) -> None:
    for command in ("weights list", f"run {config(clip(10))}"):
        done = _in_shell(f"vidan {command} | true; exit ${{PIPESTATUS[0]}}")
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_output_that_finds_no_space_is_exit_code_4() -> None:
    for command in ("version", "check --schema"):  # a few bytes, and more than one buffer
        done = _in_shell(f"vidan {command} > /dev/full")
        assert done.returncode == 4
        assert done.stderr == "vidan: cannot write what there is to say: No space left on device; free some space\n"


def _in_shell(script: str) -> subprocess.CompletedProcess[str]:
    vidan = f'vidan() {{ "{sys.executable}" -m vidan.pipeline.cli.main "$@"; }}\n'
    return subprocess.run(["bash", "-c", vidan + script], capture_output=True, text=True, timeout=120, check=False)


def test_weights_are_listed_and_shown(vidan: Vidan, weights: Path) -> None:
    assert "yolov9-c" in vidan("weights", "list").stdout
    shown = vidan("weights", "show", weights).stdout
    assert "96×128" in shown
    assert "1: person" in shown


def test_the_version_is_plain_or_json(vidan_process: Vidan) -> None:
    assert vidan_process("version").stdout.startswith("vidan ")
    assert json.loads(vidan_process("version", "--json").stdout)["packages"]["numpy"]
