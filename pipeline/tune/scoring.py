"""Which setting is best, and how much that is worth.

The law: fewest wrong counts; among equals the largest HOTA, where it is known; then the fewest changed values; then the
first that was tried. The config as it is comes first, so that it stays where nothing is better.

Whoever tries many settings on one clip finds one that fits it by chance. Against that two numbers stand beside the
choice: Wilson's interval of the share that is wrong, and the errors of the same choice made on one half of the clip and
judged on the other, and the other way round (two-fold cross-validation; Stone, J. R. Stat. Soc. B 36, 1974).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from vidan.pipeline.report.accuracy import wilson
from vidan.pipeline.tune.sweep import Setting
from vidan.pipeline.tune.truth import Verdict

FEW = 30
"""True events below which a choice means little."""


@dataclass(frozen=True, slots=True)
class Score:
    """How well a setting counts the clip.

    Attributes:
        setting: Which.
        verdicts: On everything that it counted or should have.
        hota: 0..1, None where no true tracks are given.
        idf1: Likewise.
    """

    setting: Setting
    verdicts: Sequence[Verdict]
    hota: float | None = None
    idf1: float | None = None

    @property
    def right(self) -> int:
        return sum(verdict.right for verdict in self.verdicts)

    @property
    def wrong(self) -> int:
        """Missed, false and double ones; for counts per interval the sum of their errors without signs."""
        return sum(verdict.wrong for verdict in self.verdicts)

    def wrong_interval(self) -> tuple[float, float]:
        """95 % of the share that is wrong, of all that is right or wrong."""
        return wilson(self.wrong, self.right + self.wrong)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Errors on halves of the clip by which a setting was not chosen; None where the clip cannot be halved.

    Attributes:
        chosen: Of the settings that the other half would choose.
        configured: Of the config as it is, on the same.
    """

    chosen: int
    configured: int


def ranked(scores: Sequence[Score]) -> list[Score]:
    """The scores by the law of this file, the best first.

    Args:
        scores: In the order in which they were tried.
    """
    return sorted(scores, key=lambda score: (score.wrong, -(score.hota or 0.0), score.setting.changed))


def as_good(scores: Sequence[Score]) -> int:
    """How many settings, the best included, make no more errors than its interval allows."""
    best = ranked(scores)[0]
    high = best.wrong_interval()[1]
    return sum(score is best or score.wrong <= high * (score.right + score.wrong) for score in scores)


def hold_out(scores: Sequence[Score]) -> HeldOut | None:
    """Chooses by each half of the clip, and judges on the other.

    HOTA is of the whole clip, so it takes no part: what it says of the other half must not be known.

    Args:
        scores: In the order in which they were tried, the config as it is first.
    """
    times = [verdict.seconds for score in scores[:1] for verdict in score.verdicts]
    if len(times) < 2:
        return None
    middle = median(times)
    chosen = configured = 0
    for is_late in (False, True):
        on_other = [_wrong(score, middle, not is_late) for score in scores]
        best = min(range(len(scores)), key=lambda i: (on_other[i], scores[i].setting.changed, i))
        chosen += _wrong(scores[best], middle, is_late)
        configured += _wrong(scores[0], middle, is_late)
    return HeldOut(chosen, configured)


def _wrong(score: Score, middle: float, is_late: bool) -> int:
    return sum(verdict.wrong for verdict in score.verdicts if (verdict.seconds >= middle) == is_late)
