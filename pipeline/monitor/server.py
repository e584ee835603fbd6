"""MonitorServer: health, readiness and metrics over HTTP; with a token also a stop and a reload.

It answers strangers as little as possible: no bodies are read, connections are few and short, nothing is cached, and
what changes the run needs the token. Where it listens on loopback alone it also refuses names of other hosts, behind
which a page in a browser could reach it (DNS rebinding).
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from vidan.pipeline.control import Control
from vidan.pipeline.errors import ConfigError
from vidan.pipeline.masking import mask_secrets
from vidan.pipeline.monitor.health import describe
from vidan.pipeline.telemetry import Snapshot

MOST_CONNECTIONS = 16  # at once; more are closed without a word
LONGEST_SECONDS = 10.0  # that a connection may take, from its first byte to its last

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}

Address: TypeAlias = tuple[str, int]
_logger = logging.getLogger(__name__)


class MonitorServer:
    """Serves on threads of its own, from the constructor until `close`.

    Args:
        host: Address or name to listen on; loopback unless others should reach it.
        port: TCP port; 0 lets the system choose, see `address`.
        token: Whoever sends it may change the run; None: nobody may.
        snapshot: Gives the run at this moment.
        metrics: Gives it as Prometheus wants it.
        control: Is asked to stop or reload.

    Raises:
        ConfigError: If the address cannot be listened on.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        token: str | None,
        snapshot: Callable[[], Snapshot],
        metrics: Callable[[], bytes],
        control: Control,
    ) -> None:
        self.token = token
        self.snapshot = snapshot
        self.metrics = metrics
        self.control = control
        try:
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._server = _Server(self, family, (str(address[0]), port))
        except OSError as error:
            raise ConfigError(
                f"service: cannot listen on {host}, port {port}: {error.strerror}; choose another host or port"
            ) from error
        self.address: Address = self._server.server_address[:2]  # type: ignore[assignment]
        self.loopback_only = ipaddress.ip_address(self.address[0]).is_loopback
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="monitor", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        host, port = self.address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def close(self) -> None:
        """Stops listening; connections that are open are dropped. A second call does nothing."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    """Counts connections and ends those that take too long: each has a thread."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def __init__(self, monitor: MonitorServer, family: socket.AddressFamily, address: Address) -> None:
        self.monitor = monitor
        self.address_family = family
        self._begun: dict[Any, float] = {}
        super().__init__(address, _Handler)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        if len(self._begun) >= MOST_CONNECTIONS:
            return False
        self._begun[request] = time.monotonic()
        return True

    def service_actions(self) -> None:
        now = time.monotonic()
        for request, begun in tuple(self._begun.items()):
            if now - begun > LONGEST_SECONDS:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def shutdown_request(self, request: Any) -> None:
        self._begun.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        _logger.debug("a connection to the monitor broke", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server_version, sys_version = "vidan", ""
    timeout = LONGEST_SECONDS

    @property
    def _monitor(self) -> MonitorServer:
        assert isinstance(self.server, _Server)
        return self.server.monitor

    def do_GET(self) -> None:
        if not self._is_for_us():
            return
        monitor = self._monitor
        match self.path.partition("?")[0]:
            case "/metrics":
                self._send(HTTPStatus.OK, monitor.metrics(), METRICS_TYPE)
            case "/healthz":
                run = monitor.snapshot()
                self._tell(HTTPStatus.OK if run.healthy else HTTPStatus.SERVICE_UNAVAILABLE, describe(run))
            case "/readyz":
                run = monitor.snapshot()
                is_ready = run.ready and run.healthy
                self._tell(HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE, describe(run))
            case "/stop" | "/reload":
                self._tell(HTTPStatus.METHOD_NOT_ALLOWED, {"error": "use POST"}, Allow="POST")
            case _:
                paths = ["GET /healthz", "GET /readyz", "GET /metrics", "POST /reload", "POST /stop"]
                self._tell(HTTPStatus.NOT_FOUND, {"error": "there is no such page", "pages": paths})

    do_HEAD = do_GET  # noqa: N815 (the name is the base class's)

    def do_POST(self) -> None:
        if not self._is_for_us():
            return
        control = self._monitor.control
        actions = {"/stop": control.stop, "/reload": control.reload}
        action = actions.get(self.path)
        if action is None:
            self._tell(HTTPStatus.NOT_FOUND, {"error": "there is no such action", "actions": list(actions)})
        elif self._is_allowed():
            _logger.warning("%s was asked for by %s", self.path[1:], self.client_address[0])
            action()
            self._tell(HTTPStatus.ACCEPTED, {"accepted": self.path[1:]})

    def _is_for_us(self) -> bool:
        host = self.headers.get("Host", "localhost")
        if not self._monitor.loopback_only or _is_here(host):
            return True
        self._tell(HTTPStatus.MISDIRECTED_REQUEST, {"error": "this is not the host that was asked for"})
        return False

    def _is_allowed(self) -> bool:
        token = self._monitor.token
        if token is None:
            self._tell(HTTPStatus.FORBIDDEN, {"error": "set service.token in the config to allow this"})
            return False
        given = self.headers.get("Authorization", "")
        if hmac.compare_digest(given.encode(errors="replace"), f"Bearer {token}".encode()):
            return True
        headers = {"WWW-Authenticate": "Bearer"}
        self._tell(HTTPStatus.UNAUTHORIZED, {"error": "send the header Authorization: Bearer TOKEN"}, **headers)
        return False

    def _tell(self, status: HTTPStatus, values: Any, **headers: str) -> None:
        text = mask_secrets(json.dumps(values, ensure_ascii=False, indent=1))
        self._send(status, text.encode() + b"\n", "application/json; charset=utf-8", **headers)

    def _send(self, status: HTTPStatus, body: bytes, content_type: str, **headers: str) -> None:
        self.send_response(status)
        headers = {"Content-Type": content_type, "Content-Length": str(len(body)), **_HEADERS, **headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: probes come every few seconds, and what strangers send does not belong into a log."""


def _is_here(host: str) -> bool:
    """Whether the value of a Host header is an address, or the name of this very machine."""
    with suppress(ValueError):
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ipaddress.ip_address(name))
    return False
