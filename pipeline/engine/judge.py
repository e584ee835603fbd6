"""What rules say to frames: the same whether a lane asks them or tracks are counted again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.frame import CountedFrame, FrameResult
from vidan.pipeline.stages import Rule, is_dismissing


def count(rules: Sequence[Rule], frames: Sequence[CountedFrame], result: FrameResult) -> FrameResult:
    """The result with these frames added, and what the rules say to them. Counting again from stored tracks is this."""
    events, near_misses = judge(rules, frames)
    return replace(
        result,
        counted=(*result.counted, *frames),
        events=(*result.events, *events),
        near_misses=(*result.near_misses, *near_misses),
    )


def judge(rules: Sequence[Rule], frames: Iterable[CountedFrame]) -> tuple[list[Event], list[Event]]:
    """What rules say to frames, in order: the events, and the near misses apart from them."""
    noticed: list[Event] = []
    dismissing = [rule for rule in rules if is_dismissing(rule)]
    for frame in frames:
        for rule in rules:
            noticed += rule.update(frame.stamp, frame.tracks)
        if len(frame.dismissed):
            for rule in dismissing:
                noticed += rule.dismiss(frame.stamp, frame.dismissed)
    events = [event for event in noticed if event.kind is not EventKind.NEAR_MISS]
    return events, [event for event in noticed if event.kind is EventKind.NEAR_MISS]
