"""The monitor's server: what it answers, to whom, and that nobody can hold it up."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from vidan.pipeline.control import Control
from vidan.pipeline.errors import ConfigError
from vidan.pipeline.monitor import server as server_module
from vidan.pipeline.monitor.metrics import RunCollector, render_metrics
from vidan.pipeline.monitor.server import MOST_CONNECTIONS, MonitorServer
from vidan.pipeline.telemetry import Telemetry

TOKEN = "correct-horse-battery"


@pytest.fixture
def control() -> Control:
    return Control()


def start(telemetry: Telemetry, control: Control, token: str | None = TOKEN, host: str = "127.0.0.1") -> MonitorServer:
    metrics = render_metrics(RunCollector(telemetry.snapshot, version="1", folder=Path("/")))
    return MonitorServer(host, 0, token=token, snapshot=telemetry.snapshot, metrics=metrics, control=control)


@pytest.fixture
def server(telemetry: Telemetry, control: Control) -> Iterator[MonitorServer]:
    with closing(start(telemetry, control)) as server:
        yield server


def ask(server: MonitorServer, method: str, path: str, **headers: str) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection(*server.address, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def told(server: MonitorServer, path: str) -> tuple[int, Any]:
    response, body = ask(server, "GET", path)
    return response.status, json.loads(body)


def test_a_run_is_healthy_until_something_hangs(server: MonitorServer, telemetry: Telemetry) -> None:
    status, run = told(server, "/healthz")
    assert (status, run["healthy"], run["streams"]["south"]["state"]) == (200, True, "waiting")
    assert run["streams"]["south"]["last_error"] == "rtsp://cam: connection refused"
    assert run["streams"]["north"]["events"] == 9
    assert run["destinations"]["mqtt"]["pending"] == 6
    telemetry.stalled = ("the detector has taken 40 s for one batch",)
    status, run = told(server, "/healthz")
    assert (status, run["stalled"]) == (503, ["the detector has taken 40 s for one batch"])


def test_a_run_is_ready_when_every_stream_has_brought_a_frame(server: MonitorServer, telemetry: Telemetry) -> None:
    assert told(server, "/readyz")[0] == 503
    telemetry.stream("south").last_frame_at = time.monotonic()
    assert told(server, "/readyz")[0] == 200


def test_metrics_come_as_prometheus_wants_them(server: MonitorServer) -> None:
    response, body = ask(server, "GET", "/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b'vidan_frames_analysed_total{stream="north"} 100.0\n' in body


def test_answers_are_neither_cached_nor_guessed_at_and_tell_no_version(server: MonitorServer) -> None:
    for path in ("/healthz", "/metrics", "/nothing"):
        headers = ask(server, "GET", path)[0].headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "Python" not in headers["Server"]
        assert "Access-Control-Allow-Origin" not in headers


def test_a_head_request_has_no_body(server: MonitorServer) -> None:
    response, body = ask(server, "HEAD", "/healthz")
    assert (response.status, body) == (200, b"")
    assert int(response.headers["Content-Length"]) > 0


def test_other_pages_and_methods_are_refused(server: MonitorServer) -> None:
    status, body = told(server, "/etc/passwd")
    assert status == 404
    assert "GET /healthz" in body["pages"]
    assert told(server, "/stop")[0] == 405
    assert ask(server, "POST", "/healthz")[0].status == 404
    assert ask(server, "PUT", "/stop")[0].status == 501


def test_the_token_allows_a_reload_and_a_stop(server: MonitorServer, control: Control) -> None:
    allowed = {"Authorization": f"Bearer {TOKEN}"}
    assert ask(server, "POST", "/reload", **allowed)[0].status == 202
    assert control.take_reload()
    assert not control.is_stopped
    assert ask(server, "POST", "/stop", **allowed)[0].status == 202
    assert control.is_stopped


@pytest.mark.parametrize("given", [None, "", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer tökén"])
def test_without_the_token_nothing_changes(server: MonitorServer, control: Control, given: str | None) -> None:
    headers = {} if given is None else {"Authorization": given}
    for path in ("/stop", "/reload"):
        response, body = ask(server, "POST", path, **headers)
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert TOKEN.encode() not in body
    assert not control.is_stopped
    assert not control.take_reload()


def test_where_no_token_is_set_nobody_changes_anything(telemetry: Telemetry, control: Control) -> None:
    with closing(start(telemetry, control, token=None)) as server:
        response, body = ask(server, "POST", "/stop", Authorization="Bearer None")
    assert response.status == 403
    assert b"service.token" in body
    assert not control.is_stopped


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:9464", 200), ("localhost", 200), ("[::1]:9464", 200), ("evil.example", 421), ("evil.example:80", 421)],
)
def test_a_page_of_another_host_cannot_reach_it_on_loopback(server: MonitorServer, host: str, status: int) -> None:
    assert ask(server, "GET", "/healthz", Host=host)[0].status == status


def test_what_listens_for_everybody_goes_by_any_name(telemetry: Telemetry, control: Control) -> None:
    with closing(start(telemetry, control, host="0.0.0.0")) as server:
        server.address = ("127.0.0.1", server.address[1])
        assert ask(server, "GET", "/healthz", Host="vidan.internal:9464")[0].status == 200


def test_who_sends_slowly_is_cut_off(server: MonitorServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "LONGEST_SECONDS", 0.3)
    with socket.create_connection(server.address, timeout=5) as slow:
        began = time.monotonic()
        while time.monotonic() - began < 4:
            try:
                slow.sendall(b"G")
                slow.settimeout(0.1)
                if slow.recv(100) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    assert time.monotonic() - began < 2


def test_many_silent_connections_are_dropped_and_probes_go_on_afterwards(
    server: MonitorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "LONGEST_SECONDS", 0.3)
    silent = [socket.create_connection(server.address, timeout=5) for _ in range(3 * MOST_CONNECTIONS)]
    deadline = time.monotonic() + 5
    while True:
        try:
            assert told(server, "/healthz")[0] == 200
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    for each in silent:
        each.close()


def test_a_flood_of_headers_is_refused(server: MonitorServer) -> None:
    headers = {f"X-{number}": "1" for number in range(200)}
    assert ask(server, "GET", "/healthz", **headers)[0].status == 431


def test_a_port_that_is_taken_is_told_in_words(server: MonitorServer, telemetry: Telemetry, control: Control) -> None:
    with pytest.raises(ConfigError, match=r"service: cannot listen on 127\.0\.0\.1, port \d+: Address already in use"):
        MonitorServer(
            "127.0.0.1", server.address[1], token=None, snapshot=telemetry.snapshot, metrics=bytes, control=control
        )


def test_a_host_that_is_not_known_is_told_in_words(telemetry: Telemetry, control: Control) -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on no-such-host\.invalid"):
        start(telemetry, control, host="no-such-host.invalid")
