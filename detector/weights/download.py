"""One file over HTTP, resumable: what has arrived stays in ``FILE.part`` until all of it is there."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from vidan.detector.errors import WeightsError
from vidan.detector.weights.atomic import write_atomically

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes of the whole file, if the server tells."""

TIMEOUT_SECONDS = 30.0
CHUNK_BYTES = 1 << 18
LARGEST_BYTES = 2 << 30


def download(url: str, target: Path, progress: Progress | None = None) -> None:
    """Brings the file at `url` to `target`, going on where an interrupted download stopped.

    It goes on only if the server proves by ETag or date that the file is still the same; otherwise it starts again.

    Raises:
        WeightsError: If the server cannot be reached, refuses, or stops early; what has arrived is kept.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise WeightsError(f"{url}: not an address to download from; expected http or https")
    part, origin = target.with_name(f"{target.name}.part"), target.with_name(f"{target.name}.part.json")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(url, part, origin, progress or (lambda done, total: None))
        part.replace(target)
        origin.unlink(missing_ok=True)
    except urllib.error.HTTPError as error:
        raise WeightsError(f"{url}: the server answers {error.code} ({error.reason}); {_cure(error.code)}") from error
    except urllib.error.URLError as error:
        raise WeightsError(
            f"{url}: cannot be reached ({error.reason}); check the network, then run it again"
        ) from error
    except (TimeoutError, ConnectionError, http.client.HTTPException, ssl.SSLError) as error:
        raise WeightsError(f"{url}: the connection broke ({error}); run it again to go on from there") from error
    except OSError as error:
        raise WeightsError(
            f"{target}: cannot be written ({error.strerror}); free some space or set VIDAN_HOME"
        ) from error


def _fetch(url: str, part: Path, origin: Path, progress: Progress) -> None:
    here, validator = _resumable(url, part, origin)
    request = urllib.request.Request(url, headers={"User-Agent": "vidan", "Accept-Encoding": "identity"})
    if validator is not None:
        request.add_header("Range", f"bytes={here}-")
        request.add_header("If-Range", validator)
    try:
        response = urllib.request.build_opener(_StaySecure).open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE or validator is None:
            raise
        error.close()
        part.unlink()  # it is longer than the file: nothing in it can be trusted
        _fetch(url, part, origin, progress)
        return
    with response:
        resumed = response.status == http.client.PARTIAL_CONTENT
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {here}-"):
            raise http.client.HTTPException("the server sent another range than asked for")
        here = here if resumed else 0
        length = response.headers.get("Content-Length")
        total = here + int(length) if length is not None and length.isdecimal() else None
        validator = _validator(response.headers.get("ETag"), response.headers.get("Last-Modified"))
        write_atomically(origin, json.dumps({"url": url, "validator": validator}).encode())
        with part.open("ab" if resumed else "wb") as file:
            progress(here, total)
            while chunk := response.read(CHUNK_BYTES):
                here += len(chunk)
                if here > LARGEST_BYTES:
                    raise http.client.HTTPException(f"more than {LARGEST_BYTES >> 30} GiB")
                file.write(chunk)
                progress(here, total)
    if total is not None and here != total:
        raise http.client.HTTPException(f"{here} of {total} bytes arrived")


def _resumable(url: str, part: Path, origin: Path) -> tuple[int, str | None]:
    """Bytes that are here, and the server's own word for which version of the file they come from."""
    try:
        known = json.loads(origin.read_text())
        if known["url"] == url and known["validator"] and part.stat().st_size:
            return part.stat().st_size, known["validator"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass  # nothing to go on from, or nothing that can be understood: start again
    return 0, None


def _validator(etag: str | None, last_modified: str | None) -> str | None:
    """What If-Range may carry (RFC 9110, sec. 13.1.5): a strong ETag, else the date."""
    return etag if etag is not None and not etag.startswith("W/") else last_modified


class _StaySecure(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to anything less, nor to another protocol."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and scheme != urlsplit(req.full_url).scheme:
            raise http.client.HTTPException(f"the server redirects to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _cure(code: int) -> str:
    if code in (http.client.NOT_FOUND, http.client.GONE):
        return "the publisher has moved or withdrawn the file"
    if code in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
        return "the publisher or a proxy does not let you have it"
    return "try again later"
