"""What should have been counted in a clip: as a person wrote it down, or as the rules count tracks drawn by hand.

Either way an answer is judged in single verdicts, each at a time of the clip, so that errors add up, and halves of the
clip can be judged apart. Single events are matched one to one within a tolerance; of counts per interval min(m, c) are
right and |m - c| wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from vidan.detector import Detections
from vidan.pipeline.build import describe_rules
from vidan.pipeline.build_rules import RuleBuilder
from vidan.pipeline.config.problems import did_you_mean
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.engine.judge import count
from vidan.pipeline.errors import ConfigError
from vidan.pipeline.events import Event
from vidan.pipeline.foreign_tracks import ForeignTracks, tracks_by_frame
from vidan.pipeline.frame import CountedFrame, FrameResult, Stamp
from vidan.pipeline.report.accuracy import compare_counts, compare_events
from vidan.pipeline.report.counts import COUNTED_KINDS, direction_of
from vidan.pipeline.report.manual import Countable, ManualCount, ManualEvent, Movement, read_manual
from vidan.pipeline.tune.clip import Clip
from vidan.trackers import FixedLagSmoother, MotRows, MotSequence, Tracks, read_sequences
from vidan.trackers.mot import PEDESTRIAN


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many were right and how many wrong at a moment of the clip, in stream seconds."""

    seconds: float
    right: int
    wrong: int


class Truth(Protocol):
    """What should have been counted."""

    @property
    def size(self) -> int:
        """How many there are to be counted."""
        ...

    def judge(self, events: Iterable[Event]) -> list[Verdict]:
        """How the events of an answer compare with it."""
        ...


@dataclass(frozen=True, slots=True)
class TrueCounts:
    """Counts per interval; a verdict per interval, at its middle."""

    counts: Sequence[ManualCount]
    groups: Mapping[str, frozenset[str]]

    @property
    def size(self) -> int:
        return sum(count.count for count in self.counts)

    def judge(self, events: Iterable[Event]) -> list[Verdict]:
        cells = [cell for accuracy in compare_counts(self.counts, events, self.groups) for cell in accuracy.cells]
        return [
            Verdict((cell.manual.start + cell.manual.end) / 2, min(cell.manual.count, cell.counted), abs(cell.error))
            for cell in cells
        ]


@dataclass(frozen=True, slots=True)
class TrueEvents:
    """Single events; a verdict for each that is true, missed, false or double.

    Attributes:
        events: All that there are to be found.
        groups: Classes by name of the class group.
        tolerance: Seconds by which an event may be off.
        label: Everything that is counted of this class is judged, where nothing was to be found, too; None: only the
            movements that the events name.
    """

    events: Sequence[ManualEvent]
    groups: Mapping[str, frozenset[str]]
    tolerance: float
    label: str | None = None

    @property
    def size(self) -> int:
        return len(self.events)

    def judge(self, events: Iterable[Event]) -> list[Verdict]:
        log = list(events)
        verdicts: list[Verdict] = []
        for accuracy in compare_events(self.events, log, self.groups, self.tolerance):
            verdicts += [Verdict(seconds, 1, 0) for seconds, _ in accuracy.true]
            verdicts += [Verdict(seconds, 0, 1) for seconds in accuracy.missed]
            verdicts += [Verdict(event.pts_seconds, 0, 1) for event in (*accuracy.false, *accuracy.double)]
        if self.label is not None:
            asked = {event.movement for event in self.events}
            verdicts += [
                Verdict(event.pts_seconds, 0, 1)
                for event in log
                if event.kind in COUNTED_KINDS and event.label == self.label and _movement_of(event) not in asked
            ]
        return verdicts


@dataclass(frozen=True, slots=True, eq=False)
class TrueTracks:
    """Boxes drawn by hand, for the frames of a clip.

    Attributes:
        name: Of the sequence.
        rows: All rows, frames numbered from 1 in the order of the clip's analysed frames.
        label: Class of the pedestrians.
    """

    name: str
    rows: MotRows
    label: str

    @property
    def people(self) -> MotRows:
        """Those that are to be found."""
        return self.rows[(self.rows.class_id == PEDESTRIAN) & (self.rows.confidence != 0)]


def read_tracks(path: Path, clip: Clip, label: str, first_frame: int) -> TrueTracks:
    """The ground truth of a clip, in MOTChallenge form.

    Args:
        path: The folder of a sequence, or its text file.
        clip: What it is about.
        label: Class of its boxes.
        first_frame: Its number of the clip's first picture.

    Raises:
        ConfigError: If it cannot be read, is about other frames, or the detector has no such class.
    """
    if label not in clip.class_names:
        near = did_you_mean(label, clip.class_names)
        raise ConfigError(f"--class {label}: the detector has no such class{near}; name one that it has")
    try:
        sequence = _only(path, read_sequences(path))
        last = int(sequence.truth.frame.max(initial=0)) - first_frame + 1
        first = int(sequence.truth.frame.min(initial=first_frame))
        if first < first_frame or last > clip.pictures:
            raise ValueError(
                f"{path} has boxes in frame {first if first < first_frame else last + first_frame - 1}, but the clip "
                f"has the frames {first_frame} to {clip.pictures + first_frame - 1}; does it begin elsewhere "
                "(--first-frame)?"
            )
        numbers = np.array([seen.frame.stamp.index + first_frame for seen in clip.frames])
        rows = sequence.truth[np.isin(sequence.truth.frame, numbers)]
        rows = replace(rows, frame=np.searchsorted(numbers, rows.frame) + 1)
        truth = TrueTracks(sequence.name, rows, label)
        _check(truth, clip, path)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return truth


def count_tracks(truth: TrueTracks, clip: Clip, config: RunConfig, tolerance: float) -> TrueEvents:
    """What the rules of a config count on true tracks, smoothed as a run smooths its own."""
    class_id = clip.class_names.index(truth.label)
    first = clip.frames[0].frame
    rules = RuleBuilder(config, clip.class_names, clip.name, first.width, first.height).build()
    smoother: FixedLagSmoother[Stamp] = FixedLagSmoother(config.tracker.smooth_seconds)
    events: list[Event] = []
    frames = zip(clip.frames, tracks_by_frame(truth.people, len(clip.frames), class_id), strict=True)
    for number, (seen, tracks) in enumerate(frames, start=1):
        stamp = seen.frame.stamp
        released = smoother.push(stamp, stamp.pts_seconds, tracks)
        if number == len(clip.frames):
            released += smoother.finish(())
        result = FrameResult(seen.frame, Detections.empty(), Tracks.empty(), (), ())
        events += count(rules, [CountedFrame.of(frame) for frame in released], result).events
    true = [
        ManualEvent(_movement_of(event), event.pts_seconds)
        for event in events
        if event.kind in COUNTED_KINDS and event.label == truth.label
    ]
    return TrueEvents(true, _groups(config), tolerance, truth.label)


def read_counts(path: Path, clip: Clip, config: RunConfig, tolerance: float) -> Truth:
    """Manual counts or events, as `vidan eval counts` reads them.

    Raises:
        ConfigError: With one line per problem.
    """
    infos = [info for info in describe_rules(config, clip.class_names) if info.directions]
    stamp = clip.frames[0].frame.stamp
    countable = Countable(
        {(info.stream, info.name): frozenset(info.directions) for info in infos},
        {(info.stream, info.name): frozenset(info.classes) for info in infos},
        _groups(config),
        {clip.name: stamp.utc},
        {clip.name: clip.seconds},
    )
    counts, events = read_manual(path, countable)
    return TrueCounts(counts, countable.groups) if counts else TrueEvents(events, countable.groups, tolerance)


def _movement_of(event: Event) -> Movement:
    return Movement(event.stream, event.rule, event.label, direction_of(event))


def _groups(config: RunConfig) -> dict[str, frozenset[str]]:
    return {name: frozenset(labels) for name, labels in config.class_groups.items()}


def _only(path: Path, sequences: Mapping[str, MotSequence]) -> MotSequence:
    if len(sequences) > 1:
        raise ValueError(f"{path} has the sequences {', '.join(sequences)}: name the folder of one")
    (sequence,) = sequences.values()
    return sequence


def _check(truth: TrueTracks, clip: Clip, path: Path) -> None:
    """Whether these are tracks at all.

    Raises:
        ValueError: If ids are missing or appear twice in a frame, or there is no box.
    """
    first = clip.frames[0].frame
    ForeignTracks(truth.name, path, truth.people, 1.0, len(clip.frames), (first.width, first.height))
    if not len(truth.people):
        raise ValueError(f"{path} has no box of a pedestrian in the frames of the clip")
