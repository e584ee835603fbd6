"""What is wrong or odd in a data set, collected so that all of it can be told at once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from vidan.detector.data.samples import DataError

PROBLEMS_SHOWN = 10

logger = logging.getLogger(__name__)


class Severity(Enum):
    """What follows from a finding."""

    ERROR = "error"
    """Training refuses the data set until it is mended."""
    LEFT_OUT = "left out"
    """The picture or box is left out; the others are used."""
    NOTE = "note"
    """Everything is used as it is; worth a look."""


class FindingKind(Enum):
    """Kinds of findings; the value is the name that people read."""

    WRONG_ROW = "wrong row"
    WRONG_SIZE = "picture of another size"
    MISSING_PICTURE = "missing picture"
    CORRUPT_PICTURE = "corrupt picture"
    NO_AREA = "box without area"
    UNSEEN = "box beside the picture"
    REPEATED_ROW = "repeated row"
    OUTSIDE = "box reaches outside"
    DOUBLE = "two boxes on one object"
    NO_LABELS = "picture without label file"
    NO_PICTURE = "labels without picture"
    PASSED_OVER = "objects of other classes"
    TWICE = "picture twice"
    LEAK = "picture in train and val"

    @property
    def severity(self) -> Severity:
        return _SEVERITIES.get(self, Severity.NOTE)


_SEVERITIES = {
    FindingKind.WRONG_ROW: Severity.ERROR,
    FindingKind.WRONG_SIZE: Severity.ERROR,
    FindingKind.MISSING_PICTURE: Severity.LEFT_OUT,
    FindingKind.CORRUPT_PICTURE: Severity.LEFT_OUT,
    FindingKind.NO_AREA: Severity.LEFT_OUT,
    FindingKind.UNSEEN: Severity.LEFT_OUT,
    FindingKind.REPEATED_ROW: Severity.LEFT_OUT,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or odd.

    Attributes:
        kind: Of its sort.
        where: File, with the line or the object if there is one.
        what: Is wrong, in words; empty where the kind says all.
    """

    kind: FindingKind
    where: str
    what: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what or self.kind.value}"


class Findings(list[Finding]):
    """Findings in the order in which they were made."""

    def add(self, kind: FindingKind, where: object, what: str = "") -> None:
        self.append(Finding(kind, str(where), what))

    def add_passed_over(self, where: object, counts: Mapping[str, int]) -> None:
        """Notes of each class that is not learned how many objects it has: a misspelt name shows up here."""
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            self.add(FindingKind.PASSED_OVER, where, f"{count} of class {name!r} are passed over")

    def raise_errors(self) -> None:
        """Raises a DataError with the errors, the first ten in full, if there are any."""
        if errors := [str(finding) for finding in self if finding.kind.severity is Severity.ERROR]:
            raise DataError("\n".join(_shortened(errors)))

    def warn_of_pictures(self) -> None:
        """Logs which pictures are left out, the first ten by name."""
        kinds = (FindingKind.MISSING_PICTURE, FindingKind.CORRUPT_PICTURE)
        if pictures := [f"left out: {finding}" for finding in self if finding.kind in kinds]:
            for line in _shortened(pictures):
                logger.warning("%s", line)


def _shortened(lines: Iterable[str]) -> list[str]:
    first = list(lines)
    more = [f"and {len(first) - PROBLEMS_SHOWN} more"] if len(first) > PROBLEMS_SHOWN else []
    return [*first[:PROBLEMS_SHOWN], *more]
