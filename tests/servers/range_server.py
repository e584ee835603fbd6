"""An HTTP server of a folder as object stores are: parts of files, listings, hashes; and it can misbehave."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class RangeServer(ThreadingHTTPServer):
    """Serves a folder on a free port of this machine.

    Attributes:
        forbidden: Names that nobody may read.
        breaks_at: Of the next answer only so many bytes come, then the connection ends; None: all.
        has_ranges: Whether parts of files can be asked for.
        says_so: Whether it tells that they cannot.
        sent: Bytes of contents per name.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.forbidden: set[str] = set()
        self.breaks_at: int | None = None
        self.has_ranges = True
        self.says_so = False
        self.sent: dict[str, int] = {}
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(SimpleHTTPRequestHandler):
    server: RangeServer  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"

    def __init__(self, request: Any, address: Any, server: RangeServer) -> None:
        super().__init__(request, address, server, directory=str(server.folder))

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def _answer(self, *, with_content: bool) -> None:
        name = urlsplit(self.path).path.lstrip("/")
        path = self.server.folder / name
        if name in self.server.forbidden:
            self.send_error(403)
            return
        if not path.is_file():
            (super().do_GET if with_content else super().do_HEAD)()
            return
        content = path.read_bytes()
        first, last = 0, len(content) - 1
        asked = self.headers.get("Range", "").removeprefix("bytes=") if self.server.has_ranges else ""
        if asked:
            begin, _, end = asked.partition("-")
            first, last = int(begin), min(last, int(end or last))
        body = content[first : last + 1]
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Content-Length", str(len(body)))
        if self.server.says_so:
            self.send_header("Accept-Ranges", "none")
        self.send_header("ETag", hashlib.md5(content).hexdigest())
        self.end_headers()
        if not with_content:
            return
        if self.server.breaks_at is not None and len(body) > self.server.breaks_at:
            body, self.server.breaks_at, self.close_connection = body[: self.server.breaks_at], None, True
        try:
            self.wfile.write(body)
        except OSError:
            return
        self.server.sent[name] = self.server.sent.get(name, 0) + len(body)


@contextmanager
def range_server(folder: Path) -> Iterator[RangeServer]:
    """Within, the folder is served."""
    with RangeServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
