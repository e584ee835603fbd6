"""The second look at one stream's tracks, and what the rules would have counted without it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from vidan.detector import Detections
from vidan.pipeline.engine.judge import judge
from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.frame import CountedFrame, Stamp
from vidan.pipeline.stages import Rule
from vidan.trackers import Affine, FixedLagSmoother, Stitched, Stitcher, Tracks


class SecondLook:
    """Stitches tracks before the rules see them; rules of its own see them as they were, so that both can be told.

    Args:
        stitcher: Fresh, of this stream.
        smoother: Fresh, for the tracks as they were.
        rules: Fresh, the same ones as the lane asks.
    """

    def __init__(self, stitcher: Stitcher[Stamp], smoother: FixedLagSmoother[Stamp], rules: Sequence[Rule]) -> None:
        self._stitcher = stitcher
        self._smoother = smoother
        self._rules = rules
        self._before: Counter[tuple[str, EventKind, str]] = Counter()
        self._after: Counter[tuple[str, EventKind, str]] = Counter()

    def push(self, stamp: Stamp, tracks: Tracks, unclaimed: Detections, motion: Affine | None) -> list[Stitched[Stamp]]:
        """Takes in the newest frame, as `Stitcher.push`; those in which nothing can change any more, oldest first."""
        released = self._smoother.push(stamp, stamp.pts_seconds, tracks)
        self._before.update(_kinds(judge(self._rules, map(CountedFrame.of, released))[0]))
        return self._stitcher.push(stamp, stamp.pts_seconds, tracks, unclaimed, motion)

    def finish(self, ended: tuple[int, ...]) -> tuple[list[Stitched[Stamp]], tuple[int, ...]]:
        """All frames that still wait, and the ids alive to the end, for those of the tracker."""
        self._before.update(_kinds(judge(self._rules, map(CountedFrame.of, self._smoother.finish(ended)))[0]))
        return self._stitcher.finish(ended)

    def note(self, events: Iterable[Event]) -> None:
        """Takes in what the lane's rules said to the stitched tracks."""
        self._after.update(_kinds(events))

    def change_rules(self, rules: Sequence[Rule]) -> None:
        """Asks these rules from now on, fresh ones, about the tracks as they were."""
        self._rules = rules

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values: what was joined, filled and found, and how many events there were before and after."""
        kinds = sorted(self._before.keys() | self._after.keys())
        return {
            "joined": len(self._stitcher.joins),
            "filled_rows": self._stitcher.filled_rows,
            "found_rows": self._stitcher.found_rows,
            "events": [
                {"rule": rule, "kind": kind.value, "direction": direction or None}
                | {"before": self._before[rule, kind, direction], "after": self._after[rule, kind, direction]}
                for rule, kind, direction in kinds
            ],
        }


def _kinds(events: Iterable[Event]) -> list[tuple[str, EventKind, str]]:
    return [(event.rule, event.kind, event.details.get("direction", "")) for event in events]
