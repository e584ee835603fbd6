"""Cameras that are started for a test: real RTSP servers, and sockets that behave badly."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Protocol

import pytest
from camera_process import Network, Relay, RtspCamera, can_make_networks, can_serve

from vidan.pipeline.frame import Frame
from vidan.pipeline.stages import Source


class MakeCamera(Protocol):
    def __call__(self, *options: str, network: Network | None = None) -> RtspCamera: ...


@pytest.fixture
def rtsp_camera() -> Iterator[MakeCamera]:
    """Starts cameras; they end with the test."""
    if not can_serve():
        pytest.skip("needs GStreamer's RTSP server (apt-get install gir1.2-gst-rtsp-server-1.0)")
    cameras: list[RtspCamera] = []

    def make(*options: str, network: Network | None = None) -> RtspCamera:
        cameras.append(RtspCamera(*options, network=network))
        return cameras[-1]

    yield make
    for camera in cameras:
        camera.kill()


@pytest.fixture
def network() -> Iterator[Network]:
    """A network with a host of its own, for cameras."""
    if not can_make_networks():
        pytest.skip("needs the right to make network namespaces (root, /dev/net/tun, iproute2)")
    network = Network()
    yield network
    network.close()


@pytest.fixture
def relay() -> Iterator[Callable[[RtspCamera], Relay]]:
    """Puts a hand between a camera and who watches it."""
    relays: list[Relay] = []

    def make(camera: RtspCamera) -> Relay:
        relays.append(Relay(int(camera.port)))
        return relays[-1]

    yield make
    for relay in relays:
        relay.close()


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
