"""What goes wrong with cameras, one thing after another on real RTSP servers: what is lost, and how long it lasts.

    python benchmarks/live/faults.py --json faults.json

A second camera is watched all the time. Cut networks and lost packets need root.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "servers"))

from camera_process import Network, Relay, RtspCamera, can_make_networks, can_serve
from run_faults import RUN_FAULTS, RunOutcome

from vidan.pipeline.sources import addresses
from vidan.pipeline.sources.camera import CameraSource

FPS = 25
SETTLE_SECONDS = 5.0  # of pictures before a fault, and after it


class Watched:
    """A camera with the settings that a config has by default, read by a thread of its own."""

    def __init__(self, url: str, **options: Any) -> None:
        self.source = CameraSource("camera", addresses.rtsp(url, **options))
        self.times: list[float] = []
        self.arrivals: list[float] = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def wait_for_pictures(self, number: int = 1, seconds: float = 120.0) -> None:
        wanted, deadline = len(self.times) + number, time.monotonic() + seconds
        while len(self.times) < wanted and time.monotonic() < deadline:
            time.sleep(0.005)

    def close(self) -> float:
        began = time.monotonic()
        self.source.close()
        self._thread.join()
        return time.monotonic() - began

    def _read(self) -> None:
        for frame in self.source:
            self.arrivals.append(time.monotonic())
            self.times.append(frame.stamp.pts_seconds)


@dataclass
class Outcome:
    """What a fault did.

    Attributes:
        fault: In words.
        seconds: From its beginning to its end.
        back_after: Seconds from its end to the next picture; 0 where pictures went on all the time.
        missing_seconds: That the coverage of the stream says are missing.
        lost_seconds: Of film that has not come, until some seconds after pictures came again.
        reconnects: Of the camera.
        said: Why, in the words of the source.
        longest_wait_of_other: Seconds between two pictures of the other camera, at most.
    """

    fault: str
    seconds: float
    back_after: float
    missing_seconds: float
    lost_seconds: float
    reconnects: int
    said: str
    longest_wait_of_other: float


class Stage:
    """The camera that will suffer, and the one that must not notice."""

    def __init__(self) -> None:
        self.closing = ExitStack()
        self.other = Watched(self.serve().url)
        self.closing.callback(self.other.close)
        self.other.wait_for_pictures(FPS)

    def serve(self, *options: str, network: Network | None = None) -> RtspCamera:
        camera = RtspCamera("--fps", str(FPS), *options, network=network)
        self.closing.callback(camera.kill)
        return camera

    def run(
        self, fault: str, url: str, begin: Callable[[], None], end: Callable[[], None], seconds: float, **options: Any
    ) -> Outcome:
        """Watches a camera while something happens to it."""
        watched = Watched(url, **options)
        began = time.monotonic()
        if begin is not _nothing:
            watched.wait_for_pictures(int(SETTLE_SECONDS * FPS))
            began = time.monotonic()
            begin()
        time.sleep(seconds)
        end()
        ended = time.monotonic()
        watched.wait_for_pictures()
        time.sleep(SETTLE_SECONDS)
        health = watched.source.health
        watched.close()
        during = [at for at in watched.arrivals if began <= at]
        back = next((at for at in during if at >= ended), float("nan")) - ended
        came = sum(1 for at in during if at < during[-1]) if during else 0
        filmed = during[-1] - began if during else 0.0
        waits = [b - a for a, b in zip(self.other.arrivals, self.other.arrivals[1:], strict=False) if b >= began]
        return Outcome(
            fault,
            round(ended - began, 1),
            round(back, 2),
            round(sum(end - start for start, end in health.gaps), 1),
            round(max(0.0, filmed - came / FPS), 1),
            health.reconnects,
            health.last_error or "",
            round(max(waits, default=0.0), 2),
        )


def _nothing() -> None:
    pass


def killed(stage: Stage) -> Outcome:
    camera = stage.serve()
    return stage.run("server killed and started again", camera.url, camera.kill, camera.start, 10.0)


def frozen(stage: Stage) -> Outcome:
    camera = stage.serve()
    return stage.run("server accepts and sends nothing", camera.url, camera.freeze, camera.thaw, 15.0)


def resized(stage: Stage) -> Outcome:
    camera = stage.serve()
    return stage.run(
        "pictures change their size",
        camera.url,
        partial(camera.resize, 640, 480),
        partial(camera.resize, 320, 240),
        5.0,
    )


def damaged(stage: Stage) -> Outcome:
    relay = Relay(int(stage.serve().port))
    stage.closing.callback(relay.close)
    url = f"rtsp://127.0.0.1:{relay.port}/cam"
    return stage.run(
        "garbage in one of 50 pieces",
        url,
        partial(setattr, relay, "damage", 0.02),
        partial(setattr, relay, "damage", 0.0),
        10.0,
    )


def no_camera(stage: Stage) -> Outcome:
    """Something else listens at the camera's port, and then the camera."""
    camera = stage.serve()
    camera.kill()
    garbage = socket.create_server(("127.0.0.1", int(camera.port)))

    def answer() -> None:
        try:
            while True:
                connection, _ = garbage.accept()
                connection.sendall(os.urandom(5000))
                connection.close()
        except OSError:
            return

    threading.Thread(target=answer, daemon=True).start()

    def make_way() -> None:
        garbage.shutdown(socket.SHUT_RDWR)
        garbage.close()
        time.sleep(0.1)
        camera.start()

    return stage.run("garbage instead of RTSP at the start", camera.url, _nothing, make_way, 10.0)


def wrong_password(stage: Stage) -> Outcome:
    camera = stage.serve("--user", "ann", "--password", "other")

    def set_right() -> None:
        camera.kill()
        camera.options = ("--user", "ann", "--password", "right")
        camera.start()

    url = camera.url.replace("rtsp://", "rtsp://ann:right@")
    return stage.run("wrong password at the start", url, _nothing, set_right, 10.0)


def absent(stage: Stage) -> Outcome:
    camera = stage.serve()
    camera.kill()
    return stage.run("camera absent at the start", camera.url, _nothing, camera.start, 10.0)


def unknown(stage: Stage) -> Outcome:
    """The name is never found, for the resolver is not ours to change; what counts is the other camera."""
    watched = Watched("rtsp://no-such-camera.invalid/cam")
    began = time.monotonic()
    time.sleep(10.0)
    took = watched.close()
    waits = [b - a for a, b in zip(stage.other.arrivals, stage.other.arrivals[1:], strict=False) if b >= began]
    said = f"{watched.source.health.last_error} (closed in {took:.2f} s)"
    return Outcome("name not found (DNS)", 10.0, float("nan"), 0.0, 10.0, 0, said, round(max(waits), 2))


def cut(stage: Stage, seconds: float) -> Outcome:
    network = Network()
    stage.closing.callback(network.close)
    camera = stage.serve(network=network)
    return stage.run(f"network cut for {seconds:g} s", camera.url, network.cut, network.mend, seconds)


def lossy(stage: Stage, transport: str) -> Outcome:
    network = Network()
    stage.closing.callback(network.close)
    camera = stage.serve(network=network)

    def begin() -> None:
        network.loss, network.delay_seconds = 0.05, 0.05

    def end() -> None:
        network.loss, network.delay_seconds = 0.0, 0.0

    name = f"5 % of packets lost, 50 ms late ({transport.upper()})"
    return stage.run(name, camera.url, begin, end, 20.0, transport=transport)


FAULTS: dict[str, Callable[[Stage], Outcome]] = {
    "killed": killed,
    "frozen": frozen,
    "resized": resized,
    "damaged": damaged,
    "no-camera": no_camera,
    "wrong-password": wrong_password,
    "absent": absent,
    "unknown": unknown,
}
NETWORK_FAULTS: dict[str, Callable[[Stage], Outcome]] = {
    "cut-5": partial(cut, seconds=5.0),
    "cut-30": partial(cut, seconds=30.0),
    "loss-tcp": partial(lossy, transport="tcp"),
    "loss-udp": partial(lossy, transport="udp"),
}


def main() -> None:
    names = [*FAULTS, *NETWORK_FAULTS, *RUN_FAULTS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", help=f"some of {', '.join(names)}; without: all")
    parser.add_argument("--json", type=Path, help="write the outcomes to this file, too")
    options = parser.parse_args()
    if not can_serve():
        sys.exit("needs GStreamer's RTSP server: apt-get install gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-ugly")
    faults = FAULTS | (NETWORK_FAULTS if can_make_networks() else {})
    wanted = options.faults or names
    outcomes = [asdict(outcome) for outcome in _to_cameras([name for name in wanted if name in faults], faults)]
    outcomes += [asdict(outcome) for outcome in _to_runs([name for name in wanted if name in RUN_FAULTS])]
    if options.json:
        options.json.write_text(json.dumps(outcomes, indent=2) + "\n")


def _to_cameras(names: Sequence[str], faults: Mapping[str, Callable[[Stage], Outcome]]) -> Iterator[Outcome]:
    if names:
        print(
            "| fault | lasted | pictures again, after its end | gap in the coverage | lost of 25 fps | connected anew "
            "| other camera waited, at most | said |"
        )
        print("|---|---|---|---|---|---|---|---|")
    for name in names:
        stage = Stage()
        with stage.closing:
            outcome = faults[name](stage)
        print(
            f"| {outcome.fault} | {outcome.seconds:.0f} s | {outcome.back_after:.1f} s "
            f"| {outcome.missing_seconds:.1f} s | {outcome.lost_seconds:.1f} s "
            f"| {outcome.reconnects} | {outcome.longest_wait_of_other:.2f} s | {outcome.said} |",
            flush=True,
        )
        yield outcome


def _to_runs(names: Sequence[str]) -> Iterator[RunOutcome]:
    if names:
        print("| fault | lasted | lost | goes on, after its end | a stream waited, at most | said |")
        print("|---|---|---|---|---|---|")
    for name in names:
        outcome = RUN_FAULTS[name]()
        print(
            f"| {outcome.fault} | {outcome.seconds:.0f} s | {outcome.lost} | {outcome.back_after:.1f} s "
            f"| {outcome.longest_wait:.2f} s | {outcome.said} |",
            flush=True,
        )
        yield outcome


if __name__ == "__main__":
    main()
