"""The shapes of a stream's rules, as painters draw them."""

from __future__ import annotations

from dataclasses import dataclass

from vidan.pipeline.drawing import LineShape, QueueShape, ZoneShape
from vidan.pipeline.speed_labels import SpeedShape


@dataclass(frozen=True, slots=True)
class Shapes:
    """What is drawn of a stream's rules.

    Attributes:
        lines: Counting lines.
        zones: Zones.
        queues: Queues.
        speeds: Areas where speed is measured.
    """

    lines: tuple[LineShape, ...] = ()
    zones: tuple[ZoneShape, ...] = ()
    queues: tuple[QueueShape, ...] = ()
    speeds: tuple[SpeedShape, ...] = ()

    @property
    def waiting_areas(self) -> tuple[ZoneShape, ...]:
        """Those of the queues."""
        return tuple(ZoneShape(queue.name, (queue.polygon,)) for queue in self.queues)

    @property
    def areas(self) -> tuple[ZoneShape, ...]:
        """Zones, and all else that can be drawn as one."""
        rings = [(speed.name, tuple((x, y) for x, y in speed.area.exterior.coords[:-1])) for speed in self.speeds]
        return (*self.zones, *self.waiting_areas, *(ZoneShape(name, (ring,)) for name, ring in rings))
