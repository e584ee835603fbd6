"""The annotated videos of a run: one file for recorded footage, rows of segments for what never ends."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from vidan.pipeline.build_painters import Painters
from vidan.pipeline.config.outputs import VideoOutputConfig
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.config.streams import StreamConfig, is_live
from vidan.pipeline.errors import cannot_write
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks.segments import Segments
from vidan.pipeline.sinks.shelf import SegmentShelf
from vidan.pipeline.sinks.video import AnnotatedVideoSink
from vidan.pipeline.sources.main_pictures import MainPictures
from vidan.pipeline.stages import Sink

CAMERA_SEGMENT_SECONDS = 600.0  # where the config says nothing: a video of a camera has no end of its own
GIGABYTE = 10**9


def build_videos(
    config: RunConfig, folder: RunFolder, painters: Painters, mains: Mapping[str, MainPictures]
) -> list[Sink]:
    """The sinks of all annotated videos, and the shelf of their segments if there are any.

    Raises:
        SinkError: If a file or folder cannot be made.
    """
    wanted = config.output.video
    if wanted is None:
        return []
    names = [stream.name for stream in config.streams]
    lengths = [_segment_seconds(stream, wanted) for stream in config.streams]
    shelf = None if lengths == [None] * len(lengths) else _shelf(wanted, folder)
    sinks: list[Sink] = [] if shelf is None else [shelf]
    for stream, seconds in zip(config.streams, lengths, strict=True):
        segments = None if shelf is None or seconds is None else Segments(shelf, seconds)
        sinks.append(
            AnnotatedVideoSink(
                folder.next_video(stream.name, names) if segments is None else folder.segments / stream.name,
                stream=stream.name,
                make_annotator=partial(painters.annotator, stream.name),
                codec=wanted.codec,
                crf=wanted.crf,
                segments=segments,
                live=is_live(stream.source),
                enlarge=mains[stream.name].enlarge if stream.name in mains else None,
            )
        )
    return sinks


def video_outputs(config: RunConfig, folder: RunFolder) -> list[Path]:
    """The files of the videos that are to be written, and the folder of their segments."""
    wanted = config.output.video
    if wanted is None:
        return []
    names = [stream.name for stream in config.streams]
    return [
        folder.next_video(stream.name, names) if _segment_seconds(stream, wanted) is None else folder.segments
        for stream in config.streams
    ]


def _segment_seconds(stream: StreamConfig, wanted: VideoOutputConfig) -> float | None:
    if wanted.segment_seconds is not None:
        return wanted.segment_seconds
    return CAMERA_SEGMENT_SECONDS if is_live(stream.source) else None


def _shelf(wanted: VideoOutputConfig, folder: RunFolder) -> SegmentShelf:
    try:
        folder.segments.mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write("the video segments", folder.segments, error) from error
    return SegmentShelf(
        folder.segments,
        keep_seconds=None if wanted.keep_hours is None else wanted.keep_hours * 3600,
        keep_bytes=None if wanted.keep_gigabytes is None else round(wanted.keep_gigabytes * GIGABYTE),
        reserve_bytes=round(wanted.reserve_gigabytes * GIGABYTE),
    )
