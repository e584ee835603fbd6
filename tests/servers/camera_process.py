"""RTSP cameras in processes of their own, and networks in between that can be cut, lose packets and damage bytes."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from random import Random

SERVER = Path(__file__).with_name("rtsp_camera.py")
PYTHON = "/usr/bin/python3"
BINDINGS = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
TUN = Path("/dev/net/tun")
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0002, 0x1000  # linux/if_tun.h


def can_serve() -> bool:
    """True where GStreamer's RTSP server is installed."""
    return subprocess.run([PYTHON, "-c", BINDINGS], capture_output=True, check=False).returncode == 0


def can_make_networks() -> bool:
    """True where this process may make network namespaces."""
    return os.geteuid() == 0 and TUN.exists() and Path("/usr/sbin/ip").exists()


class RtspCamera:
    """A camera that can be frozen, killed and started again at the same port."""

    def __init__(self, *options: str, network: Network | None = None) -> None:
        self.options = options
        self.port = "0"
        self._host = "127.0.0.1" if network is None else network.there
        self._prefix = () if network is None else ("ip", "netns", "exec", network.name)
        self.start()

    @property
    def url(self) -> str:
        return f"rtsp://{self._host}:{self.port}/cam"

    def start(self) -> None:
        command = [*self._prefix, PYTHON, str(SERVER), "--address", self._host, "--port", self.port, *self.options]
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


class Network:
    """A namespace with a host in it, joined to this one by a cable that loses and delays packets.

    The cable is this process: it carries the frames of one TAP device to the other, for the kernels of many machines
    come without `netem`.
    """

    _numbers = iter(range(1, 250))

    def __init__(self, *, loss: float = 0.0, delay_seconds: float = 0.0) -> None:
        self.loss = loss
        self.delay_seconds = delay_seconds
        number = next(self._numbers)
        self.name = f"vidan{os.getpid()}-{number}"
        net = f"10.{200 + os.getpid() % 50}.{number}"
        self.here, self.there = f"{net}.1", f"{net}.2"
        self._random = Random(number)
        self._ended = threading.Event()
        near, far = f"vn{os.getpid()}-{number}", f"vf{os.getpid()}-{number}"
        self._near = near
        self._ends = [_open_tap(near), _open_tap(far)]
        _ip("netns", "add", self.name)
        _ip("link", "set", far, "netns", self.name)
        _ip("addr", "add", f"{self.here}/24", "dev", near)
        _ip("link", "set", near, "up")
        _ip("-n", self.name, "addr", "add", f"{self.there}/24", "dev", far)
        _ip("-n", self.name, "link", "set", far, "up")
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        _ip("link", "set", self._near, "down")

    def mend(self) -> None:
        _ip("link", "set", self._near, "up")

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        for end in self._ends:
            os.close(end)
        _ip("netns", "del", self.name)

    def _carry(self) -> None:
        waiting: deque[tuple[float, int, bytes]] = deque()
        while not self._ended.is_set():
            until = waiting[0][0] - time.monotonic() if waiting else 0.1
            ready, _, _ = select.select(self._ends, [], [], min(max(until, 0.0), 0.1))
            for end in ready:
                with suppress(OSError):  # the device is down
                    frame = os.read(end, 65_536)
                    if self._random.random() >= self.loss:
                        other = self._ends[1 - self._ends.index(end)]
                        waiting.append((time.monotonic() + self.delay_seconds, other, frame))
            while waiting and waiting[0][0] <= time.monotonic():
                _, end, frame = waiting.popleft()
                with suppress(OSError):
                    os.write(end, frame)


class Relay:
    """A TCP connection to a camera through a hand that damages what the camera says, while `damage` is above 0."""

    def __init__(self, port: int) -> None:
        self.damage = 0.0  # share of pieces of which a byte is changed
        self._target = port
        self._random = Random(1)
        self._connections: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def drop(self) -> None:
        """Ends all connections of this moment."""
        connections, self._connections = self._connections, []
        for connection in connections:
            with suppress(OSError):  # it has ended already
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._connections += [near, far]
                threading.Thread(target=self._pass_on, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(far, near, True), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, may_damage: bool) -> None:
        with suppress(OSError), source, target:
            while piece := source.recv(1024):
                if may_damage and self._random.random() < self.damage:
                    at = self._random.randrange(len(piece))
                    piece = piece[:at] + self._random.randbytes(min(16, len(piece) - at)) + piece[at + 16 :]
                target.sendall(piece)
            target.shutdown(socket.SHUT_RDWR)


def _open_tap(name: str) -> int:
    end = os.open(TUN, os.O_RDWR)
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TAP | _IFF_NO_PI))
    return end


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
