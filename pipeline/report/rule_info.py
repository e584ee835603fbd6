"""What a summary must know of a rule: rules are described here, never asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vidan.pipeline.calibration import SpeedUnit
from vidan.pipeline.events import EventKind
from vidan.pipeline.schedule import Schedule

ZONE_DIRECTIONS = {
    EventKind.ZONE_ENTERED: "entered",
    EventKind.ZONE_LEFT: "left",
    EventKind.ZONE_APPEARED: "appeared",
    EventKind.ZONE_VANISHED: "vanished",
}


@dataclass(frozen=True, slots=True)
class RuleInfo:
    """What a summary must know of one rule on one stream.

    Attributes:
        stream: Name of the stream.
        name: Of the rule.
        type: What it is.
        classes: Names of the classes it can count; a class of the log that is missing here gets its row all the same.
        directions: Display names of a line's `in` and `out`; for a zone the four words of `ZONE_DIRECTIONS`; empty for
            the others, which are not counted by direction.
        every_seconds: Between two samples of a zone's occupancy or of a queue's length.
        places: Of a flow: the rules between which it counts, in the order of its matrix.
        unit: Of a speed rule: in which it speaks.
        limit: Of a speed rule: in its unit; None where none is set.
        schedule: When it counts; outside of it nobody is expected to look. None: always.
    """

    stream: str
    name: str
    type: Literal["line", "zone", "speed", "flow", "queue"]
    classes: tuple[str, ...]
    directions: tuple[str, ...] = tuple(ZONE_DIRECTIONS.values())
    every_seconds: float = 1.0
    places: tuple[str, ...] = ()
    unit: SpeedUnit = "km/h"
    limit: float | None = None
    schedule: Schedule | None = None
