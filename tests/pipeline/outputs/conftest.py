"""Brokers and endpoints of the tests' own on free ports of this machine, and runs that do nothing but log events."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from broker_process import Server, Subscriber, free_port, mqtt_broker

from vidan.pipeline.config.outputs import OutputConfig
from vidan.pipeline.delivered import delivering
from vidan.pipeline.events import Event, EventKind, event_id, to_record
from vidan.pipeline.manifest import Manifest
from vidan.pipeline.report.rule_info import RuleInfo
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks import delivery

BEGAN = datetime(2026, 5, 1, 8, 0, tzinfo=UTC)
RULES = (
    RuleInfo("door", "gate", "line", ("person",), ("in", "out")),
    RuleInfo("door", "hall", "zone", ("person",)),
)


def make_event(
    number: int, stream: str = "door", kind: EventKind = EventKind.LINE_CROSSED, rule: str = "gate"
) -> Event:
    details = {"direction": "in" if number % 3 else "out", "certainty": "seen"} if rule == "gate" else {}
    return Event(
        id=event_id(stream, rule, kind, number, 1),
        kind=kind,
        stream=stream,
        rule=rule,
        track_id=number,
        label="person",
        pts_seconds=number / 7,
        utc=BEGAN,
        frame=number,
        point=(1.5, 2.25),
        details=details,
    )


class LoggingRun:
    """A run in a folder that only logs events; it may be ended, or left as a killed process leaves it, and go on."""

    def __init__(self, folder: Path, output: Mapping[str, Any], run: str = "0123456789abcdef") -> None:
        folder.mkdir(exist_ok=True)
        self.folder = RunFolder(folder)
        self.manifest = Manifest(config={}, run=run)
        settings = OutputConfig.model_validate({"folder": str(folder), "database": False, **output})
        self._delivering = delivering(settings, self.manifest, self.folder, RULES)
        self.sinks = self._delivering.__enter__()

    @property
    def health(self) -> Any:
        return self.sinks[0].health

    def log(self, *events: Event) -> None:
        with self.folder.events.open("ab") as file:
            file.write(b"".join(json.dumps(to_record(event)).encode() + b"\n" for event in events))
        for sink in self.sinks:
            sink._outbox.note_growth()
            sink._news.set()

    def write(self, *numbers: int) -> None:
        self.log(*map(make_event, numbers))

    def end(self) -> dict[str, Any]:
        """What run.json says of its first destination."""
        self._delivering.__exit__(None, None, None)
        return json.loads(self.folder.manifest.read_text())["destinations"][0]


@pytest.fixture
def event() -> Callable[..., Event]:
    return make_event


@pytest.fixture
def logging_run(tmp_path: Path) -> Callable[..., LoggingRun]:
    def begin(name: str = "run", **output: Any) -> LoggingRun:
        return LoggingRun(tmp_path / name, output)

    return begin


@pytest.fixture
def wait_until() -> Callable[[Callable[[], Any]], None]:
    def wait(is_true: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 20
        while not is_true():
            assert time.monotonic() < deadline, "it took too long"
            time.sleep(0.01)

    return wait


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "LINGER_SECONDS", 0.01)
    monkeypatch.setattr(delivery, "FIRST_DELAY_SECONDS", 0.02)
    monkeypatch.setattr(delivery, "LAST_DELAY_SECONDS", 0.2)
    monkeypatch.setattr(delivery, "CHECK_SECONDS", 0.2)
    monkeypatch.setattr(delivery, "PATIENCE_SECONDS", 0.3)


def _program(name: str, package: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"needs {name} (apt-get install {package})")
    return found


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Makes a broker that is not started yet, with further lines of its configuration."""
    program = _program("mosquitto", "mosquitto")
    servers = []

    def make(*lines: str) -> Server:
        servers.append(mqtt_broker(program, tmp_path / "mosquitto", *lines))
        return servers[-1]

    yield make
    for server in servers:
        server.kill()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[Server]:
    """A Redis server, not started yet, that has on its disk what it has acknowledged."""
    folder = tmp_path / "redis"
    folder.mkdir()
    port = free_port()
    settings = f"--port {port} --bind 127.0.0.1 --dir {folder} --appendonly yes --appendfsync always --save"
    server = Server([_program("redis-server", "redis-server"), *settings.split(), ""], port)
    yield server
    server.kill()


@pytest.fixture
def listen() -> Iterator[Callable[..., Subscriber]]:
    made: list[Subscriber] = []

    def begin(*arguments: Any) -> Subscriber:
        made.append(Subscriber(*arguments))
        return made[-1]

    yield begin
    for subscriber in made:
        subscriber.close()


class Endpoint:
    """An HTTP server that notes requests, and answers as it is told.

    Attributes:
        requests: Headers and body of each, the refused ones included.
        taken: Those that were answered with 2xx.
        answer: Status and headers of the next answers.
        hangs: Set: it says nothing at all.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.taken: list[bytes] = []
        self.answer: tuple[int, dict[str, str]] = (204, {})
        self.hangs = threading.Event()
        self._released = threading.Event()
        self.server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    def start(self) -> None:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:  # who sent it was killed meanwhile
                    return
                if endpoint.hangs.is_set():
                    endpoint._released.wait(20)
                    return
                endpoint.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
                status, headers = endpoint.answer
                if status < 300:
                    endpoint.taken.append(body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        self._released.set()
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def tracks(self) -> list[int]:
        """Track ids of all events that were taken, in the order in which they came."""
        return [event["track"] for body in tuple(self.taken) for event in json.loads(body)["events"]]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """An HTTP endpoint, not started yet."""
    made = Endpoint(free_port())
    yield made
    made.stop()


@pytest.fixture
def writer(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a process that goes on with a run of so many events, and ends when they are delivered."""

    def start(output: Mapping[str, Any], count: int) -> subprocess.Popen[str]:
        script = Path(__file__).with_name("writer.py")
        command = [sys.executable, str(script), str(tmp_path / "run"), str(count), json.dumps(output)]
        return subprocess.Popen(command, text=True, stderr=subprocess.PIPE)

    return start
