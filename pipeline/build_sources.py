"""Sources of frames, and who watches their pictures, as a config says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.config.streams import (
    DeviceSourceConfig,
    HttpSourceConfig,
    ImagesSourceConfig,
    MainStreamConfig,
    RtspSourceConfig,
    SourceConfig,
    StreamConfig,
    UdpSourceConfig,
    VideoSourceConfig,
)
from vidan.pipeline.masking import mask_url_password
from vidan.pipeline.picture_watch import PictureWatch
from vidan.pipeline.sources import addresses
from vidan.pipeline.sources.backoff import Backoff
from vidan.pipeline.sources.camera import CameraSource
from vidan.pipeline.sources.images import ImageFolderSource
from vidan.pipeline.sources.main_pictures import MainPictures
from vidan.pipeline.sources.paced import PacedSource
from vidan.pipeline.sources.video import VideoSource
from vidan.pipeline.stream_record import StreamRecord


def build_source(stream: StreamConfig) -> VideoSource | ImageFolderSource | PacedSource | CameraSource:
    """The source of a stream; files are opened, cameras when their first frame is asked for.

    Raises:
        SourceError: If it cannot be opened.
    """
    match stream.source:
        case VideoSourceConfig(path=paths, start_time=start_time, stride=stride, max_fps=max_fps) as video:
            open_video = partial(VideoSource, stream.name, paths, start_time=start_time, stride=stride, max_fps=max_fps)
            return PacedSource(open_video, loop=video.loop) if video.live else open_video()
        case ImagesSourceConfig(path=path, fps=fps, start_time=start_time, stride=stride, max_fps=max_fps):
            return ImageFolderSource(stream.name, path, fps=fps, start_time=start_time, stride=stride, max_fps=max_fps)
        case camera:
            return _build_camera(stream.name, camera)


def _build_camera(name: str, camera: MainStreamConfig) -> CameraSource:
    return CameraSource(
        name,
        _address_of(camera),
        connect_timeout=camera.connect_timeout,
        read_timeout=camera.read_timeout,
        backoff=Backoff(camera.reconnect.first_delay, camera.reconnect.max_delay, attempts=camera.reconnect.attempts),
        accelerate=camera.decode == "cuda",
        stride=camera.stride,
        max_fps=camera.max_fps,
    )


@contextmanager
def main_streams(config: RunConfig, records: Sequence[StreamRecord]) -> Iterator[Mapping[str, MainPictures]]:
    """The pictures of all main streams, by stream, while they are read; their accounts go into those of the streams."""
    wanted = config.output.video is not None or config.output.evidence is not None
    with ExitStack() as closing:
        mains: dict[str, MainPictures] = {}
        for stream, record in zip(config.streams, records, strict=True):
            if wanted and stream.main_stream is not None:
                source = _build_camera(f"{stream.name} (main stream)", stream.main_stream)
                pictures = mains[stream.name] = MainPictures(source, describe_source(stream.main_stream))
                closing.callback(pictures.close)
                record.main = pictures.health
        yield mains


def describe_source(source: SourceConfig) -> str:
    """What is read, for people, without passwords."""
    match source:
        case VideoSourceConfig(path=paths):
            return ", ".join(mask_url_password(path) for path in paths)
        case ImagesSourceConfig(path=path):
            return mask_url_password(path)
        case camera:
            return str(_address_of(camera))


def _address_of(source: MainStreamConfig) -> addresses.Address:
    match source:
        case RtspSourceConfig(url=url, transport=transport, ca_file=ca_file, verify_tls=verify):
            return addresses.rtsp(url, transport=transport, ca_file=ca_file, verify=verify)
        case HttpSourceConfig(url=url, ca_file=ca_file, verify_tls=verify):
            return addresses.http(url, ca_file=ca_file, verify=verify)
        case UdpSourceConfig(url=url):
            return addresses.udp(url)
        case DeviceSourceConfig(path=path, size=size, fps=fps):
            return addresses.device(path, size=size, fps=fps)


def build_watch(stream: StreamConfig) -> PictureWatch | None:
    """What looks out for frozen, dark and blurred pictures of a stream; None where that is switched off."""
    health = stream.health
    if health is None:
        return None
    return PictureWatch(
        frozen_seconds=health.frozen_seconds, dark_level=health.dark_level, blurred_share=health.blurred_share
    )
