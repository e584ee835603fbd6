"""One stream of frames from a camera that may go away and come back: RTSP, HTTP, MPEG-TS over UDP, a device."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import av
from av.error import FFmpegError

from vidan.pipeline.errors import SourceError
from vidan.pipeline.frame import Frame, Stamp
from vidan.pipeline.sources.addresses import Address
from vidan.pipeline.sources.backoff import Backoff
from vidan.pipeline.sources.connection import Arrival, Connection, Opened
from vidan.pipeline.sources.conversion import FrameMaker, Orientation
from vidan.pipeline.sources.failures import CameraError, FailureKind
from vidan.pipeline.sources.live_clock import LiveClock
from vidan.pipeline.sources.thinning import Thinning
from vidan.pipeline.stages import SourceHealth

BARREN_TIMEOUTS = 3  # read time-outs in which packets come and no picture, until the connection is given up

_logger = logging.getLogger(__name__)


class CameraSource:
    """A camera as a stream without an end; it is read once, by one thread, and `close` may come from another.

    Nothing is opened before the first frame is asked for: a camera that is absent is waited for, and the size of its
    pictures is not known before the first one. All frames have the size of the first; pictures of another size are
    scaled to it, so that lines and zones keep their places.

    Args:
        name: Of the stream.
        address: Where the camera is.
        connect_timeout: Seconds until it must be connected.
        read_timeout: Seconds between two packets, at most; a camera that is silent for longer is connected anew.
        backoff: How long to wait between attempts, and how many may fail in a row.
        accelerate: Decode on a GPU (CUDA), if it can be had.
        stride: Hand out every n-th picture.
        max_fps: Hand out at most so many pictures per second.
        clock: Of the stream.

    Attributes:
        height: Pixels of all frames, None before the first.
        width: Pixels of all frames, None before the first.
    """

    live = True

    def __init__(
        self,
        name: str,
        address: Address,
        *,
        connect_timeout: float = 10.0,
        read_timeout: float = 10.0,
        backoff: Backoff | None = None,
        accelerate: bool = False,
        stride: int = 1,
        max_fps: float | None = None,
        clock: LiveClock | None = None,
    ) -> None:
        self._name = name
        self._address = address
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._backoff = backoff or Backoff()
        self._accelerate = accelerate
        self._thinning = Thinning(stride, max_fps)
        self._clock = clock or LiveClock()
        self._health = SourceHealth(state="connecting")
        self._health.gaps = self._clock.gaps
        self._frames = FrameMaker(self._health.problems)
        self._closing = threading.Event()
        self._connection: Connection | None = None
        self._connected_before = False

    @property
    def name(self) -> str:
        return self._name

    @property
    def height(self) -> int | None:
        return self._frames.height

    @property
    def width(self) -> int | None:
        return self._frames.width

    @property
    def start_time(self) -> datetime | None:
        """Wall-clock time of stream second 0: of the first picture, or of the first attempt if that failed."""
        return self._clock.start_time

    @property
    def health(self) -> SourceHealth:
        return self._health

    def __iter__(self) -> Iterator[Frame]:
        """The frames, until `close`.

        Raises:
            SourceError: If as many attempts to connect have failed in a row as are allowed.
        """
        asked = time.monotonic()
        try:
            while not self._closing.is_set():
                try:
                    yield from self._play()
                except CameraError as failure:
                    if self._closing.is_set():
                        break
                    self._clock.begin_at(asked)  # if there has been no picture yet, the time without one is a gap
                    self._health.start_utc = self._clock.start_time
                    self._wait_after(failure)
        finally:
            self._health.state = "ended"
            if self._health.decoded:
                self._health.end_seconds = self._clock.finish()

    def close(self) -> None:
        """Ends the stream, wherever it waits; may be called twice, and while another thread reads."""
        self._closing.set()
        connection = self._connection
        if connection is not None:
            connection.close()

    def describe(self) -> dict[str, Any]:
        """What is read, in plain values for the manifest."""
        return {
            "type": self._address.kind,
            "url": str(self._address),
            "width": self.width,
            "height": self.height,
        }

    def _play(self) -> Iterator[Frame]:
        """The frames of one connection, which ends with a failure.

        Raises:
            CameraError: Always, in the end.
        """
        connection = self._connection = Connection(
            self._name,
            self._address,
            connect_timeout=self._connect_timeout,
            read_timeout=self._read_timeout,
            accelerate=self._accelerate,
        )
        try:
            if self._closing.is_set():  # `close` came before there was a connection to close
                return
            opened = connection.wait_opened()
            self._note_opened(opened)
            began = latest = time.monotonic()
            overrun = 0
            while True:
                arrival = connection.next_arrival()
                overrun = self._note_overrun(connection.overrun, overrun)
                for frame in self._decode(opened, arrival):
                    latest = arrival.seconds
                    self._note_playing(arrival.seconds - began)
                    if (made := self._make(frame, arrival)) is not None:
                        yield made
                if arrival.seconds - latest > BARREN_TIMEOUTS * self._read_timeout:
                    raise CameraError(
                        FailureKind.UNDECODABLE,
                        f"no picture can be decoded from what the camera has sent for {arrival.seconds - latest:.0f} s",
                    )
        finally:
            connection.close()

    def _decode(self, opened: Opened, arrival: Arrival) -> list[av.VideoFrame]:
        """The good pictures that a packet completes; a packet of which a part was lost on the way may give one."""
        self._health.corrupt += arrival.packet.is_corrupt
        try:
            frames = opened.codec.decode(arrival.packet)
        except FFmpegError:
            self._health.corrupt += 1
            return []
        good = [frame for frame in frames if not frame.is_corrupt]
        self._health.corrupt += len(frames) - len(good)
        return good

    def _make(self, frame: av.VideoFrame, arrival: Arrival) -> Frame | None:
        """The frame of a picture, held until it is due; None where it is left out."""
        jumps = self._clock.discontinuities
        seconds = self._clock.advance(frame.pts, arrival.seconds)
        if self._clock.discontinuities > jumps:
            self._note_jump(seconds)
        stamp = Stamp(self._name, self._health.decoded, seconds, self._clock.utc(seconds))
        if (step := self._clock.wall_step()) != 0.0:
            self._note_step(step)
        self._health.decoded += 1
        self._health.repaired_pts = self._clock.repaired
        self._health.end_seconds = self._clock.end_seconds
        if self._address.paced and self._closing.wait(max(0.0, self._clock.due(seconds) - time.monotonic())):
            return None
        if not self._thinning.keeps(stamp.index, seconds):
            return None
        self._health.delivered += 1
        return self._frames.make(stamp, frame, Orientation.of(frame))

    def _note_opened(self, opened: Opened) -> None:
        is_paced = self._address.paced and opened.is_timed
        self._clock.begin(opened.time_base, opened.frame_seconds, is_timed=opened.is_timed, is_paced=is_paced)
        self._health.state = "playing"
        if self._connected_before:
            self._health.reconnects += 1
        self._connected_before = True
        size = f"{opened.codec.width}×{opened.codec.height} {opened.codec.name}"
        _logger.info("stream %s: connected, %s", self._name, size)
        if self._accelerate and not opened.is_accelerated:
            told = "pictures are decoded on the CPU: no GPU of this machine can decode this stream"
            if told not in self._health.problems:
                _logger.warning("stream %s: %s", self._name, told)
            self._note_once(told)

    def _note_playing(self, seconds: float) -> None:
        """A picture came: after as long as the last wait the camera is thought to be well again."""
        if self._backoff.failed and seconds > self._backoff.last_delay:
            self._backoff.reset()

    def _note_jump(self, seconds: float) -> None:
        self._health.discontinuities = self._clock.discontinuities
        _logger.warning("stream %s: the camera's clock jumped; time goes on at %.1f s", self._name, seconds)

    def _note_step(self, step: float) -> None:
        told = f"the clock of this machine was set by {step:+.0f} s; times of this run go on as they were"
        _logger.warning("stream %s: %s", self._name, told)
        self._note_once(told)

    def _note_overrun(self, overrun: int, known: int) -> int:
        if overrun > known:
            _logger.warning("stream %s: decoding is too slow, %d packets were thrown away", self._name, overrun - known)
            self._note_once("pictures come faster than this machine can decode them; some were thrown away")
        return overrun

    def _wait_after(self, failure: CameraError) -> None:
        """Waits until the next attempt, and is said to wait until one succeeds.

        Raises:
            SourceError: If there is none.
        """
        message = str(failure)
        delay = self._backoff.next_delay(longest=failure.kind.needs_people)
        is_news = message != self._health.last_error or _is_power_of_two(self._backoff.failed)
        self._health.last_error = message
        self._health.state = "waiting"
        if self._backoff.exhausted:
            raise SourceError(f"{self._address}: {message}; given up after {self._backoff.failed} attempts")
        if is_news:  # a camera that is away for a night must not fill the disk
            _logger.warning("stream %s: %s; attempt %d in %.1f s", self._name, message, self._backoff.failed + 1, delay)
        self._note_once(message)
        self._closing.wait(delay)

    def _note_once(self, problem: str) -> None:
        if problem not in self._health.problems:
            self._health.problems.append(problem)


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0
