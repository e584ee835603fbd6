"""Cameras behind networks that are cut, lose packets, and change bytes."""

from __future__ import annotations

import time
from typing import Any

import pytest

from vidan.pipeline.sources import addresses
from vidan.pipeline.sources.backoff import Backoff
from vidan.pipeline.sources.camera import CameraSource

pytestmark = pytest.mark.needs_rtsp


def camera(url: str, transport: Any = "tcp", **settings: Any) -> CameraSource:
    patience = {"connect_timeout": 2.0, "read_timeout": 1.0, "backoff": Backoff(0.2, 0.4)}
    return CameraSource("north", addresses.rtsp(url, transport=transport), **patience | settings)


def test_a_network_that_is_cut_is_a_gap_and_other_cameras_do_not_notice(rtsp_camera, network, watch):
    far, near = watch(camera(rtsp_camera(network=network).url)), watch(camera(rtsp_camera().url))
    far.wait_for_frames(10)
    near.wait_for_frames(10)
    network.cut()
    cut = time.monotonic()
    far.wait_for(lambda: far.source.health.state == "waiting")
    time.sleep(1.0)
    network.mend()
    before = len(far.frames)
    far.wait_for_frames(10)
    (gap,) = far.source.health.gaps
    assert gap[1] - gap[0] == pytest.approx(far.arrivals[before] - cut, abs=1.0)
    assert near.source.health.gaps == []
    assert near.source.health.reconnects == 0


def test_a_network_that_is_cut_for_less_than_the_time_out_costs_nothing(rtsp_camera, network, watch):
    watched = watch(camera(rtsp_camera(network=network).url, read_timeout=8.0))
    watched.wait_for_frames(10)
    network.cut()
    time.sleep(1.5)
    network.mend()
    watched.wait_for_frames(60)
    assert watched.source.health.reconnects == 0
    assert watched.source.health.gaps == [], "TCP brings what was filmed meanwhile, late"


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_lost_and_late_packets_stop_nothing(transport, rtsp_camera, network, watch):
    watched = watch(camera(rtsp_camera(network=network).url, transport, connect_timeout=8.0, read_timeout=4.0))
    watched.wait_for_frames(10)
    network.loss, network.delay_seconds = 0.05, 0.04
    seen = len(watched.frames)
    time.sleep(4.0)
    assert len(watched.frames) - seen > 60, "of 100 pictures; the loss of a packet may cost those up to a key frame"
    assert watched.times == sorted(set(watched.times))
    assert watched.source.health.discontinuities == 0
    assert watched.close() < 1.0


def test_bytes_that_change_on_the_way_break_pictures_and_no_more(rtsp_camera, relay, watch):
    hand = relay(rtsp_camera())
    watched = watch(camera(f"rtsp://127.0.0.1:{hand.port}/cam"))
    watched.wait_for_frames(10)
    hand.damage = 0.05
    time.sleep(2.0)
    hand.damage = 0.0
    time.sleep(1.0)
    watched.wait_for_frames(30)
    assert watched.times == sorted(set(watched.times))
    assert watched.source.health.state == "playing"
    assert watched.error is None
