"""AnnotatedVideoSink: one stream, painted and encoded with the source's own times, playable even after a kill."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from av.error import FFmpegError

from vidan.pipeline.annotate import Annotator
from vidan.pipeline.errors import cannot_write
from vidan.pipeline.frame import FrameResult
from vidan.pipeline.sinks.background import Background
from vidan.pipeline.sinks.mp4 import Disk, EvenCanvas, Mp4Encoder, choose_encoder

QUEUE_LENGTH = 4  # results hold whole pictures


class AnnotatedVideoSink:
    """Paints the results of one stream and writes them as a fragmented MP4 on a thread of its own.

    A full queue makes `write` wait: recorded footage loses no picture. The first failure (disk full, folder gone) is
    raised once, by the next `write` or by `close`; after it results are dropped, so that a run may go on without video.

    Args:
        path: File to write; its folder exists.
        stream: Name of the stream to keep; results of other streams are ignored.
        make_annotator: Called once with the (height, width) of the first picture.
        codec: Only "h264", which every browser plays.
        crf: Constant rate factor of x264, 0 (lossless) to 51; one step is about 12 % of the file size.

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
    ) -> None:
        self.path = path
        self._stream = stream
        self._make_annotator = make_annotator
        self._seconds = {"draw": 0.0, "encode": 0.0}
        encoder = choose_encoder(codec)
        try:
            self._encoder = Mp4Encoder(Disk(path), encoder, crf, title=stream)
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
        """Queues a result of this stream, waits while the queue is full.

        Raises:
            SinkError: Once, if an earlier picture could not be written.
            ValueError: If the sink is closed.
        """
        if result.frame.stamp.stream != self._stream:
            return
        if self._background.closed:
            raise ValueError(f"{self.path}: write after close")
        self._background.put(result)

    def close(self) -> None:
        """Encodes what is queued and completes the file; a second call does nothing.

        Raises:
            SinkError: If something could not be written and `write` had no chance to say so.
        """
        self._background.close()

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
                if annotator is None or canvas is None:
                    annotator = self._make_annotator(frame.height, frame.width)
                    canvas = EvenCanvas(frame.height, frame.width)
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
