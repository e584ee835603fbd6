"""Tracks of another tracker as a run of vidan: a folder with run.json and tracks, whose rules can be counted by replay.

A MOTChallenge file has no clock and no classes: time is (frame - 1) / fps, and all boxes are of one class. It does not
say which frames were looked at, so all up to the last one count as observed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from vidan.detector import Detections
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.errors import ConfigError
from vidan.pipeline.frame import CountedFrame, Frame, FrameResult, Stamp
from vidan.pipeline.manifest import Manifest, RunStatus
from vidan.pipeline.provenance import hash_files
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks.tracks import TrackStore
from vidan.pipeline.stages import SourceHealth
from vidan.pipeline.stream_record import StreamRecord
from vidan.trackers import FixedLagSmoother, MotRows, Tracks


@dataclass(frozen=True, slots=True, eq=False)
class ForeignTracks:
    """What another tracker said of one stream.

    Attributes:
        name: Of the stream.
        path: Where it was written.
        rows: Its boxes; a confidence of 0 stands for a box that was put between two sightings.
        fps: Frames per second.
        frame_count: Frames are numbered from 1 to this.
        size: Width and height of the pictures in pixels.
    """

    name: str
    path: Path
    rows: MotRows
    fps: float
    frame_count: int
    size: tuple[int, int]

    def __post_init__(self) -> None:
        last = int(self.rows.frame.max(initial=0))
        if last > self.frame_count:
            raise ValueError(f"{self.path} has boxes in frame {last}, but there are only {self.frame_count} frames")
        if (self.rows.track_id < 0).any():
            frame = self.rows.frame[self.rows.track_id < 0][0]
            raise ValueError(f"{self.path}: frame {frame} has a box without id (below 0): detections are no tracks")
        keys = np.stack([self.rows.frame, self.rows.track_id], axis=1)
        unique, times = np.unique(keys, axis=0, return_counts=True)
        if len(unique) < len(keys):
            frame, track_id = unique[times > 1][0]
            raise ValueError(f"{self.path}: id {track_id} appears twice in frame {frame}")


def import_tracks(
    streams: Sequence[ForeignTracks], output: Path, *, label: str, smooth_seconds: float, overwrite: bool = False
) -> RunFolder:
    """Writes a run folder for the tracks.

    Args:
        streams: Each with a name of its own.
        output: Where the folder should go; an earlier one is kept unless `overwrite` says otherwise.
        label: Class of all boxes.
        smooth_seconds: As `tracker.smooth_seconds`: half the window over which counted boxes are smoothed; 0: not.

    Raises:
        SinkError: If something cannot be written.
        ConfigError: If a stream's name cannot be one.
    """
    config = _config_of(streams)
    folder = RunFolder.create(output, overwrite=overwrite)
    manifest = Manifest(
        config=config,
        detector={"model": "imported tracks", "classes": [label], "kept_classes": None},
        inputs={str(stream.path): hash_files([stream.path]) for stream in streams},
        streams=[_account(stream) for stream in streams],
        outputs=[folder.tracks.name],
    )
    manifest.write(folder.manifest)
    store = TrackStore(folder.tracks, [label])
    try:
        for stream in streams:
            for result in _results(stream, smooth_seconds):
                store.write(result)
    finally:
        store.close()
    manifest.finish(RunStatus.COMPLETE)
    manifest.write(folder.manifest)
    return folder


def _config_of(streams: Sequence[ForeignTracks]) -> dict[str, object]:
    """The effective config of a run with these streams and no rules."""
    plain = {"streams": [{"name": stream.name, "source": str(stream.path)} for stream in streams]}
    try:
        return RunConfig.model_validate(plain).model_dump(mode="json", by_alias=True)
    except ValidationError as error:
        problem = error.errors()[0]
        told = problem["msg"].removeprefix("Value error, ")
        raise ConfigError(f"stream {problem['input']!r}: {told}; give another name with --name") from error


def _account(stream: ForeignTracks) -> StreamRecord:
    seconds, frames = stream.frame_count / stream.fps, stream.frame_count
    health = SourceHealth(frames, frames, frames, duration_seconds=seconds, end_seconds=seconds)
    width, height = stream.size
    return StreamRecord(stream.name, str(stream.path), health, frames, seconds=seconds, height=height, width=width)


def _results(stream: ForeignTracks, smooth_seconds: float) -> Iterator[FrameResult]:
    """The frames as a lane would have given them to the store."""
    smoother: FixedLagSmoother[Stamp] = FixedLagSmoother(smooth_seconds)
    width, height = stream.size
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    for index, tracks in enumerate(tracks_by_frame(stream.rows, stream.frame_count)):
        stamp = Stamp(stream.name, index, index / stream.fps)
        released = smoother.push(stamp, stamp.pts_seconds, tracks)
        if index == stream.frame_count - 1:
            released += smoother.finish(())
        counted = tuple(map(CountedFrame.of, released))
        yield FrameResult(Frame(stamp, height, width, _refuse), nothing, tracks, counted, ())


def tracks_by_frame(rows: MotRows, frame_count: int, class_id: int = 0) -> Iterator[Tracks]:
    """One `Tracks` for each of the frames 1 to `frame_count`; a track ends where it has its last box.

    Args:
        rows: Boxes with ids.
        frame_count: How many frames there are.
        class_id: Of all boxes.
    """
    order = np.lexsort((rows.track_id, rows.frame))
    rows = rows[order]
    _, last_from_behind = np.unique(rows.track_id[::-1], return_index=True)
    is_last = np.zeros(len(rows), np.bool_)
    is_last[len(rows) - 1 - last_from_behind] = True
    bounds = np.searchsorted(rows.frame, np.arange(1, frame_count + 2))
    for start, stop in pairwise(bounds):
        present = rows[start:stop]
        count = len(present)
        yield Tracks(
            present.track_id,
            present.xyxy.astype(np.float32),
            np.clip(present.confidence, 0, 1).astype(np.float32),
            np.full(count, class_id, np.int64),
            np.ones(count, np.float32),
            np.ones(count, np.bool_),
            present.confidence != 0,
            tuple(present.track_id[is_last[start:stop]].tolist()),
        )


def _refuse() -> NDArray[np.uint8]:
    raise ValueError("imported tracks have no pictures")
