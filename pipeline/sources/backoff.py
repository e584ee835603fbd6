"""How long to wait before the next attempt: twice as long each time, and never at the same moment as others."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random


@dataclass(slots=True)
class Backoff:
    """Delays between attempts that fail one after another (exponential, with equal jitter).

    Half of each delay is left to chance, so that a hundred cameras behind one switch do not come back at once.

    Attributes:
        first_delay: Seconds before the second attempt, at most.
        max_delay: Seconds, at most, however many have failed; three times as long where hurry cannot help.
        attempts: That may fail in a row; None: any number.
        random: Where the jitter comes from.
        failed: Attempts that failed since the last success.
        last_delay: Seconds that were waited last.
    """

    first_delay: float = 1.0
    max_delay: float = 10.0
    attempts: int | None = None
    random: Random = field(default_factory=Random)
    failed: int = 0
    last_delay: float = 0.0

    @property
    def exhausted(self) -> bool:
        """True when no further attempt is allowed."""
        return self.attempts is not None and self.failed >= self.attempts

    def next_delay(self, *, longest: bool = False) -> float:
        """Seconds to wait after one more failure; `longest` where hurry cannot help."""
        doubled = min(self.first_delay * 2.0 ** min(self.failed, 60), self.max_delay)
        delay = 3 * self.max_delay if longest else doubled
        self.failed += 1
        self.last_delay = delay * (0.5 + 0.5 * self.random.random())
        return self.last_delay

    def reset(self) -> None:
        """An attempt succeeded."""
        self.failed = 0
