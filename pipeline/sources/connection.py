"""One connection to a camera: a thread that opens it and takes in what it sends, so that nobody waits for it too long.

The thread does nothing but read: the network is emptied at once, also while pictures are being decoded, and a packet's
arrival is noted when it arrives. Decoding stays with the reader of the source.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from functools import cache
from typing import NamedTuple

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from vidan.pipeline.sources.addresses import Address
from vidan.pipeline.sources.cancelling import Cancellable
from vidan.pipeline.sources.failures import CameraError, FailureKind, explain_open
from vidan.pipeline.sources.recording import FALLBACK_FPS, THREADED_PIXELS

MAX_PIXELS = 8192 * 8192
"""Of a picture; a stream that claims more is not decoded, for it could fill the memory."""

MAX_PACKETS = 300
MAX_BYTES = 64 << 20  # of packets that wait for the decoder, together
UNTIMED = {"mpjpeg", "mjpeg", "h264", "hevc", "m4v"}  # formats without times; FFmpeg makes some up


class Opened(NamedTuple):
    """What is known of a camera once it is connected.

    Attributes:
        codec: Decodes its packets; the caller's own.
        time_base: Seconds per tick of presentation times, as a fraction.
        frame_seconds: Usual duration of a picture.
        is_timed: The format has presentation times.
        is_accelerated: The decoder runs on a GPU.
    """

    codec: VideoCodecContext
    time_base: float
    frame_seconds: float
    is_timed: bool
    is_accelerated: bool


class Arrival(NamedTuple):
    """A packet, and when it arrived (monotonic clock)."""

    packet: Packet
    seconds: float


class _End(NamedTuple):
    """Why a connection has ended."""

    kind: FailureKind
    message: str


class Connection:
    """Opens a camera in a thread of its own; `close` ends it from any thread.

    What a connection holds, a decoder with megabytes of pictures, is to be free when nobody holds the connection any
    more: it keeps no exception, for an exception keeps the frames of all functions it went through, and these the
    connection. Garbage of that kind is collected late and seldom, and a camera that comes and goes leaves much of it.

    Args:
        name: Of the stream, for the thread.
        address: Of the camera.
        connect_timeout: Seconds until the first packet must be there, all in all.
        read_timeout: Seconds between two packets, at most.
        accelerate: Decode on a GPU (CUDA), if it can be had.

    Attributes:
        overrun: Packets that were thrown away because the decoder did not keep up, all to the next key frame.
    """

    def __init__(
        self, name: str, address: Address, *, connect_timeout: float, read_timeout: float, accelerate: bool = False
    ) -> None:
        self.overrun = 0
        self._address = address
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._accelerate = accelerate
        self._cancellable = Cancellable()
        self._news = threading.Condition()  # guards all below; notified of every change
        self._opened: Opened | None = None
        self._packets: deque[Arrival] = deque()
        self._bytes = 0
        self._skips_to_key = False
        self._end: _End | None = None
        # No daemon: the interpreter must not end while FFmpeg is at work in a thread.
        self._thread = threading.Thread(target=self._work, name=f"connect-{name}")
        self._thread.start()

    def wait_opened(self) -> Opened:
        """The camera, when it is connected.

        Raises:
            CameraError: If it cannot be, or not in time.
        """
        with self._news:
            self._news.wait_for(lambda: self._opened or self._end, self._connect_timeout + 1.0)
            if self._opened is not None:
                return self._opened
            if self._end is not None:
                raise CameraError(*self._end)
        raise CameraError(FailureKind.SILENT, f"{self._address} is not connected within {self._connect_timeout:g} s")

    def next_arrival(self) -> Arrival:
        """The next packet.

        Raises:
            CameraError: If the connection has ended, or nothing comes in time.
        """
        with self._news:
            self._news.wait_for(lambda: self._packets or self._end, self._read_timeout)
            if self._packets:
                arrival = self._packets.popleft()
                self._bytes -= arrival.packet.size
                self._news.notify_all()
                return arrival
            if self._end is not None:
                raise CameraError(*self._end)
        raise CameraError(FailureKind.STALLED, f"the camera has sent nothing for {self._read_timeout:g} s")

    def close(self) -> None:
        """Ends the connection, and whoever waits for it; may be called twice, from any thread."""
        self._cancellable.cancel()
        self._finish(_End(FailureKind.CANCELLED, "the connection was closed"))

    def join(self, timeout: float | None = None) -> None:
        """Waits until the thread has ended, which it does soon after `close`."""
        self._thread.join(timeout)

    def _work(self) -> None:
        with self._cancellable:
            try:
                self._read()
            except CameraError as failure:
                self._finish(_End(failure.kind, str(failure)))

    def _read(self) -> None:
        container = self._open()
        try:
            stream = _video_stream(container)
            codec = stream.codec_context
            if codec is None:
                raise CameraError(
                    FailureKind.UNDECODABLE, "the camera uses a video codec that this FFmpeg cannot decode: set H.264"
                )
            _prepare(codec)
            opened = Opened(
                codec,
                float(stream.time_base or 1 / 90_000),
                1 / _usual_fps(stream),
                container.format.name not in UNTIMED,
                codec.is_hwaccel,
            )
            with self._news:
                self._opened = opened
                self._news.notify_all()
            self._read_packets(container, stream)
        finally:
            container.close()

    def _read_packets(self, container: InputContainer, stream: VideoStream) -> None:
        try:
            for packet in container.demux(stream):
                if packet.size and not self._put(Arrival(packet, time.monotonic())):
                    return
        except FFmpegError as error:
            if self._cancellable.is_cancelled:
                return
            raise CameraError(FailureKind.ENDED, f"the connection broke: {error.strerror}") from error
        raise CameraError(FailureKind.ENDED, "the camera ended the stream")

    def _open(self) -> InputContainer:
        """The container, opened."""
        address = self._address
        began = time.monotonic()
        try:
            return self._try_open(dict(address.options))
        except FFmpegError as error:
            if self._cancellable.is_cancelled:
                raise CameraError(FailureKind.CANCELLED, "the connection was closed") from error
            raise self._explain(error, time.monotonic() - began) from error
        except OSError as error:  # not FFmpeg's: a path with odd characters
            raise CameraError(FailureKind.NO_DEVICE, f"{address} cannot be opened: {error}") from error

    def _explain(self, error: FFmpegError, took_seconds: float) -> CameraError:
        failure = explain_open(self._address, error, took_seconds, self._connect_timeout)
        if failure.kind is FailureKind.NO_STREAM and self._has_sound_alone():
            return _no_video(["audio"])
        return failure

    def _try_open(self, options: dict[str, str]) -> InputContainer:
        return av.open(
            self._address.url,
            format=self._address.format,
            options=options,
            timeout=(self._connect_timeout, self._read_timeout),
            hwaccel=HWAccel("cuda", allow_software_fallback=True) if self._accelerate and _has_cuda() else None,
        )

    def _has_sound_alone(self) -> bool:
        """Asks once more, and this time for everything: a server has no way to say that it has no video."""
        options = {key: value for key, value in self._address.options.items() if key != "allowed_media_types"}
        if options == self._address.options:
            return False
        try:
            with self._try_open(options) as container:
                return not container.streams.video
        except FFmpegError:
            return False

    def _put(self, arrival: Arrival) -> bool:
        """Queues a packet; False when the connection has been closed.

        A camera does not wait. If the decoder cannot keep up, what has piled up is of no use any more: pictures depend
        on the ones before them, so all is thrown away up to the next one that stands for itself.
        """
        with self._news:
            while self._is_full and self._address.paced and self._end is None:
                self._news.wait()
            if self._end is not None:
                return False
            if self._is_full:
                self.overrun += len(self._packets)
                self._packets.clear()
                self._bytes = 0
                self._skips_to_key = True
            if self._skips_to_key and not arrival.packet.is_keyframe:
                self.overrun += 1
                return True
            self._skips_to_key = False
            self._packets.append(arrival)
            self._bytes += arrival.packet.size
            self._news.notify_all()
        return True

    @property
    def _is_full(self) -> bool:
        return len(self._packets) >= MAX_PACKETS or self._bytes >= MAX_BYTES

    def _finish(self, end: _End) -> None:
        with self._news:
            self._end = self._end or end
            self._news.notify_all()


@cache
def _has_cuda() -> bool:
    """True where FFmpeg finds a GPU: PyAV falls back to the CPU for codecs that it does not know, not without it."""
    try:
        HWAccel("cuda").create(av.Codec("h264", "r"))
    except (FFmpegError, NotImplementedError, RuntimeError):
        return False
    return True


def _video_stream(container: InputContainer) -> VideoStream:
    if not container.streams.video:
        raise _no_video(sorted({stream.type for stream in container.streams}))
    return container.streams.video[0]


def _no_video(kinds: list[str]) -> CameraError:
    return CameraError(
        FailureKind.NO_VIDEO,
        f"the camera sends no video, only {' and '.join(kinds) or 'a description'}: check the path of the URL",
    )


def _prepare(codec: VideoCodecContext) -> None:
    if codec.width * codec.height > MAX_PIXELS:
        raise CameraError(
            FailureKind.UNDECODABLE,
            f"the camera claims pictures of {codec.width}×{codec.height}, beyond the limit of {MAX_PIXELS} pixels",
        )
    codec.options = {"max_pixels": str(MAX_PIXELS)}
    codec.thread_type = "AUTO" if codec.width * codec.height > THREADED_PIXELS else "NONE"


def _usual_fps(stream: VideoStream) -> float:
    fps = float(stream.average_rate or stream.guessed_rate or 0)
    return fps if 0 < fps <= 240 else FALLBACK_FPS
