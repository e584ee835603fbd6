"""A virtual environment per peer, below a cache folder, never in the one that the benchmark runs in."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

DEFAULT_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "vidan" / "benchmarks" / "tracking"

ALONE = "--no-deps "
"""Before a requirement: it is installed without what it depends on."""


class InstallError(Exception):
    """pip could not install what an adapter needs."""


def python_for(name: str, requirements: Sequence[str], cache: Path) -> Path:
    """The interpreter that has these requirements: this one where there are none, else one made for them once.

    Raises:
        InstallError: If pip cannot install them.
    """
    if not requirements:
        return Path(sys.executable)
    digest = hashlib.sha256("\n".join([sys.version, *requirements]).encode()).hexdigest()[:8]
    folder = cache / f"{name}-{digest}"
    python, complete = folder / "bin" / "python", folder / "complete"
    if complete.exists():
        return python
    sys.stderr.write(f"installing {', '.join(requirements)} into {folder}\n")
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    alone = [requirement.removeprefix(ALONE) for requirement in requirements if requirement.startswith(ALONE)]
    _install(python, [requirement for requirement in requirements if not requirement.startswith(ALONE)])
    if alone:
        _install(python, ["--no-deps", *alone])
    complete.touch()
    return python


def _install(python: Path, arguments: Sequence[str]) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InstallError(done.stderr.strip().splitlines()[-1])


def version_of(python: Path, requirements: Sequence[str]) -> str:
    """Version of what an adapter is about: its first requirement, or vidan."""
    name = re.split(r"[<>=!~;\[ ]", requirements[0].removeprefix(ALONE))[0] if requirements else "vidan"
    code = f"import importlib.metadata as metadata; print(metadata.version({name!r}))"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
