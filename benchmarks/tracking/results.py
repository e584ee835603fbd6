"""What was measured of a tracker, and the file that keeps it, so that one can be measured again without the others."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from counters import CountError


@dataclass(frozen=True, slots=True)
class Quality:
    """Of all sequences of a group together; see `vidan.trackers.TrackMetrics`."""

    hota: float
    mota: float
    idf1: float
    id_switches: int


@dataclass
class Result:
    """One tracker.

    Attributes:
        name: Of the tracker.
        version: Of its package.
        machine: On which it was measured.
        quality: By group.
        thinned: HOTA by "group/step", on every step-th frame.
        lines: Errors by counter.
        zones: Errors by counter.
        microseconds: Per frame, by group.
        crowd_milliseconds: Per frame, by number of objects.
    """

    name: str
    version: str
    machine: str
    quality: dict[str, Quality] = field(default_factory=dict)
    thinned: dict[str, float] = field(default_factory=dict)
    lines: dict[str, CountError] = field(default_factory=dict)
    zones: dict[str, CountError] = field(default_factory=dict)
    microseconds: dict[str, float] = field(default_factory=dict)
    crowd_milliseconds: dict[str, float] = field(default_factory=dict)


def read_results(path: Path) -> list[Result]:
    """The results in a file, none where there is no file."""
    return [_from_record(record) for record in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []


def write_results(path: Path, results: Sequence[Result]) -> None:
    """Writes the results as JSON."""
    path.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n", encoding="utf-8")


def merge(old: Sequence[Result], new: Sequence[Result]) -> list[Result]:
    """All results, vidan's first; a new one takes the place of the old one of that name."""
    by_name = {result.name: result for result in (*old, *new)}
    return sorted(by_name.values(), key=lambda result: not result.name.startswith("vidan"))


def machine() -> str:
    """CPU, cores and Python of this machine."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model n")]
        model = models[0] if models else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def _from_record(record: dict[str, Any]) -> Result:
    rest = dict(record)
    quality = {group: Quality(**values) for group, values in rest.pop("quality").items()}
    lines, zones = ({k: CountError(**error) for k, error in rest.pop(key).items()} for key in ("lines", "zones"))
    return Result(quality=quality, lines=lines, zones=zones, **rest)
