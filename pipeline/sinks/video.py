"""AnnotatedVideoSink: one stream, painted and encoded with the source's own times, playable even after a kill.

Recorded footage becomes one file, a camera that never ends a row of segments.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from av.error import FFmpegError

from vidan.pipeline.annotate import Annotator
from vidan.pipeline.errors import cannot_write
from vidan.pipeline.events import Event
from vidan.pipeline.frame import CountedFrame, FrameResult
from vidan.pipeline.sinks.background import Background
from vidan.pipeline.sinks.mp4 import Disk, EvenCanvas, Mp4Encoder, choose_encoder
from vidan.pipeline.sinks.segments import SegmentedMp4, Segments

QUEUE_LENGTH = 4  # results hold whole pictures
MOST_LEFT = 5000  # frames of which trails are remembered while a disk hangs

_logger = logging.getLogger(__name__)


class AnnotatedVideoSink:
    """Paints the results of one stream and writes them as a fragmented MP4 on a thread of its own.

    A full queue makes `write` wait: recorded footage loses no picture. That of a live stream leaves the picture out,
    and what is known of it goes to the next one, so that running counts stay right and ended tracks are forgotten.

    The first failure (disk full, folder gone) is raised once, by the next `write` or by `close`; after it results are
    dropped, so that a run may go on without video. Segments have no such failures: they pause and go on.

    Args:
        path: File to write, or with `segments` the folder of the stream that they go to; its folder exists.
        stream: Name of the stream to keep; results of other streams are ignored.
        make_annotator: Called once with the (height, width) of the first picture.
        codec: Only "h264", which every browser plays.
        crf: Constant rate factor of x264, 0 (lossless) to 51; one step is about 12 % of the file size.
        segments: How long each file of a row of them is; None: one file.
        live: Whether the stream is a camera that nobody may keep waiting.
        enlarge: Gives results in other pictures than those that were analysed; these may change their size once in a
            row of segments.

    Raises:
        SinkError: If the file cannot be created or FFmpeg here was built without an encoder for `codec`.
    """

    def __init__(
        self,
        path: Path,
        *,
        stream: str,
        make_annotator: Callable[[int, int], Annotator],
        codec: str = "h264",
        crf: int = 26,
        segments: Segments | None = None,
        live: bool = False,
        enlarge: Callable[[FrameResult], FrameResult] | None = None,
    ) -> None:
        self.path = path
        self.left_out = 0  # pictures of a live stream that had no room in the queue
        self._stream = stream
        self._live = live
        self._enlarge = enlarge
        self._left_counted: tuple[CountedFrame, ...] = ()
        self._left_events: tuple[Event, ...] = ()
        self._make_annotator = make_annotator
        self._seconds = {"draw": 0.0, "encode": 0.0}
        encoder = choose_encoder(codec)
        try:
            if segments is None:
                self._encoder = Mp4Encoder(Disk(path), encoder, crf, title=stream)
            else:
                self._encoder = SegmentedMp4(path, segments, encoder=encoder, crf=crf, title=stream)
        except OSError as error:
            raise cannot_write("the annotated video", path, error) from error
        self._background = Background(self._work, name=f"video-{stream}", queue_length=QUEUE_LENGTH)

    @property
    def stage_seconds(self) -> Mapping[str, float]:
        """CPU seconds so far: ``draw`` (picture to RGB, copy, paint) and ``encode`` (to YUV, H.264, file).

        The encoder runs in the sink's thread and in no other, so the thread's own clock sees all of it.
        """
        return dict(self._seconds)

    def write(self, result: FrameResult) -> None:
        """Queues a result of this stream; waits while the queue is full, unless the stream is live.

        Raises:
            SinkError: Once, if an earlier picture could not be written.
            ValueError: If the sink is closed.
        """
        if result.frame.stamp.stream != self._stream:
            return
        if self._background.closed:
            raise ValueError(f"{self.path}: write after close")
        if self._enlarge is not None:
            result = self._enlarge(result)
        if not self._live:
            self._background.put(result)
            return
        counted = (*self._left_counted, *result.counted)
        events = (*self._left_events, *result.events)
        if self._background.offer(replace(result, counted=counted, events=events)):
            self._left_counted, self._left_events = (), ()
        else:
            self._left_counted, self._left_events = counted[-MOST_LEFT:], events
            self.left_out += 1

    def close(self) -> None:
        """Encodes what is queued and completes the file; a second call does nothing.

        Raises:
            SinkError: If something could not be written and `write` had no chance to say so.
        """
        is_news = not self._background.closed
        self._background.close()
        if is_news and self.left_out:
            _logger.warning(
                "%d pictures were left out of the video of %s: it was written more slowly than they came",
                self.left_out, self._stream,
            )  # fmt: skip

    def _work(self, results: Iterator[FrameResult]) -> None:
        try:
            self._paint_and_encode(results)
        except (FFmpegError, OSError) as error:
            raise cannot_write("the annotated video", self.path, error) from error

    def _paint_and_encode(self, results: Iterator[FrameResult]) -> None:
        annotator = canvas = None
        began = time.thread_time()
        try:
            for result in results:
                frame = result.frame
                size = frame.height, frame.width
                if annotator is None or canvas is None or (self._enlarge is not None and size != canvas.size):
                    before, annotator = annotator, self._make_annotator(*size)
                    if before is not None:
                        annotator.follow(before)
                    canvas = EvenCanvas(*size)
                picture = canvas.copy_of(frame.image)
                annotator.paint(picture, result)
                drawn = time.thread_time()
                self._encoder.encode(canvas.to_i420(picture), frame.stamp)
                self._seconds["draw"] += drawn - began
                began = time.thread_time()
                self._seconds["encode"] += began - drawn
        finally:
            self._encoder.close()
            self._seconds["encode"] += time.thread_time() - began
