"""H.264 in a fragmented MP4: pictures of any size in, a file that every browser plays, up to its last fragments even
after a kill."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.codec.codec import UnknownCodecError
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from vidan.pipeline.errors import SinkError
from vidan.pipeline.events import format_utc
from vidan.pipeline.frame import Stamp

TIME_BASE = Fraction(1, 90_000)  # divides 24, 25, 30, 50 and 60 frames/s without rest, and 1 ms
FRAGMENT_SECONDS = 2.0  # at most this much, and what is still in the queue, is lost with a killed process

ENCODERS = {"h264": ("libx264", "libopenh264")}  # in order of preference

# superfast with the macroblock tree of the slower presets gives the size and PSNR of veryfast for 70 % of its CPU time
# (768 x 576 street scene: 2.8 against 4.0 ms a picture). B-frames are off: in a fragmented file they would shift the
# first time away from the source's.
_X264_OPTIONS = {"preset": "superfast", "x264-params": "bframes=0:mbtree=1:rc-lookahead=10", "forced-idr": "1"}
_MP4_OPTIONS = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}


class EvenCanvas:
    """One RGB picture and its YUV 4:2:0 planes, reused: fresh memory for every frame costs ten times the copy.

    4:2:0 needs even sides; an odd side grows by one pixel that repeats its neighbour.
    """

    def __init__(self, height: int, width: int) -> None:
        self.size = height, width
        even_height, even_width = height + height % 2, width + width % 2
        self._whole = np.empty((even_height, even_width, 3), np.uint8)
        self._picture = self._whole[:height, :width]
        self._i420 = np.empty((even_height * 3 // 2, even_width), np.uint8)

    def copy_of(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A writable copy of the (H, W, 3) image, in the canvas itself if it has the canvas's size."""
        if image.shape != self._picture.shape:
            return image.copy()
        np.copyto(self._picture, image)
        return self._picture

    def to_i420(self, painted: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(3/2 H, W) uint8 planes Y, U, V (BT.601, limited range) of what `copy_of` gave.

        A picture of another size (a later file of the same stream) is scaled: a video has one size.
        OpenCV converts in a quarter of swscale's time.
        """
        height, width = self._picture.shape[:2]
        if painted.shape != self._picture.shape:
            np.copyto(self._picture, cv2.resize(painted, (width, height), interpolation=cv2.INTER_AREA))
        self._whole[height:, :width] = self._picture[-1:]
        self._whole[:, width:] = self._whole[:, width - 1 : width]
        cv2.cvtColor(self._whole, cv2.COLOR_RGB2YUV_I420, dst=self._i420)
        return self._i420


class Mp4Encoder:
    """H.264 in fragments of about two seconds, each handed to the file system when the next one begins."""

    def __init__(self, disk: Disk, encoder: str, crf: int, title: str) -> None:
        self._disk = disk
        self._encoder = encoder
        self._crf = crf
        self._title = title
        self._container: OutputContainer | None = None

    def encode(self, i420: NDArray[np.uint8], stamp: Stamp) -> None:
        """Adds a picture; the first one opens the file."""
        pts = round(stamp.pts_seconds / TIME_BASE)
        if self._container is None:
            self._container = self._open(height=i420.shape[0] * 2 // 3, width=i420.shape[1], utc=stamp.utc)
            self._keyframe_pts = self._last_pts = pts - round(FRAGMENT_SECONDS / TIME_BASE)
        picture = av.VideoFrame.from_ndarray(i420, format="yuv420p")
        picture.time_base = TIME_BASE
        picture.pts = max(pts, self._last_pts + 1)
        picture.duration = picture.pts - self._last_pts  # the very last picture is shown as long as the one before it
        self._last_pts = picture.pts
        if picture.pts - self._keyframe_pts >= round(FRAGMENT_SECONDS / TIME_BASE):
            picture.pict_type = PictureType.I
            self._keyframe_pts = picture.pts
        self._container.mux(self._video.encode(picture))
        self._disk.check()

    def close(self) -> None:
        """Flushes the encoder and ends the file, which stays empty when no picture came."""
        try:
            if self._container is not None:
                self._container.mux(self._video.encode(None))
                self._container.close()
            self._disk.check()
        finally:
            self._disk.close()

    def _open(self, *, height: int, width: int, utc: datetime | None) -> OutputContainer:
        container = av.open(self._disk, "w", format="mp4", options=_MP4_OPTIONS)
        container.metadata["title"] = self._title
        if utc is not None:
            container.metadata["creation_time"] = format_utc(utc)
        video = container.add_stream(self._encoder, width=width, height=height, pix_fmt="yuv420p")
        assert isinstance(video, av.VideoStream)  # `ENCODERS` has no others
        self._video, context = video, video.codec_context
        context.time_base = TIME_BASE
        context.flags |= Flags.frame_duration
        context.gop_size = 1000  # keyframes are set by time, not by number
        context.thread_count = 1  # see `stage_seconds`; the other cores belong to the detector
        context.color_range, context.colorspace = ColorRange.MPEG, Colorspace.SMPTE170M
        if self._encoder == "libx264":
            context.options = {**_X264_OPTIONS, "crf": str(self._crf)}
        else:  # without a constant-quality mode: 0.1 bit per pixel at 25 pictures a second
            context.bit_rate = round(0.1 * 25 * height * width)
        return container


class Disk:
    """The file under FFmpeg. It keeps a failure to itself until `check`: a muxer whose header or trailer cannot be
    written leaves the container in a state in which closing it crashes the process.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._failure: OSError | None = None

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        try:
            while rest and self._failure is None:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._failure = error
        return len(data)

    def check(self) -> None:
        """Raises the failure, if there was one; nothing was written after it."""
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        self._file.close()


def choose_encoder(codec: str) -> str:
    """Name of the first encoder for `codec` that FFmpeg was built with.

    Raises:
        SinkError: If there is none.
    """
    for name in ENCODERS[codec]:
        try:
            return av.Codec(name, "w").name
        except UnknownCodecError:
            continue
    raise SinkError(
        f"no {codec} encoder: FFmpeg in this PyAV {av.__version__} has none of {', '.join(ENCODERS[codec])}; "
        "install the wheel of av from PyPI (pip install --force-reinstall av) or set output.video to false"
    )
