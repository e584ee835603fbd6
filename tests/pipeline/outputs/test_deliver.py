"""vidan deliver: what a run could not send, or a killed one left, is sent when the other side is back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vidan.pipeline.cli.main import main


@pytest.fixture
def config(tmp_path: Path, endpoint: Any) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(
        "streams: [{name: door, source: unused.mp4}]\n"
        f"output: {{webhooks: [{{url: '{endpoint.url}', timeout: 0.5, events: [line_crossed]}}]}}\n"
    )
    return path


def test_what_is_left_of_a_run_is_sent_once(
    endpoint: Any, logging_run: Any, config: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = logging_run(webhooks=[{"url": endpoint.url, "timeout": 0.5}])
    run.write(*range(1, 251))
    assert run.end()["pending"] == 250
    capfd.readouterr()
    folder = run.folder.path
    assert main(["deliver", str(config), str(folder)]) == 4
    told = capfd.readouterr()
    assert told.out == f"{folder}: webhook: 0 events sent, 250 pending\n"
    assert f"cannot deliver to the webhook http://127.0.0.1:{endpoint.port}: Connection refused" in told.err
    endpoint.start()
    for _ in range(2):
        assert main(["deliver", str(config), str(folder)]) == 0
        assert capfd.readouterr().out == f"{folder}: webhook: 250 events sent, 0 pending\n"
    assert endpoint.tracks() == list(range(1, 251))


def test_what_a_killed_run_left_is_sent(
    endpoint: Any, writer: Any, config: Path, tmp_path: Path, wait_until: Any
) -> None:
    output = {"webhooks": [{"url": endpoint.url, "timeout": 0.5}]}
    process = writer(output, 100_000)
    log = tmp_path / "run" / "events.jsonl"
    wait_until(lambda: log.exists() and log.stat().st_size > 10_000)
    process.kill()
    process.communicate()
    manifest = {key: {} for key in ("config", "detector", "streams", "inputs")}
    (tmp_path / "run" / "run.json").write_text(json.dumps({"run": "0123456789abcdef", "status": "running", **manifest}))
    endpoint.start()
    assert main(["deliver", str(config), str(tmp_path / "run")]) == 0
    whole = log.read_bytes().rpartition(b"\n")[0].splitlines()
    assert endpoint.tracks() == [json.loads(line)["track"] for line in whole]


def test_a_run_that_goes_on_is_left_alone(
    endpoint: Any, logging_run: Any, config: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    endpoint.start()
    run = logging_run(webhooks=[{"url": endpoint.url}])
    run.manifest.write(run.folder.manifest)
    assert main(["deliver", str(config), str(run.folder.path)]) == 4
    assert "another process delivers the events of" in capfd.readouterr().err
    run.end()


def test_a_config_without_destinations_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("streams: [{name: door, source: unused.mp4}]\n")
    assert main(["deliver", str(path), str(tmp_path)]) == 2
    assert "names no output.mqtt, webhooks, redis or kafka" in capfd.readouterr().err
