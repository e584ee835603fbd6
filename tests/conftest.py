"""Fixtures that every floor uses."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

collect_ignore = ["typed"]  # links to the packages, for pyright


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference numbers and footage that does not ship; tests that need it skip without it."""
    folder = Path(os.environ.get("VIDAN_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"needs the reference data, not found at {folder} (set VIDAN_SHARED)")
    return folder


class PostgresServer:
    """A PostgreSQL server of the test's own, on a free port of this machine, in a folder that goes with it."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._data = folder / "data"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"postgresql://postgres:pa55word@127.0.0.1:{self.port}/postgres"
        (folder / "password").write_text("pa55word")
        if os.geteuid() == 0:  # the server refuses to be root
            shutil.chown(folder, "postgres")
            shutil.chown(folder / "password", "postgres")
        self._run("initdb", "-U", "postgres", "-A", "scram-sha-256", "--no-sync", f"--pwfile={folder / 'password'}")

    def start(self) -> None:
        """Starts it; after `kill` that takes until the last of its old processes is gone."""
        options = f"-p {self.port} -k {self._data} -c listen_addresses=127.0.0.1"
        deadline = time.monotonic() + 60
        while True:
            try:
                return self._run("pg_ctl", "start", "-w", "-l", str(self._data / "log"), "-o", options)
            except subprocess.CalledProcessError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def kill(self) -> None:
        """As kill -9 does it: no word to the clients, nothing written."""
        os.kill(int((self._data / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)

    def stop(self) -> None:
        with suppress(subprocess.CalledProcessError):  # it may lie dead already
            self._run("pg_ctl", "stop", "-m", "immediate")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), "-D", str(self._data), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running server; a test that kills it starts it again."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    programs = found[-1].parent if found else Path(shutil.which("initdb") or "/none/initdb").parent
    if not (programs / "initdb").exists():
        pytest.skip("needs a PostgreSQL server (apt-get install postgresql)")
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        pytest.skip("PostgreSQL refuses to run as root, and there is no runuser")
    with tempfile.TemporaryDirectory(prefix="vidan-postgres-") as name:
        server = PostgresServer(programs, Path(name))
        server.start()
        yield server
        server.stop()
