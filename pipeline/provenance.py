"""Where numbers come from: versions of vidan, of its counting and of what it stands on, and hashes of what was read."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vidan.detector import file_sha256

SEMANTICS_VERSION = "1"  # of the counting rules: it grows when the same tracks would give other events

_PACKAGES = ("numpy", "opencv-python-headless", "av", "openvino", "torch", "torchvision", "lap", "shapely", "pyarrow")


def vidan_version() -> str:
    """Version of the installed package; "unknown" where the source tree runs without being installed."""
    return _version("vidan") or "unknown"


def environment() -> dict[str, Any]:
    """Python, machine and the packages that numbers can depend on, none of them imported for it."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def hash_text(text: str) -> str:
    """SHA-256 of a text in UTF-8 as 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def hash_files(paths: Iterable[Path]) -> str:
    """One SHA-256 of the names and bytes of many files in their order: that of what `sha256sum` prints in their folder.

    Raises:
        OSError: If one of them cannot be read.
    """
    return hash_text("".join(f"{file_sha256(path)}  {path.name}\n" for path in paths))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
