"""Counts of a camera by rule, direction, class and day, read from the table that its run has left."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from vidan.pipeline.errors import SourceError


@dataclass(slots=True)
class Tally:
    """How often one class passed one rule of one camera in one direction.

    Attributes:
        camera: Of which camera.
        rule: Name of the rule.
        type: Of the rule.
        direction: Display name.
        label: Name of the class.
        count: In all; None where nobody looked at any time.
        by_day: The same per day (ISO date), where the time of day is known.
    """

    camera: str
    rule: str
    type: str
    direction: str
    label: str
    count: int | None = None
    by_day: dict[str, int | None] = field(default_factory=dict)

    def add(self, count: int | None, day: str | None) -> None:
        """Takes in an interval; None: nobody looked."""
        if day is not None:
            self.by_day[day] = _sum(self.by_day.get(day), count)
        self.count = _sum(self.count, count)

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "camera": self.camera,
            "rule": self.rule,
            "type": self.type,
            "direction": self.direction,
            "class": self.label,
            "count": self.count,
            "by_day": self.by_day,
        }


def read_tallies(path: Path, zone: tzinfo | None) -> list[Tally]:
    """The tallies of a counts.csv, in its order; days are those of a time zone, by default UTC.

    Raises:
        SourceError: If it cannot be read.
    """
    tallies: dict[tuple[str, ...], Tally] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                key = row["source"], row["rule"], row["type"], row["direction"], row["class"]
                tally = tallies.setdefault(key, Tally(*key))
                day = row["start_utc"] and datetime.fromisoformat(row["start_utc"]).astimezone(zone).date().isoformat()
                tally.add(int(row["count"]) if row["count"] else None, day or None)
    except (OSError, KeyError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {error}") from error
    return list(tallies.values())


def days_of(tallies: Iterable[Tally]) -> list[str]:
    """All days of tallies, in order."""
    return sorted({day for tally in tallies for day in tally.by_day})


def _sum(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else one + other
