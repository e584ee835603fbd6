"""Cameras at web servers, behind TLS, in datagrams, and ones that are no cameras."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
import pytest

from vidan.pipeline.errors import SourceError
from vidan.pipeline.sources import addresses
from vidan.pipeline.sources.addresses import Address
from vidan.pipeline.sources.backoff import Backoff
from vidan.pipeline.sources.camera import CameraSource

DATAGRAM = 7 * 188  # bytes: seven packets of a transport stream


def camera(address: Address, **settings: Any) -> CameraSource:
    patience = {"connect_timeout": 4.0, "read_timeout": 2.0, "backoff": Backoff(0.2, attempts=1)}
    return CameraSource("north", address, **patience | settings)


class Handler(SimpleHTTPRequestHandler):
    """Files of a folder, and a row of JPEG pictures, ten a second, that never ends."""

    def do_GET(self) -> None:
        if self.path == "/secret":
            return self.send_error(401)
        if self.path != "/pictures":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=--next")
        self.end_headers()
        picture = cv2.imencode(".jpg", np.full((96, 128, 3), 99, np.uint8))[1].tobytes()
        head = b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture)
        try:
            while True:
                self.wfile.write(head + picture + b"\r\n")
                time.sleep(0.1)
        except OSError:
            return None

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts web servers over the test's folder; gives the address of each."""
    servers: list[ThreadingHTTPServer] = []

    def start(certificate: Path | None = None) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path)))
        server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"{'http' if certificate is None else 'https'}://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Certificate and key of 127.0.0.1, which nobody vouches for."""
    path, key = tmp_path / "camera.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=camera", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            key,
            "-out",
            path,
            *subject,
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + key.read_text())
    return path


@pytest.mark.parametrize("name", ["clip.mp4", "clip.m3u8", "clip.ts"])
def test_what_a_web_server_sends_at_once_is_played_at_its_own_pace(name, serve, watch, video_factory, read_number):
    video_factory("clip.ts", numbers=range(30), options={"g": "10"})
    playlist = {"hls_time": "1", "hls_list_size": "0"} if name.endswith("m3u8") else None
    video_factory(name, numbers=range(30), options={"g": "10"}, container_options=playlist)
    began = time.monotonic()
    watched = watch(camera(addresses.http(f"{serve()}/{name}")))
    watched.wait_for_frames(15)

    assert [read_number(frame.image) for frame in watched.frames] == list(range(len(watched.frames)))
    assert watched.times == pytest.approx(np.arange(len(watched.times)) * 0.1, abs=0.002)
    assert watched.arrivals[14] - watched.arrivals[0] == pytest.approx(1.4, abs=0.3)
    assert watched.arrivals[0] - began < 2.0
    assert watched.close() < 1.0


def test_pictures_without_times_stand_where_they_arrive(serve, watch):
    watched = watch(camera(addresses.http(f"{serve()}/pictures")))
    watched.wait_for_frames(20)
    assert np.median(np.diff(watched.times)) == pytest.approx(0.1, abs=0.03)
    assert watched.source.health.discontinuities == 0
    assert watched.close() < 1.0


def test_a_playlist_cannot_make_this_machine_read_its_own_files(serve, watch, video_factory, tmp_path):
    secret = video_factory("clip.ts")
    (tmp_path / "evil.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile://{secret}\n#EXT-X-ENDLIST\n"
    )
    watched = watch(camera(addresses.http(f"{serve()}/evil.m3u8")))
    watched.wait_for(lambda: watched.error is not None)
    assert watched.frames == []


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("none.mp4", "knows no stream of this path"),
        ("secret", "rejects the user name or the password"),
        ("page.html", "sends nothing that is a video stream"),
    ],
)
def test_a_web_server_without_video_is_told_apart(path, complaint, serve, watch, tmp_path):
    (tmp_path / "page.html").write_text("<html>no camera</html>")
    watched = watch(camera(addresses.http(f"{serve()}/{path}")))
    watched.wait_for(lambda: watched.error is not None)
    assert isinstance(watched.error, SourceError)
    assert complaint in str(watched.error)


@pytest.mark.parametrize("kind", ["https", pytest.param("rtsps", marks=pytest.mark.needs_rtsp)])
def test_only_certificates_that_are_trusted_are_believed(kind, request, serve, certificate, watch, video_factory):
    if kind == "https":
        video_factory(numbers=range(20))
        make = partial(addresses.http, f"{serve(certificate)}/clip.mp4")
    else:
        server = request.getfixturevalue("rtsp_camera")("--certificate", str(certificate))
        make = partial(addresses.rtsp, server.url.replace("rtsp:", "rtsps:"))
    stranger = watch(camera(make()))
    stranger.wait_for(lambda: stranger.error is not None)
    assert "the certificate of 127.0.0.1 is not trusted" in str(stranger.error)
    for address in (make(ca_file=str(certificate)), make(verify=False)):
        watch(camera(address)).wait_for_frames(3)


def test_a_transport_stream_in_datagrams_survives_lost_ones(watch, video_factory):
    data = video_factory("clip.ts", numbers=range(60), fps=20, options={"g": "10"}).read_bytes()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ended = threading.Event()
    chance = Random(1)

    def send() -> None:
        """The clip again and again in real time; a twentieth of it is lost on the way."""
        pieces = [data[i : i + DATAGRAM] for i in range(0, len(data), DATAGRAM)]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not ended.is_set():
                for piece in pieces:
                    if chance.random() > 0.05:
                        sender.sendto(piece, ("127.0.0.1", port))
                    ended.wait(3.0 / len(pieces))

    sending = threading.Thread(target=send)
    sending.start()
    try:
        watched = watch(camera(addresses.udp(f"udp://127.0.0.1:{port}"), connect_timeout=10.0))
        watched.wait_for_frames(90, 20.0)
        assert watched.times == sorted(set(watched.times))
        assert watched.source.health.corrupt > 0
        assert watched.source.health.discontinuities >= 1, (
            "the clip begins anew after three seconds, and so do its times"
        )
        assert watched.times[-1] == pytest.approx(watched.arrivals[-1] - watched.arrivals[0], abs=1.5)
        assert watched.close() < 1.0
    finally:
        ended.set()
        sending.join()


def test_a_port_where_nothing_arrives_and_a_device_that_is_none_say_so(watch, tmp_path):
    silent = watch(camera(addresses.udp("udp://127.0.0.1:0"), connect_timeout=0.5))
    (tmp_path / "video0").write_text("no device")
    device = watch(camera(addresses.device(str(tmp_path / "video0"))))
    absent = watch(camera(addresses.device("/dev/no-such-camera")))
    for watched, complaint in (
        (silent, "nothing arrives at udp://127.0.0.1:0"),
        (device, "cannot be opened as a camera"),
        (absent, "No such file"),
    ):
        watched.wait_for(lambda watched=watched: watched.error is not None)
        assert complaint in str(watched.error)
