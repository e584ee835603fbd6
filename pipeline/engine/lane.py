"""One stream's state: its tracker, its smoother and its rules. Same frames in, same results out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import replace

from vidan.detector import Detections
from vidan.pipeline.engine.judge import count, judge
from vidan.pipeline.engine.numbering import Numbering, later_id, shifted
from vidan.pipeline.engine.second_look import SecondLook
from vidan.pipeline.events import Event
from vidan.pipeline.frame import CountedFrame, Frame, FrameResult, Stamp
from vidan.pipeline.stages import Rule
from vidan.pipeline.telemetry import StreamTelemetry
from vidan.trackers import Affine, CameraMotion, FixedLagSmoother, Pace, Released, Stitched, Tracker, Tracks


class Lane:
    """Takes the frames of one stream, in order, from detections to events.

    Its `pace` tells whether the frames are enough for the speed of the objects.

    Args:
        tracker: Fresh, of this stream.
        smoother: Fresh, of this stream; it decides when the rules see a frame.
        second_look: Fresh, of this stream, if tracks are stitched before they are smoothed.
        rules: Asked in this order.
        camera: Fresh, of this stream, if it may move; the tracker then knows of every movement.
        numbering: Of the stream, where this lane follows another one.
        telemetry: Is told how long tracking and rules took; nothing depends on it.
    """

    def __init__(
        self,
        *,
        tracker: Tracker,
        smoother: FixedLagSmoother[Stamp],
        rules: Sequence[Rule],
        second_look: SecondLook | None = None,
        camera: CameraMotion | None = None,
        numbering: Numbering | None = None,
        telemetry: StreamTelemetry | None = None,
    ) -> None:
        self._tracker = tracker
        self._smoother = smoother
        self._rules = rules
        self.second_look = second_look
        self.pace = Pace()
        self._camera = camera
        self._numbering = numbering or Numbering()
        self._first_id = self._numbering.last_track
        self._renumbers = bool(self._first_id or self._numbering.told)
        self._generations: Counter[str] = Counter()  # of rules that took the place of one of the same name
        self._present: set[int] = set()  # tracks that the rules have seen and that have not ended
        self._counted: CountedFrame | None = None
        self._telemetry = telemetry or StreamTelemetry("")

    @property
    def rules(self) -> Sequence[Rule]:
        return tuple(self._rules)

    def step(self, frame: Frame, detections: Detections) -> FrameResult:
        """What is known after this frame; its events are about the earlier frames in `counted`."""
        stamp = frame.stamp
        with self._telemetry.busy("track"):
            motion = self._camera and self._camera.estimate(frame, detections.xyxy)
            tracks = shifted(self._tracker.update(detections, stamp.pts_seconds, motion), self._first_id)
            self._numbering.note_tracks(tracks)
            self.pace.note(tracks)
            released = self._release(stamp, tracks, detections, motion)
        return self._count(released, FrameResult(frame, detections, tracks, counted=(), events=()))

    def finish(self, last: FrameResult) -> FrameResult:
        """The result of the stream's last step, completed by what only the end of the stream decides."""
        with self._telemetry.busy("track"):
            ended = tuple(track_id + self._first_id for track_id in self._tracker.finish())
            stitched, ended = ([], ended) if self.second_look is None else self.second_look.finish(ended)
            released = [*self._smoothed(stitched), *self._smoother.finish(ended)]
        return self._count(released, last)

    def change_rules(self, rules: Sequence[Rule]) -> list[Event]:
        """Goes on with these rules, at the same tracks. Rules that are among them already keep what they know.

        To those that go, all tracks end at the last frame that was counted; those that come begin with that frame.

        Returns:
            What those that go say at their end and those that come at their beginning.
        """
        before, self._rules = self._rules, rules
        if self._counted is None:
            return []
        kept = {id(rule) for rule in rules}
        # Rules share what they see. Those that go are asked as copies, so that no track ends for those that stay.
        going = [copy for copy, rule in zip(deepcopy(before), before, strict=True) if id(rule) not in kept]
        coming = [rule for rule in rules if rule not in before]
        last = self._counted
        end = replace(last, tracks=Tracks.empty(ended=tuple(sorted(self._present))), dismissed=Tracks.empty())
        events = self._named(judge(going, [end])[0])
        self._renumbers = True
        self._generations.update({rule.name: 1 for rule in coming})
        begin = replace(last, tracks=replace(last.tracks, ended=()), dismissed=Tracks.empty())
        return events + self._named(judge(coming, [begin])[0])

    def _release(
        self, stamp: Stamp, tracks: Tracks, detections: Detections, motion: Affine | None
    ) -> list[Released[Stamp]]:
        if self.second_look is None:
            return self._smoother.push(stamp, stamp.pts_seconds, tracks)
        unclaimed = detections[self._tracker.unclaimed]
        return self._smoothed(self.second_look.push(stamp, tracks, unclaimed, motion))

    def _smoothed(self, stitched: Sequence[Stitched[Stamp]]) -> list[Released[Stamp]]:
        return [
            released
            for frame in stitched
            for released in self._smoother.push(frame.key, frame.pts_seconds, frame.tracks)
        ]

    def _count(self, released: Sequence[Released[Stamp]], result: FrameResult) -> FrameResult:
        with self._telemetry.busy("rules"):
            frames = [CountedFrame.of(frame) for frame in released]
            counted = count(self._rules, frames, FrameResult(result.frame, result.detections, result.tracks, (), ()))
            self._remember(frames)
            told = replace(
                counted,
                counted=(*result.counted, *counted.counted),
                events=(*result.events, *self._named(counted.events)),
                near_misses=(*result.near_misses, *self._named(counted.near_misses)),
            )
        if self.second_look is not None:
            self.second_look.note(told.events[len(result.events) :])
        return told

    def _remember(self, frames: Sequence[CountedFrame]) -> None:
        for frame in frames:
            self._present.update(frame.tracks.track_id.tolist())
            self._present.difference_update(frame.tracks.ended)
            self._counted = frame

    def _named(self, events: Iterable[Event]) -> list[Event]:
        """The events with ids that none has had before."""
        told = list(events)
        if not self._renumbers:
            for event in told:
                if event.track_id is None:
                    self._numbering.note(event)
            return told
        return [
            event
            if event.track_id is None or event.rule not in self._generations
            else replace(event, id=later_id(event.id, self._generations[event.rule]))
            for event in self._numbering.renumbered(told)
        ]
