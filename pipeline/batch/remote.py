"""Recordings on other machines: whatever fsspec reaches by a URL (http, s3, gs, sftp, ...).

Headers and single pictures are read from there; what is read as a whole is copied first (`Downloads`). A URL may hold
a password or a signature, so nothing that people see or that is written down has it: they get `Remote.shown`.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from vidan.pipeline.batch.remote_errors import NO_RANGES, explained, shown_url
from vidan.pipeline.errors import SourceError

ATTEMPTS = 5
"""How often something is asked for of which the answer did not come."""
PAUSE_SECONDS = 1.0
BLOCK = 1 << 20
"""Bytes that are read at once, and ahead: headers are short, and s3fs would take 50 MB for one."""
_FINAL = (ValueError, FileNotFoundError, PermissionError)
"""Answers that are the same when asked again."""
_VERSION_KEYS = (
    *("ETag", "etag", "md5Hash", "Content-MD5", "Digest", "checksum", "Last-Modified", "LastModified"),
    *("last_modified", "updated", "mtime", "created"),
)
_SFTP = re.compile(r"\b(sftp|ssh)://", re.IGNORECASE)
_TOLD_BY_LISTINGS = ("s3", "s3a", "gs", "gcs", "sftp", "ssh")
"""Their listings tell of a file what a question about it does; elsewhere time or hash may come in another form."""
_LOUD = ("gcsfs", "paramiko")
"""They log what they raise, with tracebacks."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A file on another machine.

    Attributes:
        url: What was named; it tells how to get there.
        path: Of the file, as its file system names it.
        shown: The URL as people may see it.
        size: In bytes.
        version: Changes when the content does, as far as the other side tells: its hash, or its time of change.
    """

    url: str = field(repr=False)
    path: str = field(repr=False)
    shown: str
    size: int
    version: str

    @property
    def place(self) -> PurePosixPath:
        """Host, folders and name, without scheme."""
        return PurePosixPath("/" + self.shown.partition("://")[2].partition("?")[0])

    @property
    def key(self) -> str:
        """Names this very content of this very file."""
        known = "\n".join((self.path, self.shown, str(self.size), self.version))
        return hashlib.sha256(known.encode()).hexdigest()[:16]

    def open(self, *, cache: str = "readahead") -> RemoteFile:
        """The file, to be read from any place.

        Args:
            cache: How fsspec reads ahead.

        Raises:
            SourceError: If it cannot be reached.
        """
        with explained(self.shown):
            system, _ = _system(self.url)
            if system.info(self.path).get("partial") is False:
                raise SourceError(f"{self.shown} {NO_RANGES}")
            return RemoteFile(system.open(self.path, "rb", block_size=BLOCK, cache_type=cache), self.shown)

    def check_unchanged(self) -> None:
        """Makes sure that it is still the file that was found.

        Raises:
            SourceError: If it is not.
        """
        with explained(self.shown):
            system, _ = _system(self.url)
            system.invalidate_cache()
            now = _remote(system, self.url, self.path, system.info(self.path))
        if now != self:
            raise SourceError(f"{self.shown} has changed while it was copied: start again when it is complete")


class RemoteFile:
    """An open remote file that asks again, and whose errors are for people."""

    def __init__(self, file: Any, shown: str) -> None:
        self._file, self._shown = file, shown

    @property
    def name(self) -> str:
        """FFmpeg guesses the format of raw streams by its ending."""
        return self._shown.partition("?")[0]

    def read(self, size: int = -1) -> bytes:
        """The next bytes.

        Raises:
            SourceError: If they do not come.
        """
        attempt = 1
        with explained(self._shown):
            while True:
                try:
                    return self._file.read(size)
                except _FINAL:
                    raise
                except Exception:
                    if attempt == ATTEMPTS:
                        raise
                    time.sleep(PAUSE_SECONDS * attempt)
                    attempt += 1

    def seek(self, place: int, whence: int = 0) -> int:
        return self._file.seek(place, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()


def is_url(name: str) -> bool:
    """Whether a name of footage is one of another machine."""
    return "://" in name


def find_remote(url: str, endings: frozenset[str]) -> list[Remote]:
    """The files under a URL: itself, the matches of a pattern, or what lies in a folder and below it.

    Args:
        url: As fsspec reads it; over HTTP, a folder ends with a slash, and its server lists it.
        endings: Of the files that are taken from a folder.

    Raises:
        SourceError: If it cannot be reached, or nothing is there.
    """
    with explained(shown_url(url)):
        system, path = _system(url)
        if "*" in path or "[" in path:
            found = _videos(system.glob(path, detail=True), endings)
            if not found:
                raise SourceError(f"no video matches {shown_url(url)}")
        elif path.endswith("/") or url.endswith("/") or (not _is_http(path) and system.isdir(path)):
            found = _videos(system.find(path, detail=True), endings)
            if not found:
                system.info(path)  # says so if there is no such folder at all
                raise SourceError(
                    f"{shown_url(url)} holds no video: no file in it ends in {', '.join(sorted(endings))}"
                )
        else:
            found = {path: system.info(path)}
        if url.partition("://")[0].lower() not in _TOLD_BY_LISTINGS:
            threads = 8 if system.async_impl else 1  # the others may share a connection that is for one
            with ThreadPoolExecutor(threads, thread_name_prefix="ask") as asking:
                found = dict(zip(found, asking.map(system.info, found), strict=True))
        return [_remote(system, url, name, info) for name, info in found.items()]


def _system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and its path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise SourceError(f"{shown_url(url)} needs fsspec: pip install 'vidan[remote]'") from error
    if not logging.getLogger().isEnabledFor(logging.INFO):
        for library in _LOUD:
            logging.getLogger(library).setLevel(logging.CRITICAL)
    if not _SFTP.search(url):
        return url_to_fs(url)
    if "::" in url:
        raise SourceError(f"{shown_url(url)} cannot be read: sftp is read by itself alone")
    from vidan.pipeline.batch.sftp import sftp_system

    return sftp_system(url)


def _videos(found: dict[str, dict[str, Any]], endings: frozenset[str]) -> dict[str, dict[str, Any]]:
    """Those of the files that a listing tells of."""
    return {
        path: info
        for path, info in found.items()
        if info.get("type", "file") == "file" and PurePosixPath(path).suffix.lower() in endings
    }


def _remote(system: Any, url: str, path: str, info: dict[str, Any]) -> Remote:
    shown = _shown_in(system, url, path)
    size = info.get("size")
    if size is None:
        raise SourceError(f"{shown} cannot be read: its server does not tell how large it is")
    if not size:
        raise SourceError(f"{shown} is empty (0 bytes)")
    version = next((info[key] for key in _VERSION_KEYS if info.get(key)), "")
    if isinstance(version, datetime) and version.tzinfo is not None:
        version = version.astimezone(UTC)  # listings tell it in another zone than questions about one file
    version = str(version)
    return Remote(url, path, shown, size, version)


def _shown_in(system: Any, url: str, path: str) -> str:
    """The URL of a file, also of file systems that keep the host to themselves."""
    if _is_http(path):
        return shown_url(path)
    host, port = system.storage_options.get("host"), system.storage_options.get("port")
    if host and port:
        host = f"{host}:{port}"
    return shown_url(f"{url.partition('://')[0]}://{host or ''}{path if host else path.lstrip('/')}")


def _is_http(path: str) -> bool:
    return path.lower().startswith(("http://", "https://"))
