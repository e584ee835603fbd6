"""Cameras that are started for a test: real RTSP servers, and sockets that behave badly."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from vidan.pipeline.frame import Frame
from vidan.pipeline.stages import Source

SERVER = Path(__file__).parents[2] / "servers" / "rtsp_camera.py"
PYTHON = "/usr/bin/python3"
BINDINGS = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


class RtspCamera:
    """A camera in a process of its own, that can be stopped, killed and started again at the same port."""

    def __init__(self, *options: str, prefix: tuple[str, ...] = (), host: str = "127.0.0.1") -> None:
        self._options = options
        self._prefix = prefix
        self._host = host
        self.port = "0"
        self.start()

    @property
    def url(self) -> str:
        return f"rtsp://{self._host}:{self.port}/cam"

    def start(self) -> None:
        command = [*self._prefix, PYTHON, str(SERVER), "--address", self._host, "--port", self.port, *self._options]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        self.port = self._process.stdout.readline().strip()
        assert self.port, "the RTSP server does not start"

    def resize(self, width: int, height: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"size {width} {height}\n")
        self._process.stdin.flush()

    def freeze(self) -> None:
        """It stays connected and says nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


class MakeCamera(Protocol):
    def __call__(self, *options: str) -> RtspCamera: ...


@pytest.fixture
def rtsp_camera() -> Iterator[MakeCamera]:
    """Starts cameras; they end with the test."""
    if subprocess.run([PYTHON, "-c", BINDINGS], capture_output=True, check=False).returncode:
        pytest.skip("needs GStreamer's RTSP server (apt-get install gir1.2-gst-rtsp-server-1.0)")
    cameras: list[RtspCamera] = []

    def make(*options: str) -> RtspCamera:
        cameras.append(RtspCamera(*options))
        return cameras[-1]

    yield make
    for camera in cameras:
        camera.kill()


class Watched:
    """A source that is read by a thread of its own, as an engine does it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.frames: list[Frame] = []
        self.arrivals: list[float] = []
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    @property
    def times(self) -> list[float]:
        return [frame.stamp.pts_seconds for frame in self.frames]

    def wait_for(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s; {self.source.health}"
            assert self.error is None or condition(), f"the source broke: {self.error}"
            time.sleep(0.01)

    def wait_for_frames(self, more: int, seconds: float = 10.0) -> None:
        wanted = len(self.frames) + more
        self.wait_for(lambda: len(self.frames) >= wanted, seconds)

    def close(self) -> float:
        """Seconds until the thread had ended."""
        began = time.monotonic()
        self.source.close()
        self._thread.join(10.0)
        assert not self._thread.is_alive(), "the source does not end"
        return time.monotonic() - began

    def _read(self) -> None:
        try:
            for frame in self.source:
                self.arrivals.append(time.monotonic())
                self.frames.append(frame)
        except Exception as error:
            self.error = error


@pytest.fixture
def watch() -> Iterator[Callable[[Source], Watched]]:
    """Reads sources in threads of their own; they end with the test."""
    with ExitStack() as closing:

        def start(source: Source) -> Watched:
            watched = Watched(source)
            closing.callback(watched.close)
            return watched

        yield start


@pytest.fixture
def listener() -> Iterator[Callable[[bytes], int]]:
    """Opens ports that accept every connection and say the same thing to each; gives the port."""
    with ExitStack() as closing:

        def listen(answer: bytes) -> int:
            server = closing.enter_context(socket.create_server(("127.0.0.1", 0)))

            def serve() -> None:
                while True:
                    try:
                        connection, _ = server.accept()
                        closing.enter_context(connection)
                        connection.sendall(answer)
                    except OSError:
                        return

            threading.Thread(target=serve, daemon=True).start()
            closing.callback(server.shutdown, socket.SHUT_RDWR)
            return server.getsockname()[1]

        yield listen
