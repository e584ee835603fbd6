"""One stream's state: its tracker, its smoother and its rules. Same frames in, same results out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from vidan.detector import Detections
from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.frame import CountedFrame, Frame, FrameResult, Stamp
from vidan.pipeline.stages import Rule, is_dismissing
from vidan.pipeline.telemetry import StageTimes
from vidan.trackers import CameraMotion, FixedLagSmoother, Released, Tracker


class Lane:
    """Takes the frames of one stream, in order, from detections to events.

    Args:
        tracker: Fresh, of this stream.
        smoother: Fresh, of this stream; it decides when the rules see a frame.
        rules: Asked in this order.
        camera: Fresh, of this stream, if it may move; the tracker then knows of every movement.
        times: Is told how long tracking and rules took; nothing depends on it.
    """

    def __init__(
        self,
        *,
        tracker: Tracker,
        smoother: FixedLagSmoother[Stamp],
        rules: Sequence[Rule],
        camera: CameraMotion | None = None,
        times: StageTimes | None = None,
    ) -> None:
        self._tracker = tracker
        self._smoother = smoother
        self._rules = rules
        self._camera = camera
        self._times = times or StageTimes()

    def step(self, frame: Frame, detections: Detections) -> FrameResult:
        """What is known after this frame; its events are about the earlier frames in `counted`."""
        stamp = frame.stamp
        with self._times.busy("track"):
            motion = self._camera and self._camera.estimate(frame, detections.xyxy)
            tracks = self._tracker.update(detections, stamp.pts_seconds, motion)
            released = self._smoother.push(stamp, stamp.pts_seconds, tracks)
        return self._count(released, FrameResult(frame, detections, tracks, counted=(), events=()))

    def finish(self, last: FrameResult) -> FrameResult:
        """The result of the stream's last step, completed by what only the end of the stream decides."""
        with self._times.busy("track"):
            released = self._smoother.finish(self._tracker.finish())
        return self._count(released, last)

    def _count(self, released: Sequence[Released[Stamp]], result: FrameResult) -> FrameResult:
        counted = tuple(
            CountedFrame(frame.key, frame.tracks, frame.observed_xyxy, frame.dismissed) for frame in released
        )
        with self._times.busy("rules"):
            return count(self._rules, counted, result)


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
