"""What systemd hears: that the service is up, that it is alive as long as it is healthy, that it stops."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vidan.pipeline.monitor.systemd import notify, supervised
from vidan.pipeline.telemetry import Telemetry


class Systemd:
    """The other end of the socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)

    def heard(self, seconds: float = 0.0) -> list[str]:
        lines: list[str] = []
        deadline = time.monotonic() + seconds
        while True:
            self._socket.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                lines += self._socket.recv(4096).decode().splitlines()
            except TimeoutError:
                if time.monotonic() >= deadline:
                    return lines

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    systemd = Systemd(str(tmp_path / "notify"))
    yield systemd
    systemd.close()


def test_a_healthy_run_is_alive_and_says_how_it_is_doing(systemd: Systemd, telemetry: Telemetry) -> None:
    with supervised(telemetry.snapshot):
        lines = systemd.heard(0.5)
    assert lines[0] == "READY=1"
    assert 5 <= lines.count("WATCHDOG=1") <= 12, "every 50 ms"
    assert "STATUS=1 of 2 streams playing, 9 events" in lines
    assert systemd.heard()[-1] == "STOPPING=1"


def test_a_run_that_hangs_is_not_reported_alive(systemd: Systemd, telemetry: Telemetry) -> None:
    telemetry.stalled = ("the reader of north",)
    with supervised(telemetry.snapshot):
        lines = systemd.heard(0.2)
    assert "WATCHDOG=1" not in lines
    assert "STATUS=1 of 2 streams playing, 9 events; stalled: the reader of north" in lines


def test_a_run_in_a_terminal_talks_to_nobody(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify(READY=1)
    with supervised(telemetry.snapshot):
        pass


def test_a_systemd_that_is_gone_disturbs_nobody(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nonexistent/notify")
    with supervised(telemetry.snapshot):
        pass


def test_sockets_in_the_abstract_namespace_are_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = f"vidan-{tmp_path.name}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    systemd = Systemd(f"\0{name}")
    notify(READY=1)
    assert systemd.heard() == ["READY=1"]
    systemd.close()
