"""sftp as a batch needs it: servers that are known, threads that do not meet, connections that are made anew.

fsspec's own class trusts every server, lets threads share what paramiko means for one, stays with a connection that is
lost, and asks for 32 KB only when those before have come, which a line of some length makes slow.
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable
from contextlib import suppress
from stat import S_ISDIR, S_ISLNK
from typing import Any, TypeVar
from urllib.parse import unquote

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem
from fsspec.spec import AbstractBufferedFile

PIECE = 32_768
"""Bytes; the most that every server gives for one question."""
CONNECT_SECONDS = 20.0
ANSWER_SECONDS = 60.0
KEEPALIVE_SECONDS = 30

_TRUSTING = {"auto_add", "warning"}
_SYSTEM_HOSTS = "/etc/ssh/ssh_known_hosts"

T = TypeVar("T")


class UnprovenServerError(Exception):
    """The server has not shown that it is the one that is meant."""


def sftp_system(url: str) -> tuple[SftpFileSystem, str]:
    """The file system of an sftp URL, the one of this thread, and the path in it."""
    place, slash, path = url.partition("://")[2].partition("/")
    user, _, server = place.rpartition("@")
    name, _, password = user.partition(":")
    host, _, port = server.partition(":")
    options: dict[str, Any] = {"host": host, "username": unquote(name) or None, "password": unquote(password) or None}
    if port.isdecimal():
        options["port"] = int(port)
    return SftpFileSystem(**{key: value for key, value in options.items() if value is not None}), slash + path


class SftpFileSystem(SFTPFileSystem):
    """A folder tree behind SSH, for reading.

    Args:
        host: Its name.
        host_key_policy: "reject": its key must be in known_hosts; "auto_add": a server that is not there is trusted.
        options: As paramiko's `SSHClient.connect` has them.
    """

    protocol = ("sftp", "ssh")

    def __init__(self, host: str, *, host_key_policy: str = "reject", **options: Any) -> None:
        if self._cached:
            return
        self._trusts = host_key_policy in _TRUSTING
        self._lock = threading.RLock()
        super().__init__(host, **options)

    def ask(self, question: Callable[[paramiko.SFTPClient], T]) -> T:
        """An answer of the server, also where the connection has gone since the last one.

        Raises:
            OSError, SSHException, EOFError: If there is none.
        """
        with self._lock:
            if self._is_lost():
                self._connect()
            try:
                return question(self.ftp)
            except (EOFError, OSError, paramiko.SSHException) as error:
                if not (self._is_lost() or isinstance(error, (EOFError, TimeoutError, paramiko.SSHException))):
                    raise
            self.client.close()
            self._connect()
            return question(self.ftp)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        return _facts(path, self.ask(lambda ftp: ftp.stat(path)))

    def ls(self, path: str, detail: bool = False, **_: Any) -> list[Any]:
        """What lies in a folder; a link to a file counts as the file, one to a folder is not followed."""
        path = self._strip_protocol(path)
        found = self.ask(lambda ftp: ftp.listdir_attr(path))
        entries = [self._followed(_facts(f"{path.rstrip('/')}/{entry.filename}", entry)) for entry in found]
        return entries if detail else sorted(entry["name"] for entry in entries)

    def walk(
        self, path: str, maxdepth: int | None = None, topdown: bool = True, on_error: Any = "raise", **options: Any
    ) -> Any:
        """As fsspec has it, but a folder that cannot be read is not passed over: recordings would be missing."""
        return super().walk(path, maxdepth, topdown, on_error, **options)

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **options: Any) -> Any:
        if mode != "rb":
            raise NotImplementedError("for reading only")
        size: Any = block_size or "default"
        return _File(self, path, mode, size, **options)

    def _followed(self, entry: dict[str, Any]) -> dict[str, Any]:
        if entry["type"] == "link":
            with suppress(FileNotFoundError):  # it points nowhere
                target = self.info(entry["name"])
                return target if target["type"] == "file" else entry
        return entry

    def _is_lost(self) -> bool:
        transport, channel = self.client.get_transport(), self.ftp.get_channel()
        return transport is None or not transport.is_active() or channel is None or channel.closed

    def _connect(self) -> None:
        client = paramiko.SSHClient()
        client.load_system_host_keys()
        with suppress(OSError):
            client.load_system_host_keys(_SYSTEM_HOSTS)
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy() if self._trusts else _OnlyKnown())
        limits: dict[str, Any] = dict.fromkeys(("timeout", "banner_timeout", "auth_timeout"), CONNECT_SECONDS)
        try:
            client.connect(self.host, **limits | self.ssh_kwargs)
            self.ftp = client.open_sftp()
        except BaseException as error:
            client.close()
            if (told := _told(error)) is not None:
                raise told from error
            raise
        self.client = client
        self.ftp.get_channel().settimeout(ANSWER_SECONDS)  # type: ignore[union-attr]
        client.get_transport().set_keepalive(KEEPALIVE_SECONDS)  # type: ignore[union-attr]


class _OnlyKnown(paramiko.MissingHostKeyPolicy):
    """Refuses a server before it gets to know who asks."""

    def missing_host_key(self, client: object, hostname: str, key: paramiko.PKey) -> None:
        host, _, port = hostname.removeprefix("[").partition("]:")
        scan = f"ssh-keyscan {f'-p {port} ' if port else ''}{shlex.quote(host)} >> ~/.ssh/known_hosts"
        raise UnprovenServerError(
            f"its key is not in ~/.ssh/known_hosts; if it is {key.get_name()} {key.fingerprint}, say: {scan}"
        )


class _File(AbstractBufferedFile):
    """A file of which all pieces of a range are asked for at once; after a new connection it opens it again."""

    fs: SftpFileSystem
    _opened: tuple[paramiko.SFTPClient, paramiko.SFTPFile] | None = None

    def _fetch_range(self, start: int, end: int) -> bytes:
        end = min(end, self.size or 0)  # paramiko would wait for what is not there
        pieces = [(at, min(PIECE, end - at)) for at in range(start, end, PIECE)]

        def read(ftp: paramiko.SFTPClient) -> bytes:
            if self._opened is None or self._opened[0] is not ftp:
                self._opened = ftp, ftp.open(self.path, "rb")
            return b"".join(self._opened[1].readv(pieces))

        return self.fs.ask(read)

    def close(self) -> None:
        if self._opened is not None:
            handle, self._opened = self._opened[1], None
            with suppress(Exception), self.fs._lock:  # the connection may have gone
                handle.close()
        super().close()


def _facts(path: str, attributes: paramiko.SFTPAttributes) -> dict[str, Any]:
    mode = attributes.st_mode or 0
    kind = "directory" if S_ISDIR(mode) else "link" if S_ISLNK(mode) else "file"
    return {"name": path, "size": attributes.st_size, "type": kind, "mtime": attributes.st_mtime}


def _told(error: BaseException) -> Exception | None:
    """The error of a connection as others can understand it, if paramiko's own is not for them."""
    if isinstance(error, paramiko.BadHostKeyException):
        return UnprovenServerError(
            "its key is not the one in known_hosts: another server answers, or it was set up anew "
            "(then: ssh-keygen -R, and add its new key)"
        )
    if isinstance(error, paramiko.AuthenticationException) or "authentication methods" in str(error):
        return PermissionError("the server does not let this user in")
    return None
