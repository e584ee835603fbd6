"""A run on cameras that is watched over HTTP, and tells nobody its secrets."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from vidan.pipeline.config.load import load_config
from vidan.pipeline.errors import ConfigError

PASSWORD, TOKEN = "s3cret-passw0rd", "correct-horse-battery"

CONFIG = """
streams:
  - {{name: north, source: {{type: video, path: walker.mp4, live: true, loop: true}}}}
  - {{name: south, source: {{type: rtsp, url: "rtsp://vidan:${{CAMERA}}@127.0.0.1:9/stream"}}}}
rules:
  gate: {{type: line, points: [[0.5, 0.0], [0.5, 1.0]]}}
output: {{folder: run, evidence: false, report: false, video: {{segment_seconds: 2}}}}
service: {{port: 0, token: "{token}"}}
"""


class Watched:
    """A run in a process of its own, and what it answers."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self.log = log
        self.url = ""

    def wait_for_url(self) -> None:
        deadline = time.monotonic() + 240  # a machine that does eight other things, too
        while not self.url:
            for line in self.log.read_text().splitlines():
                message = json.loads(line)["message"]
                if "can be watched at " in message:
                    self.url = message.partition("watched at ")[2].partition("/healthz")[0]
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def ask(self, path: str, method: str = "GET", token: str | None = None) -> tuple[int, str]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            with urlopen(Request(self.url + path, method=method, headers=headers), timeout=10) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    def analysed(self) -> int:
        return json.loads(self.ask("/healthz")[1])["streams"].get("north", {"analysed": 0})["analysed"]


@contextmanager
def watched(folder: Path, config: str) -> Iterator[Watched]:
    """Runs a config as systemd would do it, which listens at the socket `notify`."""
    path, log = folder / "live.yaml", folder / "live.log"
    path.write_text(config)
    program = str(Path(__file__).with_name("walker_run.py"))
    command = [sys.executable, program, str(path), "--quiet", "--log-format", "json"]
    with log.open("w") as stderr, pytest.MonkeyPatch.context() as environment:
        environment.setenv("CAMERA", PASSWORD)
        environment.setenv("NOTIFY_SOCKET", str(folder / "notify"))
        process = subprocess.Popen(command, cwd=folder, stderr=stderr, text=True)
    try:
        run = Watched(process, log)
        run.wait_for_url()
        yield run
    finally:
        process.kill()
        process.wait()


def test_a_watched_run_tells_how_it_is_and_no_secret(tmp_path: Path) -> None:
    systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    systemd.bind(str(tmp_path / "notify"))
    with closing(systemd), watched(tmp_path, CONFIG.format(token=TOKEN)) as run:
        deadline = time.monotonic() + 60
        while run.analysed() < 5:
            assert time.monotonic() < deadline, run.log.read_text()
            time.sleep(0.2)
        answers = [run.ask("/healthz"), run.ask("/readyz"), run.ask("/metrics")]
        assert [status for status, _ in answers] == [200, 503, 200], "south has not brought a frame"
        assert json.loads(answers[0][1])["streams"]["south"]["state"] in ("connecting", "waiting")
        assert 'vidan_stream_up{stream="north"} 1.0' in answers[2][1]
        assert run.ask("/stop", "POST")[0] == 401
        assert run.ask("/stop", "POST", "wrong" * 5)[0] == 401
        assert run.process.poll() is None
        told = Path(f"/proc/{run.process.pid}/cmdline").read_text() if sys.platform == "linux" else ""
        assert run.ask("/stop", "POST", TOKEN)[0] == 202
        assert run.process.wait(timeout=60) == 130
        systemd.settimeout(5)
        heard = [systemd.recv(4096).decode()]
        while heard[-1] != "STOPPING=1":
            heard.append(systemd.recv(4096).decode())
    assert heard[0] == "READY=1"
    assert any(line.startswith("STATUS=") for line in heard)
    assert list((tmp_path / "run" / "video" / "north").glob("*.mp4"))
    told += "".join(text for _, text in answers) + run.log.read_text()
    left = b"".join(path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file())
    for secret in (PASSWORD, TOKEN):
        assert secret not in told
        assert secret.encode() not in left


def test_a_token_that_is_too_short_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("streams: [{name: a, source: a.mp4}]\nservice: {token: hunter2}\n")
    with pytest.raises(ConfigError) as told:
        load_config(path)
    assert "service.token: should have 16 or more" in str(told.value)
    assert "hunter2" not in str(told.value)
