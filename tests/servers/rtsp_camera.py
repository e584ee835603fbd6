#!/usr/bin/python3
"""A camera that speaks RTSP, made of GStreamer; the system's Python runs it, for the bindings are packages of it.

It prints its port, then obeys lines of its input: `size WIDTH HEIGHT` changes the pictures of all that watch.
apt-get install gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-ugly gstreamer1.0-plugins-good
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import argparse
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtspServer  # noqa: E402

ENCODERS = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max={gop} bitrate={kbps} "
    "! rtph264pay config-interval=-1 name=pay0 pt=96",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast key-int-max={gop} bitrate={kbps} "
    "! rtph265pay config-interval=-1 name=pay0 pt=96",
    "jpeg": "jpegenc ! rtpjpegpay name=pay0 pt=26",
}
PICTURES = "videotestsrc is-live=true pattern={pattern} ! videoconvert ! videoscale ! videorate "
FILM = (  # a file per picture, for a demuxer would end the stream with the film
    "multifilesrc location={film}/%05d.i420 loop=true "
    "! rawvideoparse format=i420 width={width} height={height} framerate={film_fps}/1 "
    "! videoscale ! videorate ! identity sync=true "
)
SIZED = (
    "! capsfilter name=size caps=video/x-raw,format=I420,width={width},height={height},framerate={fps}/1,"
    "pixel-aspect-ratio=1/1 ! "
)
SOUND = "( audiotestsrc is-live=true ! audioconvert ! mulawenc ! rtppcmupay name=pay0 )"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", default="0")
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--gop", type=int, default=25)
    parser.add_argument("--kbps", type=int, default=500)
    parser.add_argument("--pattern", default="ball")
    parser.add_argument("--codec", choices=ENCODERS, default="h264")
    parser.add_argument("--film", help="a folder of raw pictures, 00000.i420 and on, to play again and again")
    parser.add_argument("--film-fps", type=int, default=10)
    parser.add_argument("--sound-alone", action="store_true")
    parser.add_argument("--certificate", help="a file with certificate and key (PEM): the camera speaks RTSPS alone")
    parser.add_argument("--user")
    parser.add_argument("--password")
    options = parser.parse_args()

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address(options.address)
    server.set_service(options.port)
    factory = GstRtspServer.RTSPMediaFactory()
    pictures = (FILM if options.film else PICTURES) + SIZED + ENCODERS[options.codec]
    factory.set_launch(SOUND if options.sound_alone else f"( {pictures.format(**vars(options))} )")
    factory.set_shared(True)
    sizes: list[Gst.Element] = []
    factory.connect("media-configure", lambda _, media: sizes.append(media.get_element().get_by_name("size")))
    server.get_mount_points().add_factory("/cam", factory)
    if options.user or options.certificate:
        protect(server, factory, options)
    server.attach(None)
    print(server.get_bound_port(), flush=True)

    def obey() -> None:
        for line in sys.stdin:
            _, width, height = line.split()
            for element in sizes:
                caps = element.get_property("caps").copy()
                caps.set_value("width", int(width))
                caps.set_value("height", int(height))
                element.set_property("caps", caps)

    threading.Thread(target=obey, daemon=True).start()
    GLib.MainLoop().run()


def protect(
    server: GstRtspServer.RTSPServer, factory: GstRtspServer.RTSPMediaFactory, options: argparse.Namespace
) -> None:
    """Lets in who knows the password, or all if there is none, and only in secret if there is a certificate."""
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "guest")
    auth = GstRtspServer.RTSPAuth()
    if options.user:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(options.user, options.password), token)
    else:
        auth.set_default_token(token)
    if options.certificate:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(options.certificate))
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    for right in ("access", "construct"):
        permissions.add_permission_for_role("guest", f"media.factory.{right}", True)
    factory.set_permissions(permissions)


if __name__ == "__main__":
    main()
