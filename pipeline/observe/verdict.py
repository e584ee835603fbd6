"""What an observation says: findings, each with its figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    UNREACHED = "unreached"
    UNCROSSED = "uncrossed"
    NEAR_EDGE = "near_edge"
    BROKEN = "broken"
    PARALLEL = "parallel"
    EMPTY = "empty"
    NOBODY = "nobody"
    SLOW_FRAMES = "slow_frames"
    SMALL_OBJECTS = "small_objects"
    UNJOINED = "unjoined"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is to be changed.

    Attributes:
        kind: What.
        text: One or two sentences: the figure, and what to do.
    """

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a sample says about one rule, or about the stream as a whole.

    Attributes:
        name: Of the rule; "frame rate" or "object size" for the stream.
        type: `line`, `zone` or `stream`.
        summary: The figures in words.
        figures: The same as numbers, None where the sample has none.
        findings: Empty if all is well.
        served: Ids of the tracks that a line counts well.
    """

    name: str
    type: str
    summary: str
    figures: Mapping[str, float | int | None]
    findings: tuple[Finding, ...] = ()
    served: frozenset[int] = frozenset()
