"""Fixtures that every floor uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference numbers and footage that does not ship; tests that need it skip without it."""
    folder = Path(os.environ.get("VIDAN_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"needs the reference data, not found at {folder} (set VIDAN_SHARED)")
    return folder
