"""One video file, opened with PyAV (FFmpeg): what its header promises, and its pictures in the order they are shown."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import av
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError
from av.stream import Disposition
from av.video.stream import VideoStream

from vidan.pipeline.errors import SourceError
from vidan.pipeline.sources.clock import creation_time

# More pixels than this can cost a core more than the rest of the pipeline has time for. Below, several decoding threads
# need 15-20 % more processor time for the same pictures, which the detector could have used.
THREADED_PIXELS = 1920 * 1088
FALLBACK_FPS = 25.0
TRIFLE_SECONDS = 0.5  # headers round, and count the tail of the sound
HEADERLESS = {"mpegts", "mpeg"}  # their duration is FFmpeg's guess from the last timestamp, not a promise


class Picture(NamedTuple):
    """One decoded picture.

    Attributes:
        frame: As FFmpeg gives it.
        after_loss: Something between it and the picture before could not be decoded.
        following_pts: Presentation time of the picture after it, None when missing or at the end.
    """

    frame: av.VideoFrame
    after_loss: bool
    following_pts: int | None = None


class Content(Protocol):
    """The bytes of a file that lies elsewhere; what it raises goes to whoever reads the recording."""

    @property
    def name(self) -> str: ...

    def read(self, size: int = -1, /) -> bytes: ...

    def seek(self, place: int, whence: int = 0, /) -> int: ...

    def tell(self) -> int: ...

    def close(self) -> None: ...


class Recording:
    """One open video file.

    Attributes:
        path: Of the file.
        time_base: Seconds per tick of presentation times.
        frame_seconds: Usual duration of a picture.
        created: When recording began, as the container tells it, or None.
        promised_frames: Number of pictures in the header, None when it says nothing.
        promised_seconds: Playing time in the header, None when it says nothing.
        corrupt: Packets and pictures so far that could not be decoded.
        smeared: Pictures so far between a loss and the next key frame, which may refer to what was lost.
        discarded: Pictures so far that an edit list hides: a cut film begins with some that only later ones need.
        description: What the header says, in plain values for the manifest.
        read_error: FFmpeg's words when reading ended with an error, else None.

    Args:
        path: Of the file.
        content: Its bytes, where they do not lie under that path; it is closed with the recording.

    Raises:
        SourceError: If the file cannot be opened as a video.
    """

    def __init__(self, path: Path, content: Content | None = None) -> None:
        self.path = path
        self._content = content
        self._container = _open(path) if content is None else _open_content(content)
        self._stream = _video_stream(self._container, path)
        self._codec = self._stream.codec_context
        self._codec.thread_type = "AUTO" if self._codec.width * self._codec.height > THREADED_PIXELS else "NONE"
        self._packets = self._container.demux(self._stream)
        self._lock = threading.Lock()  # FFmpeg must not be closed by one thread while it reads in another
        self._closed = False

        self.time_base = self._stream.time_base or Fraction(1, 90_000)
        self.frame_seconds = 1 / self._usual_fps()
        self.created = creation_time({**self._stream.metadata, **self._container.metadata})
        self.promised_frames = self._stream.frames or None
        self.promised_seconds = self._find_promised_seconds()
        self.corrupt = 0
        self.smeared = 0
        self.discarded = 0
        self.read_error: str | None = None
        self.description: dict[str, Any] = {
            "path": str(path),
            "container": self._container.format.name,
            "codec": self._codec.name,
            "coded_size": [self._codec.width, self._codec.height],
            "fps": round(1 / self.frame_seconds, 3),
            "frames": self.expected_frames,
            "duration_seconds": self.promised_seconds,
            "created": self.created and self.created.isoformat(),
        }
        self._decoded = 0
        self._reached_seconds = 0.0  # end of the latest picture, from where the header has the file begin

    def pictures(self) -> Iterator[Picture]:
        """The pictures in the order they are shown; what cannot be decoded is counted and left out."""
        held: Picture | None = None
        for picture in self._decode():
            if held is not None:
                yield held._replace(following_pts=picture.frame.pts)
            held = picture
        if held is not None:
            yield held

    def packets(self) -> Iterator[av.Packet]:
        """The packets as they lie in the file, not decoded, up to the first that cannot be read."""
        while not self._closed:
            try:
                packet = next(self._packets, None)
            except FFmpegError as error:
                self.read_error = str(error.strerror)
                return
            if packet is None or packet.size == 0:  # the last one only flushes a decoder
                return
            yield packet

    def seek(self, pts: int) -> None:
        """Goes on at the key frame at or before a presentation time in ticks; what was counted so far stays.

        Raises:
            SourceError: If the file cannot be read from there.
        """
        try:
            self._container.seek(pts, stream=self._stream, backward=True)
        except (FFmpegError, OSError) as error:
            raise SourceError(f"{self.path} cannot be read from its middle: {error.strerror}") from error
        self._codec.flush_buffers()
        self._packets = self._container.demux(self._stream)

    @property
    def begin_pts(self) -> int:
        """Where the header has the file begin, in ticks; ask while it is open."""
        return self._stream.start_time or 0

    @property
    def expected_frames(self) -> int | None:
        """Number of pictures in the header, or by playing time and rate, or None."""
        if self.promised_frames is None and self.promised_seconds is not None:
            return round(self.promised_seconds / self.frame_seconds)
        return self.promised_frames

    @property
    def missing_frames(self) -> int:
        """After reading: pictures that the header promises, and that neither came nor were corrupt."""
        return max(0, (self.promised_frames or 0) - self._decoded - self.discarded - self.corrupt)

    @property
    def missing_seconds(self) -> float:
        """After reading: playing time that the header promises and that lacks at the end, 0 for a trifle."""
        missing = (self.promised_seconds or 0.0) - self._reached_seconds
        return missing if missing > max(TRIFLE_SECONDS, 3 * self.frame_seconds) else 0.0

    def close(self) -> None:
        """Closes the file; may be called twice, and from another thread than the one that reads."""
        with self._lock:
            self._closed = True
            self._container.close()
            if self._content is not None:
                self._content.close()

    def _decode(self) -> Iterator[Picture]:
        """The pictures as the decoder releases them.

        FFmpeg marks pictures that it patched up after damage; they are left out, too. Pictures that refer to a damaged
        one are not marked: they stay, and are counted as smeared.
        """
        corrupt_before = 0
        is_smeared = False
        while (frames := self._decode_next()) is not None:
            for frame in frames:
                if frame.is_corrupt:
                    self.corrupt += 1
                    continue
                self._note_decoded(frame)
                after_loss = self.corrupt > corrupt_before
                is_smeared = (is_smeared or after_loss) and not frame.key_frame
                self.smeared += is_smeared
                yield Picture(frame, after_loss)
                corrupt_before = self.corrupt

    def _decode_next(self) -> list[av.VideoFrame] | None:
        """What the next packet gives, which can be nothing; None after the last."""
        with self._lock:
            if self._closed:
                return None
            try:
                packet = next(self._packets, None)  # the last packet of a file is an empty one that flushes the decoder
            except FFmpegError as error:
                self.read_error = str(error.strerror)
                packet = None
            if packet is not None and packet.is_discard:
                self.discarded += 1
            try:
                return self._codec.decode(packet)
            except EOFError:
                return None
            except FFmpegError:
                self.corrupt += 1
                return []

    def _note_decoded(self, frame: av.VideoFrame) -> None:
        self._decoded += 1
        if frame.pts is not None:
            shown = float((frame.pts - (self._stream.start_time or 0)) * self.time_base)
            self._reached_seconds = max(self._reached_seconds, shown + self.frame_seconds)

    def _usual_fps(self) -> float:
        """Pictures per second; the average of a raw stream, which has no times, is made up, but it may tell its own."""
        average, guessed = self._stream.average_rate, self._stream.guessed_rate
        fps = float((average if self._container.duration else guessed) or 0)
        return fps if 0 < fps <= 1000 else FALLBACK_FPS

    def _find_promised_seconds(self) -> float | None:
        """Playing time of the video stream; that of the container may be the sound's."""
        if self._container.format.name in HEADERLESS:
            return None
        if self._container.format.name == "avi" and self._stream.frames:  # FFmpeg cuts its duration to what is there
            return self._stream.frames * self.frame_seconds
        if self._stream.duration:
            return float(self._stream.duration * self.time_base)
        # Matroska has one per stream as a tag: 00:00:03.040000000
        if tag := re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", self._stream.metadata.get("DURATION", "")):
            return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
        if self._container.duration and not self._container.streams.audio:
            return self._container.duration / av.time_base
        return None


def _open(path: Path) -> InputContainer:
    """The container, or a sentence about why this file is none."""
    if path.is_dir():
        raise SourceError(f"{path} is a folder: name a file or a glob such as {path / '*.mp4'}, or use `type: images`")
    try:
        if path.stat().st_size == 0:
            raise SourceError(f"{path} is empty (0 bytes)")
        # Absolute, for FFmpeg takes what stands before a colon for a protocol: cam:1.mp4.
        return av.open(os.path.abspath(path))
    except PermissionError as error:
        raise SourceError(f"{path} may not be read by this user: check its permissions") from error
    except (FFmpegError, OSError) as error:
        raise SourceError(f"{path} cannot be opened as a video: {_reason(path, error)}") from error


def _open_content(content: Content) -> InputContainer:
    """The container in these bytes, or a sentence about why they are none."""
    try:
        return av.open(content, "r")
    except FFmpegError as error:
        content.close()
        reason = "its index is missing, or FFmpeg knows no such format" if isinstance(error, InvalidDataError) else None
        raise SourceError(f"{content.name} cannot be opened as a video: {reason or error.strerror}") from error


def _reason(path: Path, error: OSError | FFmpegError) -> str:
    if not isinstance(error, InvalidDataError):
        return str(error.strerror)
    with path.open("rb") as file:
        head = file.read(1024)
    if head[4:8] == b"ftyp":
        return "its index is missing, as if the recording was cut off or the copy is not complete"
    if head.isascii() and b"\0" not in head:
        return "it is a text file"
    return "FFmpeg knows no such format, or the beginning is damaged"


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The first moving picture of the container, with a decoder."""
    try:
        moving = [s for s in container.streams.video if Disposition.attached_pic not in s.disposition]
        if not moving:
            kinds = sorted({stream.type for stream in container.streams})
            raise SourceError(f"{path} has no video, only {' and '.join(kinds) or 'a header'}")
        if moving[0].codec_context is None:
            raise SourceError(f"{path} uses a video codec that this FFmpeg cannot decode: convert it to H.264 first")
        if moving[0].codec_context.name == "ansi":
            raise SourceError(f"{path} is a text file, not a video")
    except SourceError:
        container.close()
        raise
    return moving[0]
