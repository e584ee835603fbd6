"""Brokers and endpoints of the tests' own on free ports of this machine, and runs that do nothing but log events."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A program that listens on a port."""

    def __init__(self, command: Sequence[str], port: int) -> None:
        self._command = command
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, f"{self._command} does not start"
                assert self._process.poll() is None, f"{self._command} has ended"
                time.sleep(0.02)

    def stop(self) -> None:
        """As an administrator does: it may write down what it has."""
        self._end(subprocess.Popen.terminate)

    def kill(self) -> None:
        """As kill -9 does it."""
        self._end(subprocess.Popen.kill)

    def _end(self, how: Callable[[subprocess.Popen[bytes]], None]) -> None:
        if self._process is not None:
            how(self._process)
            self._process.wait(20)
            self._process = None


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
        folder = tmp_path / "mosquitto"
        folder.mkdir()
        port = _free_port()
        settings = [
            f"listener {port} 127.0.0.1",
            *(lines or ("allow_anonymous true",)),
            "persistence true",
            f"persistence_location {folder}/",
            "max_queued_messages 0",
            "user root",
        ]
        (folder / "mosquitto.conf").write_text("\n".join(settings) + "\n")
        servers.append(Server([program, "-c", str(folder / "mosquitto.conf")], port))
        return servers[-1]

    yield make
    for server in servers:
        server.kill()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[Server]:
    """A Redis server, not started yet, that has on its disk what it has acknowledged."""
    folder = tmp_path / "redis"
    folder.mkdir()
    port = _free_port()
    settings = f"--port {port} --bind 127.0.0.1 --dir {folder} --appendonly yes --appendfsync always --save"
    server = Server([_program("redis-server", "redis-server"), *settings.split(), ""], port)
    yield server
    server.kill()


class Subscriber:
    """Whoever listens: a session that the broker keeps, so that nothing is missed while it is away."""

    def __init__(self, port: int, topics: str = "#") -> None:
        self.messages: list[tuple[str, str, bool]] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2, f"listener-{topics}", clean_session=False)
        self.client.on_message = self._note
        self.client.on_connect = self._subscribe
        self._topics = topics
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def _subscribe(self, client: paho.Client, *_: Any) -> None:
        client.subscribe(self._topics, qos=1)

    def _note(self, client: object, userdata: object, message: paho.MQTTMessage) -> None:
        self.messages.append((message.topic, message.payload.decode(), message.retain))

    def on(self, topic: str) -> list[str]:
        return [payload for name, payload, _ in tuple(self.messages) if name == topic]

    def tracks(self) -> list[int]:
        return [json.loads(payload)["track"] for topic, payload, _ in tuple(self.messages) if "/events/" in topic]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


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
                body = self.rfile.read(int(self.headers["Content-Length"]))
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
    made = Endpoint(_free_port())
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
