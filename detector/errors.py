"""Errors of the detector that are told in words: what is wrong, with which file or device, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


class WeightsError(Exception):
    """A weights file, a published checkpoint or a download that cannot be used."""


class DeviceError(ValueError):
    """This machine lacks the device, the precision or the memory that was asked for."""


def near_miss(name: str, known: Sequence[str]) -> str:
    """A question to put into the message about an unknown name; empty if no known one is similar."""
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]!r}? " if near else ""
