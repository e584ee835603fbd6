"""What a stream's sources said before the one that is read now: an earlier session's, or one that was opened again."""

from __future__ import annotations

from dataclasses import dataclass, field

from vidan.pipeline.coverage import Gap, GapReason
from vidan.pipeline.stages import SourceHealth


@dataclass(slots=True)
class Earlier:
    """The sum of what was said, in the time of the stream.

    Attributes:
        decoded, delivered, corrupt, repaired_pts, reconnects, discontinuities: As in `SourceHealth`.
        problems: Sentences for people.
        gaps: Time without pictures, and between two sources.
        offset_seconds: Stream time at which the present source's own time begins.
    """

    decoded: int = 0
    delivered: int = 0
    corrupt: int = 0
    repaired_pts: int = 0
    reconnects: int = 0
    discontinuities: int = 0
    problems: list[str] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    offset_seconds: float = 0.0

    def add(self, health: SourceHealth) -> None:
        """Takes in what a source has said that is read no more."""
        for name in ("decoded", "delivered", "corrupt", "repaired_pts", "reconnects", "discontinuities"):
            setattr(self, name, getattr(self, name) + getattr(health, name))
        self.problems += [problem for problem in health.problems if problem not in self.problems]
        self.gaps += self.shifted(health.gaps)

    def shifted(self, gaps: list[tuple[float, float]]) -> list[Gap]:
        """Gaps of the present source in the time of the stream."""
        offset = self.offset_seconds
        return [Gap(start + offset, end + offset, GapReason.MISSING) for start, end in tuple(gaps)]
