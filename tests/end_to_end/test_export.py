"""`vidan export`, and a run with what it wrote."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vidan.detector.export import ParityError
from vidan.pipeline.cli.main import main


def test_a_run_counts_the_same_with_the_exported_file(
    tmp_path: Path, weights: Path, clip: Callable[[int], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    exported = tmp_path / "out" / "random.xml"
    options = ("--output", exported, "--footage", clip(15), "--pictures", 4)
    assert main(["export", *map(str, (weights, *options))]) == 0
    told = capsys.readouterr().out
    assert "compared on 4 pictures of the footage" in told
    assert "openvino fp32" in told
    runs = []
    for name in (weights, exported):
        config = tmp_path / f"{name.suffix[1:]}.yaml"
        config.write_text(
            f"detector: {{weights: {name}, device: cpu, precision: fp32, max_detections: 20}}\n"
            f"streams: [{{name: a, source: {clip(15)}}}]\n"
            "rules: {gate: {type: line, points: [[0.5, 0.0], [0.5, 1.0]]}}\n"
            "output: {video: false, report: false}\n"
        )
        assert main(["run", str(config), "--output", str(tmp_path / "runs" / name.suffix[1:])]) == 0
        runs.append(tmp_path / "runs" / name.suffix[1:])
    assert (runs[1] / "events.jsonl").read_bytes() == (runs[0] / "events.jsonl").read_bytes()
    detector = json.loads((runs[1] / "run.json").read_text())["detector"]
    assert detector["weights_sha256"] == hashlib.sha256(exported.read_bytes()).hexdigest()


def test_int8_without_footage_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "demo", "--precision", "int8"]) == 2
    assert "--footage" in capsys.readouterr().err


def test_without_tensorrt_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert main(["export", "demo", "--format", "tensorrt", "--output", str(tmp_path / "a.engine")]) == 2
    told = capsys.readouterr().err
    assert told.startswith("vidan: TensorRT is not installed: pip install tensorrt")
    assert told.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_refused_export_has_an_exit_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from vidan.detector import export as room

    def refuse(*_: object, **__: object) -> None:
        raise ParityError("not exported: onnx in fp32 is too far from PyTorch")

    monkeypatch.setattr(room, "export_weights", refuse)
    assert main(["export", "demo", "--output", str(tmp_path / "a.xml")]) == 7
    assert capsys.readouterr().err == "vidan: not exported: onnx in fp32 is too far from PyTorch\n"


@pytest.mark.parametrize("option", [("--pictures", "0"), ("--max-ap-loss", "-1"), ("--footage", "missing.mp4")])
def test_wrong_options_are_told(option: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "demo", *option]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
