"""How FFmpeg is told to open each kind of camera."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vidan.pipeline.masking import mask_url_password

# A playlist or a description from a camera must not make this machine read its own files: only these are followed.
_RTSP_PROTOCOLS = "rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https"
_HTTP_PROTOCOLS = "http,https,httpproxy,tcp,tls,crypto,hls"
_UDP_BYTES = 1 << 20  # that the system keeps of datagrams while this process is busy: some tenths of a second


@dataclass(frozen=True, slots=True)
class Address:
    """Where a camera is, and how it is opened.

    Attributes:
        kind: As in the config.
        url: With its password; or the path of a device.
        format: FFmpeg's name of the container, None: it finds out.
        options: For FFmpeg.
        paced: It sends faster than it films, a playlist whole segments at once: pictures are held until they are due.
    """

    kind: Literal["rtsp", "http", "udp", "device"]
    url: str
    format: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    paced: bool = False

    def __str__(self) -> str:
        """For people, without the password."""
        return mask_url_password(self.url)


def rtsp(
    url: str, *, transport: Literal["tcp", "udp"] = "tcp", ca_file: str | None = None, verify: bool = True
) -> Address:
    """An RTSP camera; only its video is asked for, and its rate is not waited for."""
    options = {
        "rtsp_transport": transport,
        "allowed_media_types": "video",
        "fpsprobesize": "0",
        "protocol_whitelist": _RTSP_PROTOCOLS,
        "buffer_size": str(_UDP_BYTES),
    }
    return Address("rtsp", url, options=options | _tls(url, ca_file, verify))


def http(url: str, *, ca_file: str | None = None, verify: bool = True) -> Address:
    """A file, a playlist (HLS) or a row of JPEG pictures at an HTTP server."""
    options = {"protocol_whitelist": _HTTP_PROTOCOLS}
    return Address("http", url, options=options | _tls(url, ca_file, verify), paced=True)


def udp(url: str) -> Address:
    """MPEG-TS in datagrams, to a port of this machine or to a multicast group."""
    options = {
        "overrun_nonfatal": "1",
        "buffer_size": str(_UDP_BYTES),
        "fpsprobesize": "0",
        "protocol_whitelist": "udp",
    }
    return Address("udp", url, "mpegts", options)


def device(path: str, *, size: tuple[int, int] | None = None, fps: float | None = None) -> Address:
    """A camera at this machine (Video4Linux2).

    Args:
        path: Such as /dev/video0.
        size: Width and height, None: as the device is set.
        fps: Pictures per second, None: as the device is set.
    """
    options: dict[str, str] = {}
    if size is not None:
        options["video_size"] = f"{size[0]}x{size[1]}"
    if fps is not None:
        options["framerate"] = f"{fps:g}"
    return Address("device", path, "video4linux2", options)


def _tls(url: str, ca_file: str | None, verify: bool) -> dict[str, str]:
    if not url.lower().startswith(("rtsps:", "https:")):
        return {}
    if not verify:
        return {"tls_verify": "0"}
    trusted = ca_file or ssl.get_default_verify_paths().cafile  # FFmpeg does not know where this system keeps them
    return {"tls_verify": "1"} | ({} if trusted is None else {"ca_file": trusted})
