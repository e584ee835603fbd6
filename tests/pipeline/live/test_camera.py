"""Cameras that come and go, against real RTSP servers."""

from __future__ import annotations

import gc
import os
import time
from collections import Counter

import numpy as np
import pytest

from vidan.pipeline.errors import SourceError
from vidan.pipeline.sources import addresses
from vidan.pipeline.sources.backoff import Backoff
from vidan.pipeline.sources.camera import CameraSource

pytestmark = pytest.mark.needs_rtsp


def camera(url: str, **settings) -> CameraSource:
    patience = {"connect_timeout": 3.0, "read_timeout": 1.5, "backoff": Backoff(0.2, 0.4)}
    return CameraSource("north", addresses.rtsp(url), **patience | settings)


def test_a_camera_gives_its_pictures_at_the_pace_of_the_clock(rtsp_camera, watch):
    watched = watch(camera(rtsp_camera("--fps", "20").url))
    watched.wait_for_frames(40)

    assert watched.source.health.state == "playing"
    assert (watched.source.height, watched.source.width) == (240, 320)
    assert watched.frames[0].image.shape == (240, 320, 3)
    assert watched.times[0] == 0.0
    assert np.median(np.diff(watched.times)) == pytest.approx(0.05, abs=0.002)
    assert 40 * 0.05 <= watched.times[-1] + 0.06 < 60 * 0.05  # a busy machine may film less
    utc = [frame.stamp.utc.timestamp() for frame in watched.frames]
    assert np.diff(utc) == pytest.approx(np.diff(watched.times), abs=1e-5)
    assert abs(utc[-1] - time.time()) < 1.0
    assert watched.close() < 1.0
    assert watched.source.health.state == "ended"
    assert watched.source.health.gaps == []


def test_a_killed_server_is_a_gap_of_its_real_length(rtsp_camera, watch):
    server = rtsp_camera()
    watched = watch(camera(server.url))
    watched.wait_for_frames(20)
    server.kill()
    down = time.monotonic()
    watched.wait_for(lambda: watched.source.health.state == "waiting")
    time.sleep(1.0)
    server.start()
    before = len(watched.frames)
    watched.wait_for_frames(20)

    away = watched.arrivals[before] - down
    (gap,) = watched.source.health.gaps
    assert gap[1] - gap[0] == pytest.approx(away, abs=0.5)
    assert watched.times == sorted(set(watched.times))
    assert watched.source.health.reconnects == 1
    assert "refuses connections" in watched.source.health.last_error
    indices = [frame.stamp.index for frame in watched.frames]
    assert indices == list(range(len(indices)))


def test_a_camera_that_is_absent_at_the_start_is_waited_for(rtsp_camera, watch):
    server = rtsp_camera()
    server.kill()
    watched = watch(camera(server.url))
    watched.wait_for(lambda: watched.source.health.state == "waiting")
    assert watched.source.width is None
    server.start()
    watched.wait_for_frames(5)
    assert watched.source.width == 320
    assert watched.times[0] > 0.0
    assert watched.source.health.gaps == [(0.0, watched.times[0])], "nobody looked since it was first asked"
    assert watched.frames[0].stamp.utc.timestamp() == pytest.approx(time.time(), abs=3.0)


def test_a_camera_that_goes_silent_is_connected_anew(rtsp_camera, watch):
    server = rtsp_camera()
    watched = watch(camera(server.url))
    watched.wait_for_frames(10)
    server.freeze()
    watched.wait_for(lambda: watched.source.health.last_error is not None, 4.0)
    assert watched.source.health.last_error == "the camera has sent nothing for 1.5 s"
    server.thaw()
    watched.wait_for(lambda: watched.source.health.state == "playing")
    watched.wait_for_frames(5)
    assert watched.source.health.reconnects == 1
    assert len(watched.source.health.gaps) == 1


def test_a_connection_that_broke_and_its_pictures_leave_nothing_in_memory(rtsp_camera, relay):
    hand = relay(rtsp_camera())
    source = camera(f"rtsp://127.0.0.1:{hand.port}/cam", backoff=Backoff(0.01, 0.02))

    def kept() -> Counter[str]:
        kinds = ("InputContainer", "VideoCodecContext", "Connection", "VideoFrame")
        return Counter(kind for kind in (type(thing).__name__ for thing in gc.get_objects()) if kind in kinds)

    gc.collect()
    gc.disable()  # what is only garbage in a circle is told from what is free at once
    try:
        before = kept()
        frames = iter(source)
        while source.health.reconnects < 3:
            assert next(frames).image.any()
            hand.drop()
        pictures = [next(frames) for _ in range(10)]
        del pictures
        deadline = time.monotonic() + 5
        while (more := kept() - before)["Connection"] > 1:  # the thread of the last one is on its way out
            assert time.monotonic() < deadline, more
            time.sleep(0.05)
        assert more["InputContainer"] == more["VideoCodecContext"] == 1
        assert more["VideoFrame"] <= 3
    finally:
        gc.enable()
        source.close()


@pytest.mark.parametrize("moment", ["connecting", "playing", "silent", "waiting"])
def test_close_ends_whatever_it_waits_for_within_a_second(moment, rtsp_camera, watch, listener):
    if moment == "connecting":
        watched = watch(camera(f"rtsp://127.0.0.1:{listener(b'')}/cam", connect_timeout=60.0))
        time.sleep(0.5)
    elif moment == "waiting":
        watched = watch(camera("rtsp://no.invalid/cam", backoff=Backoff(60.0, 60.0)))
        watched.wait_for(lambda: watched.source.health.state == "waiting")
    else:
        server = rtsp_camera()
        watched = watch(camera(server.url, read_timeout=60.0))
        watched.wait_for_frames(5)
        if moment == "silent":
            server.freeze()
            time.sleep(0.3)
    assert watched.close() < 1.0
    assert watched.error is None


def test_pictures_of_another_size_are_scaled_to_the_first(rtsp_camera, watch):
    server = rtsp_camera()
    watched = watch(camera(server.url))
    watched.wait_for_frames(10)
    server.resize(160, 120)
    watched.wait_for(lambda: watched.source.health.problems != [])
    watched.wait_for_frames(5)
    assert "pictures change from 320×240 to 160×120" in watched.source.health.problems[0]
    assert watched.frames[-1].image.shape == (240, 320, 3)
    assert watched.source.health.reconnects == 0
    assert watched.source.health.gaps == []


def test_without_a_gpu_pictures_are_decoded_on_the_cpu_and_that_is_told(rtsp_camera, relay, watch, monkeypatch, caplog):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    hand = relay(rtsp_camera())
    url = f"rtsp://127.0.0.1:{hand.port}/cam"
    watched = watch(camera(url, accelerate=True, backoff=Backoff(0.01, 0.02)))
    watched.wait_for_frames(5)
    hand.drop()
    watched.wait_for(lambda: watched.source.health.reconnects == 1)
    watched.wait_for_frames(5)
    told = [problem for problem in watched.source.health.problems if "decoded on the CPU" in problem]
    assert len(told) == 1
    assert sum("decoded on the CPU" in message for message in caplog.messages) == 1, "not with every connection"


def test_stride_and_max_fps_hand_out_fewer_pictures(rtsp_camera, watch):
    watched = watch(camera(rtsp_camera("--fps", "20").url, stride=2, max_fps=5.0))
    watched.wait_for_frames(6)
    assert np.median(np.diff(watched.times)) == pytest.approx(0.2, abs=0.02)
    assert watched.source.health.decoded > 3 * watched.source.health.delivered


def test_what_is_wrong_is_told_apart(rtsp_camera, watch, listener):
    protected = rtsp_camera("--user", "ann", "--password", "s3cret")
    good = protected.url.removeprefix("rtsp://")
    mute = rtsp_camera("--sound-alone")
    nobody = listener(b"")
    cases = {
        f"rtsp://ann:wr0ng@{good}": "rejects the user name or the password",
        f"rtsp://{good}": "rejects the user name or the password",
        f"rtsp://ann:s3cret@{good}/none": "knows no stream of this path",
        "rtsp://no-such-camera.invalid/cam": "no host is known by the name no-such-camera.invalid",
        "rtsp://127.0.0.1:9/cam": "127.0.0.1 refuses connections to port 9",
        f"rtsp://127.0.0.1:{nobody}/cam": "is reached, but sends no pictures for 1 s",
        f"rtsp://127.0.0.1:{listener(os.urandom(5000))}/cam": "is reached, but sends no pictures for 3 s",
        mute.url: "sends no video, only audio",
    }
    watches = {
        url: watch(camera(url, connect_timeout=1.0 if str(nobody) in url else 3.0, backoff=Backoff(0.2, attempts=1)))
        for url in cases
    }
    for url, wanted in cases.items():
        watched = watches[url]
        deadline = time.monotonic() + 10
        while watched.error is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert isinstance(watched.error, SourceError)
        assert wanted in str(watched.error)
        assert "wr0ng" not in str(watched.error)
        assert "s3cret" not in str(watched.error)
        assert "s3cret" not in str(watched.source.describe())
