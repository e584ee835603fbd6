"""Cameras as sources: where they are, how patient a run is with them, and how often it tries again."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator

from vidan.pipeline.config.model import Model
from vidan.pipeline.config.values import FilePath, Number, PositiveSeconds, Switch, Whole


def _check_network_url(text: str, schemes: tuple[str, ...], example: str) -> str:
    try:
        parts = urlsplit(text)
        is_right = parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # a port that is no number, half an IPv6 address
        is_right = False
    if not is_right or not text.isprintable() or " " in text:
        raise ValueError(f"should be an address such as {example}; in a password write @ as %40, : as %3A, / as %2F")
    return text


def _check_rtsp_url(text: str) -> str:
    return _check_network_url(text, ("rtsp", "rtsps"), "rtsp://USER:PASSWORD@HOST:554/PATH")


def _check_http_url(text: str) -> str:
    return _check_network_url(text, ("http", "https"), "https://HOST/camera.m3u8")


def _check_udp_url(text: str) -> str:
    if not re.fullmatch(r"udp://@?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}(\?[!-~]*)?", text):
        raise ValueError("should be udp://ADDRESS:PORT, such as udp://0.0.0.0:5000 or a multicast group")
    return text


class ThinnedConfig(Model):
    """What all sources have in common."""

    stride: Annotated[Whole, Field(ge=1)] = 1
    """Every `stride`-th picture is analysed; 1: all."""

    max_fps: Annotated[Number, Field(gt=0)] | None = None
    """Pictures per second that are analysed, at most; null: all."""


class ReconnectConfig(Model):
    """How a camera that is away is waited for: each attempt after about twice the time of the one before."""

    first_delay: PositiveSeconds = 1.0
    """Seconds until the second attempt, at most; half of every delay is left to chance."""

    max_delay: PositiveSeconds = 10.0
    """Seconds between attempts, at most; three times as long where a password, a path or a certificate is wrong."""

    attempts: Annotated[Whole, Field(ge=1)] | None = None
    """Attempts that may fail in a row before the stream ends; null: it is tried for ever."""


class CameraConfig(ThinnedConfig):
    """What all cameras have in common: they may be absent, also when a run begins, and they come back."""

    connect_timeout: PositiveSeconds = 10.0
    """Seconds within which a camera must be connected."""

    read_timeout: PositiveSeconds = 10.0
    """Seconds without any data after which a camera is connected anew."""

    reconnect: ReconnectConfig = Field(default_factory=ReconnectConfig)
    """When it is tried again."""

    decode: Literal["cpu", "cuda"] = "cpu"
    """What decodes its pictures; cuda: the decoder of an NVIDIA GPU, or the CPU, with a warning, without one."""


class _SecureCameraConfig(CameraConfig):
    """What cameras behind TLS have in common."""

    verify_tls: Switch = True
    """Whether the certificate must be right; with false anybody on the way can read the password and send pictures."""

    ca_file: FilePath | None = None
    """Certificates (PEM) that are trusted, such as the camera's own; null: those of the system."""


class RtspSourceConfig(_SecureCameraConfig):
    """A camera that speaks RTSP."""

    type: Literal["rtsp"]
    """Which kind of source."""

    url: Annotated[str, AfterValidator(_check_rtsp_url)]
    """Such as rtsp://USER:PASSWORD@HOST/PATH, or rtsps:// for TLS; `${NAME}` keeps the password out of the file."""

    transport: Literal["tcp", "udp"] = "tcp"
    """How pictures travel; tcp: late rather than damaged; udp: damaged rather than late."""


class HttpSourceConfig(_SecureCameraConfig):
    """A stream at a web server: HLS, MPEG-TS, MP4 or a row of JPEG pictures. It is played at the pace of its times."""

    type: Literal["http"]
    """Which kind of source."""

    url: Annotated[str, AfterValidator(_check_http_url)]
    """Such as https://HOST/camera.m3u8."""


class UdpSourceConfig(CameraConfig):
    """MPEG-TS in UDP datagrams."""

    type: Literal["udp"]
    """Which kind of source."""

    url: Annotated[str, AfterValidator(_check_udp_url)]
    """Where they arrive: udp://0.0.0.0:5000, or a multicast group such as udp://239.0.0.1:5000."""


class DeviceSourceConfig(CameraConfig):
    """A camera at this machine (Video4Linux2)."""

    type: Literal["device"]
    """Which kind of source."""

    path: Annotated[str, Field(min_length=1)]
    """Such as /dev/video0; the names under /dev/v4l/by-id stay the same when cameras are plugged in another order."""

    size: tuple[Annotated[Whole, Field(ge=1)], Annotated[Whole, Field(ge=1)]] | None = None
    """Width and height of its pictures in pixels; null: as it is set."""

    fps: Annotated[Number, Field(gt=0)] | None = None
    """Pictures per second; null: as it is set."""

    @field_validator("path")
    @classmethod
    def _check_path(cls, path: str) -> str:
        if not path.startswith("/"):
            raise ValueError("should be the whole path of a device, such as /dev/video0")
        return path
