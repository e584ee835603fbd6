"""EvidenceSink: a picture per event, and a clip if asked, taken from the frames that just went by.

Events are committed late: when the object has settled behind the line, when a lost track is given up, a smoother's lag
after that. The picture is gone from the pipeline by then. A second pass over the source after the run could fetch it,
but a camera cannot be rewound, a file may be moved, and decoding twice is what a GPU run can least afford. So this sink
remembers the last seconds of each stream as decoded pictures, which costs memory (`MEMORY_BYTES` at most) and no time.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from av.error import FFmpegError

from vidan.pipeline.drawing import Point
from vidan.pipeline.errors import cannot_write
from vidan.pipeline.events import Event
from vidan.pipeline.frame import CountedFrame, Frame, FrameResult, Stamp
from vidan.pipeline.sinks.background import Background
from vidan.pipeline.sinks.mp4 import Disk, EvenCanvas, Mp4Encoder, choose_encoder
from vidan.pipeline.sinks.pictures import save_jpeg, shrink
from vidan.pipeline.stills import StillPainter

MEMORY_BYTES = 512 * 2**20  # of decoded pictures, all streams together; above it every second one is let go
PATH_SECONDS = 10.0  # of an object's past that are drawn
MOST_APART_SECONDS = 1.0  # between an event and the picture that shows it
CLIP_CRF = 28
QUEUE_LENGTH = 8  # stills that may wait for the disk, each with its picture

MakePainter: TypeAlias = Callable[[int, int], StillPainter]
Enlarge: TypeAlias = Callable[[FrameResult], FrameResult]


class EvidenceSink:
    """Writes ``<event id>.jpg`` and ``<event id>.mp4`` into a folder, on a thread of its own.

    Args:
        folder: Made here.
        painters: By stream; called once with the (height, width) of its first picture.
        rules: Names of those whose events are wanted; None for all.
        limit: Events with evidence, at most; see `Retention`.
        late_seconds: How long after it happened an event may be committed.
        stills: Whether pictures are written.
        clip_seconds: Before and after the event, or None for no clips.
        kept: Events of which there is evidence in the folder already, which counts towards the limit.
        enlarge: By stream, where its results are to be shown in other pictures than those that were analysed.

    Raises:
        SinkError: If the folder cannot be made or there is no encoder for clips.
    """

    def __init__(
        self,
        folder: Path,
        *,
        painters: Mapping[str, MakePainter],
        rules: Collection[str] | None = None,
        limit: int,
        late_seconds: float,
        stills: bool = True,
        clip_seconds: float | None = None,
        kept: Iterable[Event] = (),
        enlarge: Mapping[str, Enlarge] | None = None,
    ) -> None:
        self._folder = folder
        self._painters = painters
        self._enlarge = enlarge or {}
        self._rules = rules
        self._retention = Retention(limit)
        self._memory_seconds = late_seconds + 2 * (clip_seconds or 0.0)
        self._stills = stills
        self._clip_seconds = clip_seconds
        self._memories: dict[str, _Memory] = {}
        self._waiting: dict[str, Event] = {}  # for the end of their clips
        self._seconds = 0.0
        self._encoder = choose_encoder("h264") if clip_seconds is not None else ""
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_write("the evidence", folder, error) from error
        self._background: Background[Callable[[], None]] = Background(
            self._work, name="evidence", queue_length=QUEUE_LENGTH
        )
        for event in kept:
            admitted, dropped = self._retention.offer(event)
            if not admitted or dropped is not None:  # there may be fewer now
                self._background.put(partial(self._remove, dropped or event.id))

    @property
    def stage_seconds(self) -> Mapping[str, float]:
        """CPU seconds so far of the sink's thread: painting, JPEG, H.264, files."""
        return {"evidence": self._seconds}

    def write(self, result: FrameResult) -> None:
        """Remembers the picture, and takes evidence of the events.

        Raises:
            SinkError: Once, if earlier evidence could not be written.
            ValueError: If the sink is closed.
        """
        if self._background.closed:
            raise ValueError(f"{self._folder}: write after close")
        if (enlarge := self._enlarge.get(result.frame.stamp.stream)) is not None:
            result = enlarge(result)
        memory = self._memory_of(result.frame)
        memory.add(result)
        for event in result.events:
            if self._rules is not None and event.rule not in self._rules:
                continue
            if not memory.reaches(event):
                continue  # a journey is known when its track ends: no picture is better than a wrong one
            admitted, dropped = self._retention.offer(event)
            if admitted:
                self._take(event, memory)
            if dropped is not None:
                self._waiting.pop(dropped, None)
                self._background.put(partial(self._remove, dropped))
        if result.counted and self._waiting:
            self._cut_clips(result.frame.stamp.stream, result.counted[-1].stamp.pts_seconds)

    def close(self) -> None:
        """Completes what is under way; a second call does nothing.

        Raises:
            SinkError: If something could not be written and `write` had no chance to say so.
        """
        for stream in self._memories if not self._background.closed else ():
            self._cut_clips(stream, float("inf"))
        self._background.close()

    def _memory_of(self, frame: Frame) -> _Memory:
        """What is remembered of a stream; from the beginning where its pictures have another size from now on."""
        stream, size = frame.stamp.stream, (frame.height, frame.width)
        memory = self._memories.get(stream)
        if memory is None or (stream in self._enlarge and memory.size != size):
            if memory is not None:
                self._cut_clips(stream, float("inf"))
            max_bytes = MEMORY_BYTES // len(self._painters)
            memory = self._memories[stream] = _Memory(
                self._painters[stream](*size), size, self._memory_seconds, max_bytes
            )
        return memory

    def _take(self, event: Event, memory: _Memory) -> None:
        if self._stills:
            shot = memory.shot(event, memory.nearest(event))
            self._background.put(partial(self._write_still, event, memory.painter, shot))
        if self._clip_seconds is not None:
            self._waiting[event.id] = event

    def _cut_clips(self, stream: str, until: float) -> None:
        """Hands over the clips of a stream that are complete when its tracks are known up to a time."""
        around, memory = self._clip_seconds or 0.0, self._memories[stream]
        for event in [event for event in self._waiting.values() if event.stream == stream]:
            start, end = event.pts_seconds - around, event.pts_seconds + around
            if end <= until:
                del self._waiting[event.id]
                shots = [memory.shot(event, frame) for frame in memory.between(start, end)]
                self._background.put(partial(self._write_clip, event, memory.painter, shots))

    def _work(self, jobs: Iterator[Callable[[], None]]) -> None:
        try:
            for job in jobs:
                job()
                self._seconds = time.thread_time()
        except (FFmpegError, OSError) as error:
            raise cannot_write("the evidence", self._folder, error) from error

    def _write_still(self, event: Event, painter: StillPainter, shot: _Shot) -> None:
        picture = shot.frame.image.copy()
        painter.paint(picture, event, shot.frame.stamp, shot.boxes, shot.path)
        save_jpeg(self._folder / f"{event.id}.jpg", picture)

    def _write_clip(self, event: Event, painter: StillPainter, shots: Sequence[_Shot]) -> None:
        path = self._folder / f"{event.id}.mp4"
        draft = path.with_name(path.name + ".partial")
        encoder = Mp4Encoder(Disk(draft), self._encoder, CLIP_CRF, title=event.id)
        canvas: EvenCanvas | None = None
        try:
            try:
                for shot in shots:
                    stamp, picture = shot.frame.stamp, shot.frame.image.copy()
                    painter.paint(picture, event, stamp, shot.boxes, shot.path)
                    picture = shrink(picture)
                    canvas = canvas or EvenCanvas(*picture.shape[:2])
                    since = stamp.pts_seconds - shots[0].frame.stamp.pts_seconds
                    encoder.encode(canvas.to_i420(canvas.copy_of(picture)), replace(stamp, pts_seconds=since))
            finally:
                encoder.close()
            draft.replace(path)
        except (FFmpegError, OSError):
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise

    def _remove(self, event_id: str) -> None:
        for suffix in (".jpg", ".mp4"):
            (self._folder / f"{event_id}{suffix}").unlink(missing_ok=True)


class Retention:
    """Which events keep their evidence when there is room for so many only.

    First those that were not plainly seen (certainty `interpolated` or `bridged`), for they need a look most; then a
    uniform sample of the others, from which an auditor can estimate how many of all are wrong. The sample is drawn by
    event id, a hash: the same run keeps the same pictures, however often it is repeated and whatever came first.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: list[tuple[bool, int, str]] = []  # a heap, on top what would go first

    def offer(self, event: Event) -> tuple[bool, str | None]:
        """Whether the event is kept now, and the id of an earlier one that goes for it."""
        doubtful = event.details.get("certainty", "seen") != "seen"
        heapq.heappush(self._kept, (doubtful, -int(event.id, 16), event.id))
        if len(self._kept) <= self._limit:
            return True, None
        _, _, loser = heapq.heappop(self._kept)
        return loser != event.id, None if loser == event.id else loser


@dataclass(frozen=True, slots=True, eq=False)
class _Shot:
    """A picture and what is drawn on it; see `StillPainter.paint`."""

    frame: Frame
    boxes: dict[int, list[float]]
    path: list[Point]


class _Memory:
    """The last seconds of one stream: its pictures, and where everybody was."""

    def __init__(self, painter: StillPainter, size: tuple[int, int], seconds: float, max_bytes: int) -> None:
        self.painter = painter
        self.size = size
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._stride = 1
        self._seen = 0
        self._frames: deque[Frame] = deque()
        self._counted: deque[CountedFrame] = deque()

    def add(self, result: FrameResult) -> None:
        now = result.frame.stamp.pts_seconds
        if self._seen % self._stride == 0:
            self._frames.append(result.frame.unconverted())
        self._seen += 1
        while self._frames and self._frames[0].stamp.pts_seconds < now - self._seconds:
            self._frames.popleft()
        if sum(frame.height * frame.width * 3 // 2 for frame in self._frames) > self._max_bytes:
            self._stride *= 2
            self._frames = deque(list(self._frames)[::2])
        self._counted.extend(result.counted)
        while self._counted and self._counted[0].stamp.pts_seconds < now - self._seconds - PATH_SECONDS:
            self._counted.popleft()

    def reaches(self, event: Event) -> bool:
        """True if a picture of about the time of the event is still there."""
        return abs(self.nearest(event).stamp.pts_seconds - event.pts_seconds) <= MOST_APART_SECONDS

    def nearest(self, event: Event) -> Frame:
        """The picture in which the object was first observed after it happened, or the one nearest to it."""
        return min(self._frames, key=lambda frame: abs(frame.stamp.index - event.frame))

    def between(self, start: float, end: float) -> list[Frame]:
        return [frame for frame in self._frames if start <= frame.stamp.pts_seconds <= end]

    def shot(self, event: Event, frame: Frame) -> _Shot:
        stamp = frame.stamp
        since = stamp.pts_seconds - PATH_SECONDS
        path = [
            point
            for counted in self._counted
            if since <= counted.stamp.pts_seconds <= stamp.pts_seconds
            for point in _feet(counted, event.track_id)
        ]
        return _Shot(frame, self._boxes(stamp, event.track_id), path)

    def _boxes(self, stamp: Stamp, track_id: int | None) -> dict[int, list[float]]:
        for counted in self._counted:
            if counted.stamp.index == stamp.index:
                boxes = dict(zip(counted.tracks.track_id.tolist(), counted.tracks.xyxy.tolist(), strict=True))
                return {key: box for key, box in boxes.items() if track_id in (None, key)}
        return {}


def _feet(counted: CountedFrame, track_id: int | None) -> list[Point]:
    boxes = counted.tracks.xyxy[counted.tracks.track_id == (-1 if track_id is None else track_id)]
    return [(float(left + right) / 2, float(bottom)) for left, _, right, bottom in boxes.astype(np.float64)]
