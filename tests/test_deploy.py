"""What ships in configs/deploy is right: systemd accepts the unit, and everything names things that are there."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from vidan.pipeline.cli.main import _parser
from vidan.pipeline.control import Control
from vidan.pipeline.monitor.metrics import RunCollector, render_metrics
from vidan.pipeline.monitor.server import MonitorServer
from vidan.pipeline.telemetry import DestinationSnapshot, Telemetry

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "configs" / "deploy"
UNIT = (DEPLOY / "vidan@.service").read_text()


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is there; systemd-analyze says so if not."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze (apt-get install systemd)")
    path = tmp_path / "vidan@door.service"
    path.write_text(UNIT.replace("/opt/vidan/bin/vidan", sys.executable))
    return path


def test_systemd_accepts_the_unit(unit: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False, timeout=60
    )
    told = [line for line in done.stderr.splitlines() if unit.name in line or "vidan" in line]
    assert (done.returncode, told) == (0, [])


def test_the_unit_is_as_confined_as_systemd_can_tell(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=30", unit]  # 100 is wide open
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_systemd_that_refuses_the_unit_would_be_noticed(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("Type=notify", "Type=notfy"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False, timeout=60
    )
    assert "notfy" in done.stderr


def test_the_commands_of_unit_and_container_are_commands_of_vidan() -> None:
    (started,) = re.findall(r"^ExecStart=(.+)$", UNIT, re.MULTILINE)
    program, *arguments = shlex.split(started.replace("%i", "door"))
    assert program == "/opt/vidan/bin/vidan"
    options = _parser().parse_args(arguments)
    assert (options.config, options.log_format) == (Path("/etc/vidan/door.yaml"), "json")
    assert options.resume
    assert container("ENTRYPOINT") == ['["vidan"]']
    assert _parser().parse_args(json.loads(container("CMD")[-1])).quiet


def container(instruction: str) -> list[str]:
    """The arguments of all instructions of this name in the Containerfile, joined lines in one."""
    text = re.sub(r"\\\n", " ", (DEPLOY / "Containerfile").read_text())
    return re.findall(rf"^{instruction}\s+(.+)$", text, re.MULTILINE)


def test_the_container_copies_all_that_the_build_needs_and_nothing_that_is_not_there() -> None:
    copied = [name for line in container("COPY") if "--from" not in line for name in line.split()[:-1]]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert {"pyproject.toml", "README.md", "LICENSE", "pipeline", "detector", "trackers", "configs", "samples"} == {
        *copied
    }
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert let_in == set(copied)


def test_the_container_runs_as_nobody_special_and_holds_no_secret() -> None:
    assert container("USER") == ["10001"]
    text = (DEPLOY / "Containerfile").read_text()
    assert not re.search(r"(?i)^(ENV|ARG).*(token|password|secret)", text, re.MULTILINE)


def test_the_probe_of_the_container_tells_a_healthy_run_from_one_that_hangs() -> None:
    (probe,) = [json.loads(line.partition("CMD ")[2]) for line in container("HEALTHCHECK")]
    telemetry = Telemetry()
    server = MonitorServer("127.0.0.1", 0, token=None, snapshot=telemetry.snapshot, metrics=bytes, control=Control())
    command = [sys.executable, *(part.replace("9464", str(server.address[1])) for part in probe[1:])]
    with closing(server):
        assert subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0
        telemetry.stalled = ("the detector",)
        assert subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode != 0


def test_every_metric_that_an_alert_asks_for_is_told() -> None:
    telemetry = Telemetry()
    telemetry.stream("north").latency["total"].observe(0.1)
    telemetry.destinations["mqtt"] = lambda: DestinationSnapshot("delivering")
    told = render_metrics(RunCollector(telemetry.snapshot, version="1", folder=ROOT))().decode()
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]
    for rule in rules:
        names = re.findall(r"\bvidan_[a-z0-9_]+", rule["expr"])
        assert names or rule["expr"].startswith("up")
        assert [name for name in names if not re.search(rf"^{name}[{{ ]", told, re.MULTILINE)] == []
        labels = set(re.findall(r"\$labels\.(\w+)", str(rule.get("annotations", ""))))
        assert labels <= {"instance", "stream", "destination"}
