"""Why a camera gives no pictures, in words that tell what to do: FFmpeg's own do not tell one cause from another."""

from __future__ import annotations

import socket
import ssl
import time
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import urlsplit

from av.error import FFmpegError, HTTPForbiddenError, HTTPNotFoundError, HTTPUnauthorizedError

from vidan.pipeline.sources.addresses import Address

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}


class FailureKind(StrEnum):
    UNKNOWN_HOST = "unknown_host"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    UNAUTHORIZED = "unauthorized"
    NOT_FOUND = "not_found"
    UNTRUSTED = "untrusted"
    SILENT = "silent"
    NO_STREAM = "no_stream"
    NO_VIDEO = "no_video"
    UNDECODABLE = "undecodable"
    NO_DEVICE = "no_device"
    ENDED = "ended"
    STALLED = "stalled"
    CANCELLED = "cancelled"

    @property
    def needs_people(self) -> bool:
        """True for what is not over in a moment: trying often only fills the camera's log, or locks its account."""
        return self in (
            FailureKind.UNAUTHORIZED,
            FailureKind.NOT_FOUND,
            FailureKind.UNTRUSTED,
            FailureKind.NO_VIDEO,
        )


class CameraError(Exception):
    """A connection could not be made, or broke.

    Attributes:
        kind: What happened.
    """

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Place(NamedTuple):
    """Where a network camera listens."""

    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Place | None:
        """From its URL; None where nobody is connected to, as for a device or a datagram port of this machine."""
        parts = urlsplit(url)
        if parts.scheme not in PORTS or not parts.hostname:
            return None
        return cls(parts.hostname, parts.port or PORTS[parts.scheme])


def explain_open(address: Address, error: FFmpegError, took_seconds: float, timeout: float) -> CameraError:
    """Why a camera could not be opened.

    Args:
        address: Of the camera.
        error: What FFmpeg said.
        took_seconds: How long it tried.
        timeout: How long it was allowed to.
    """
    match error:
        case HTTPUnauthorizedError() | HTTPForbiddenError():
            return CameraError(
                FailureKind.UNAUTHORIZED, "the camera rejects the user name or the password: check both in the URL"
            )
        case HTTPNotFoundError():
            return CameraError(
                FailureKind.NOT_FOUND, "the camera knows no stream of this path: check the URL in its manual"
            )
    if (place := Place.of(address.url)) is None:
        return _explain_local(str(address), error, took_seconds, timeout)
    failure = _knock(place, timeout)
    if failure is None and address.options.get("tls_verify") == "1":
        failure = _shake_hands(place, timeout, address.options.get("ca_file"))
    if failure is not None:
        return failure
    if took_seconds >= 0.9 * timeout:
        return CameraError(
            FailureKind.SILENT, f"{place.host}:{place.port} is reached, but sends no pictures for {timeout:g} s"
        )
    return CameraError(
        FailureKind.NO_STREAM, f"{place.host}:{place.port} sends nothing that is a video stream ({error.strerror})"
    )


def _knock(place: Place, timeout: float) -> CameraError | None:
    """What is wrong on the way to a camera, seen by connecting to it; None if nothing is."""
    began = time.monotonic()
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):  # UnicodeError: a label that is empty or too long
        return CameraError(
            FailureKind.UNKNOWN_HOST, f"no host is known by the name {place.host}: check it, and the DNS"
        )
    wait = max(0.5, timeout - (time.monotonic() - began))
    failure = None
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.settimeout(wait)
                probe.connect(address)
        except ConnectionRefusedError:
            failure = CameraError(
                FailureKind.REFUSED,
                f"{place.host} refuses connections to port {place.port}: is it switched on?",
            )
        except TimeoutError:
            failure = CameraError(FailureKind.UNREACHABLE, f"{place.host}:{place.port} does not answer")
        except OSError as error:
            failure = CameraError(
                FailureKind.UNREACHABLE, f"{place.host}:{place.port} cannot be reached: {error.strerror or error}"
            )
        else:
            return None
    return failure


def _shake_hands(place: Place, timeout: float, ca_file: str | None) -> CameraError | None:
    """What is wrong with the certificate of a camera that can be reached; None if nothing is, or if it is not told."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
        with (
            socket.create_connection(place, timeout) as connection,
            context.wrap_socket(connection, server_hostname=place.host),
        ):
            return None
    except ssl.SSLCertVerificationError as error:
        return CameraError(
            FailureKind.UNTRUSTED,
            f"the certificate of {place.host} is not trusted ({error.verify_message}): name it as ca_file",
        )
    except FileNotFoundError:
        return CameraError(FailureKind.UNTRUSTED, f"there is no ca_file {ca_file}")
    except OSError:  # also a file that holds no certificate, and a camera that does not speak TLS
        return None


def _explain_local(url: str, error: FFmpegError, took_seconds: float, timeout: float) -> CameraError:
    if url.startswith("udp:"):
        if took_seconds >= 0.9 * timeout:
            return CameraError(FailureKind.SILENT, f"nothing arrives at {url} for {timeout:g} s")
        return CameraError(FailureKind.NO_STREAM, f"{url} gives no MPEG-TS: {error.strerror}")
    return CameraError(FailureKind.NO_DEVICE, f"{url} cannot be opened as a camera: {error.strerror}")
