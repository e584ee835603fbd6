"""When a rule is to count: windows of the clock on the wall, in the time zone of the place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo

Weekday: TypeAlias = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Window:
    """A time of day on some weekdays.

    Attributes:
        days: On which it begins.
        start: When it begins.
        end: When it ends, not included; where that is not after the start, on the next day.
    """

    days: frozenset[Weekday]
    start: time
    end: time

    def holds(self, wall: datetime) -> bool:
        """True where the clock on the wall, as local time without a zone, shows a time within."""
        today, clock = WEEKDAYS[wall.weekday()], wall.time()
        if self.start < self.end:
            return today in self.days and self.start <= clock < self.end
        yesterday = WEEKDAYS[(wall - _DAY).weekday()]
        return (today in self.days and self.start <= clock) or (yesterday in self.days and clock < self.end)


class Schedule:
    """Open while the clock on the wall shows a time within one of the windows.

    What counts is what the clock shows, so a change to or from daylight saving time needs no care: a night from 22:00
    to 06:00 lasts seven or nine hours then, an hour that is skipped is not missed, and a window within an hour that
    comes twice is open twice.

    Args:
        zone: Time zone of the place.
        windows: One or more.
    """

    def __init__(self, zone: ZoneInfo, windows: Sequence[Window]) -> None:
        self._zone = zone
        self._windows = tuple(windows)

    def is_open(self, utc: datetime) -> bool:
        """Whether a moment (timezone-aware) lies within."""
        wall = utc.astimezone(self._zone).replace(tzinfo=None)
        return any(window.holds(wall) for window in self._windows)
