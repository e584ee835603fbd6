"""One stream's state: its tracker, its smoother and its rules. Same frames in, same results out."""

from __future__ import annotations

from collections.abc import Sequence

from vidan.detector import Detections
from vidan.pipeline.engine.judge import count
from vidan.pipeline.engine.second_look import SecondLook
from vidan.pipeline.frame import CountedFrame, Frame, FrameResult, Stamp
from vidan.pipeline.stages import Rule
from vidan.pipeline.telemetry import StageTimes
from vidan.trackers import CameraMotion, FixedLagSmoother, Pace, Released, Stitched, Tracker, Tracks


class Lane:
    """Takes the frames of one stream, in order, from detections to events.

    Its `pace` tells whether the frames are enough for the speed of the objects.

    Args:
        tracker: Fresh, of this stream.
        smoother: Fresh, of this stream; it decides when the rules see a frame.
        second_look: Fresh, of this stream, if tracks are stitched before they are smoothed.
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
        second_look: SecondLook | None = None,
        camera: CameraMotion | None = None,
        times: StageTimes | None = None,
    ) -> None:
        self._tracker = tracker
        self._smoother = smoother
        self._rules = rules
        self.second_look = second_look
        self.pace = Pace()
        self._camera = camera
        self._times = times or StageTimes()

    def step(self, frame: Frame, detections: Detections) -> FrameResult:
        """What is known after this frame; its events are about the earlier frames in `counted`."""
        stamp = frame.stamp
        with self._times.busy("track"):
            motion = self._camera and self._camera.estimate(frame, detections.xyxy)
            tracks = self._tracker.update(detections, stamp.pts_seconds, motion)
            self.pace.note(tracks)
            released = self._release(stamp, tracks)
        return self._count(released, FrameResult(frame, detections, tracks, counted=(), events=()))

    def finish(self, last: FrameResult) -> FrameResult:
        """The result of the stream's last step, completed by what only the end of the stream decides."""
        with self._times.busy("track"):
            ended = self._tracker.finish()
            stitched, ended = ([], ended) if self.second_look is None else self.second_look.finish(ended)
            released = [*self._smoothed(stitched), *self._smoother.finish(ended)]
        return self._count(released, last)

    def _release(self, stamp: Stamp, tracks: Tracks) -> list[Released[Stamp]]:
        if self.second_look is None:
            return self._smoother.push(stamp, stamp.pts_seconds, tracks)
        return self._smoothed(self.second_look.push(stamp, tracks))

    def _smoothed(self, stitched: Sequence[Stitched[Stamp]]) -> list[Released[Stamp]]:
        return [
            released
            for frame in stitched
            for released in self._smoother.push(frame.key, frame.pts_seconds, frame.tracks)
        ]

    def _count(self, released: Sequence[Released[Stamp]], result: FrameResult) -> FrameResult:
        with self._times.busy("rules"):
            counted = count(self._rules, [CountedFrame.of(frame) for frame in released], result)
        if self.second_look is not None:
            self.second_look.note(counted.events[len(result.events) :])
        return counted
