"""When a rule is to count: windows of the clock on the wall, in the time zone of the place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo

Weekday: TypeAlias = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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


@dataclass(frozen=True, slots=True)
class Schedule:
    """Open while the clock on the wall shows a time within one of the windows.

    What counts is what the clock shows, so a change to or from daylight saving time needs no care: a night from 22:00
    to 06:00 lasts seven or nine hours then, an hour that is skipped is not missed, and a window within an hour that
    comes twice is open twice.

    Attributes:
        zone: Time zone of the place.
        windows: One or more.
    """

    zone: ZoneInfo
    windows: tuple[Window, ...]

    def is_open(self, utc: datetime) -> bool:
        """Whether a moment (timezone-aware) lies within."""
        wall = utc.astimezone(self.zone).replace(tzinfo=None)
        return any(window.holds(wall) for window in self.windows)

    def closed(self, start_utc: datetime, seconds: float) -> Iterator[tuple[float, float]]:
        """(start, end) of all times at which it is closed, in seconds since a moment, in pieces of a minute at most.

        It opens and closes, and clocks are changed, at full minutes, or at full seconds if a window has some.
        """
        has_seconds = any(moment.second for window in self.windows for moment in (window.start, window.end))
        step = timedelta(seconds=1) if has_seconds else timedelta(minutes=1)
        moment, end = start_utc, start_utc + timedelta(seconds=seconds)
        while moment < end:
            following = min(moment + step - (moment - _EPOCH) % step, end)
            if not self.is_open(moment):
                yield (moment - start_utc).total_seconds(), (following - start_utc).total_seconds()
            moment = following

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values, as in a config."""
        return {
            "time_zone": self.zone.key,
            "windows": [
                {
                    "days": [day for day in WEEKDAYS if day in window.days],
                    "from": window.start.isoformat(),
                    "to": window.end.isoformat(),
                }
                for window in self.windows
            ],
        }
