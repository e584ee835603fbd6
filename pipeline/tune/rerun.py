"""Everything of a run behind its detector, for one setting: tracker, smoothing and rules, over what the network saw."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vidan.pipeline.build import lane_maker
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.engine.lane import Lane
from vidan.pipeline.events import Event
from vidan.pipeline.frame import FrameResult
from vidan.pipeline.telemetry import StageTimes
from vidan.pipeline.tune.clip import Clip
from vidan.trackers import MotRows, Tracks


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a setting says about a clip.

    Attributes:
        events: The event log.
        tracks: Per frame of the clip, the tracker's own boxes.
    """

    events: list[Event]
    tracks: list[Tracks]

    def rows(self, class_id: int) -> MotRows:
        """The tracks of a class, frames numbered from 1 in the order of the clip."""
        return MotRows.from_tracks([tracks[tracks.class_id == class_id] for tracks in self.tracks])


def answer(config: RunConfig, clip: Clip) -> Answer:
    """Counts a clip as a run of this config would: the same events, with the same ids."""
    make_lane = lane_maker(config, clip.class_names, StageTimes())
    lane: Lane | None = None
    result: FrameResult | None = None
    told: list[FrameResult] = []
    for seen in clip.frames:
        if lane is None:
            lane = make_lane(seen.frame)
        if result is not None:
            told.append(result)
        found = seen.found
        result = lane.step(seen.frame, found[found.confidence > config.detector.confidence])
    assert lane is not None  # a clip has frames
    assert result is not None
    told.append(lane.finish(result))
    counted = [frame for result in told for frame in result.counted]
    return Answer(
        [event for result in told for event in result.events],
        [replace(frame.tracks, xyxy=frame.observed_xyxy) for frame in counted],
    )
