"""What a line knows of one track: what it did near the line, and what of that is certain."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from vidan.pipeline.geometry import Passage
from vidan.pipeline.rules.near_misses import Visit
from vidan.pipeline.rules.sightings import Moment, Sighting


@dataclass(frozen=True, slots=True, eq=False)
class Crossing:
    sign: int
    segment: int
    moment: Moment
    certainty: str


@dataclass(slots=True)
class Walker:
    """What is known of one track that came near.

    Attributes:
        is_known: False as long as it has only stood on the line: it came from neither side.
        visit: While it is near.
        pending: Crossings that are not certain yet, all in one direction.
        around: Passages around an end of the line, in less those out, since the last commitment.
        since: Time of its last passage, or when it last stood on the line with something pending.
        off: When it was last seen off the line with something pending.
        counted: Signs of the crossings already announced.
        committed: For the policy `net`: all committed crossings, kept back until the track ends.
    """

    is_known: bool
    visit: Visit | None = None
    pending: list[Crossing] = field(default_factory=list)
    around: int = 0
    since: float = -np.inf
    off: float = -np.inf
    counted: set[int] = field(default_factory=set)
    committed: list[Crossing] = field(default_factory=list)

    @property
    def is_undecided(self) -> bool:
        return bool(self.pending or self.around)

    def come(self, sighting: Sighting, distance: float, *, is_birth: bool) -> None:
        """Begins a visit, or goes on with it."""
        if self.visit is None:
            self.visit = Visit.begin(sighting, distance, is_birth=is_birth)
        else:
            self.visit.add(sighting, distance)

    def has_settled(self, now: float, settle: float) -> bool:
        """True if it passed nothing for the last `settle` seconds and was seen off the line in that time."""
        return self.since <= self.off and now - self.since >= settle

    def take(self, passage: Passage, moment: Moment, certainty: str) -> None:
        if passage.beyond is None:
            cancel_or_add(self.pending, Crossing(passage.sign, passage.segment, moment, certainty))
        else:
            self.around += passage.sign
        self.since = max(self.since, moment.pts_seconds)

    def linger(self, sighting: Sighting) -> None:
        """Stays on the line: a crossing is none until the line is left."""
        self.since = sighting.pts_seconds
        if self.pending:
            self.pending[-1] = replace(self.pending[-1], moment=Moment.at(sighting))

    def settle(self) -> list[Crossing]:
        """The crossings that hold now that nothing is pending any more: those that no way around an end has undone."""
        undone = max(0, -self.around * self.pending[0].sign) if self.pending else 0
        crossings = self.pending[undone:]
        self.pending, self.around = [], 0
        return crossings


def cancel_or_add(crossings: list[Crossing], crossing: Crossing) -> None:
    """A crossing back undoes the last one; so all in the list have one direction."""
    if crossings and crossings[-1].sign != crossing.sign:
        crossings.pop()
    else:
        crossings.append(crossing)
