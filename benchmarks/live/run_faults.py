"""What goes wrong with whole runs, while they watch two cameras: brokers, disks, folders, clocks, kills.

Each function does one thing to a `vidan run` in a process of its own and says what came of it; faults.py calls them.
"""

from __future__ import annotations

import csv
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from broker_process import Server, Subscriber, free_port, mqtt_broker
from cameras import Kind, cameras, config_of

VIDAN = (sys.executable, "-m", "vidan.pipeline.cli.main")
PAIR = (Kind(384, 288, 10), Kind(320, 240, 8))
SETTLE_SECONDS = 6.0  # of counting before a fault, and after it
KILLS = 20
FAKE_TIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
NO_OVERRIDE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")  # root to whom folders may say no


@dataclass
class RunOutcome:
    """What a fault did to a run.

    Attributes:
        fault: In words.
        seconds: From its beginning to its end.
        lost: Events, and whatever else.
        back_after: Seconds from its end until what it had stopped went on; 0 where nothing stopped.
        longest_wait: Seconds between two analysed pictures of a stream, at most.
        said: By vidan.
    """

    fault: str
    seconds: float
    lost: str
    back_after: float
    longest_wait: float
    said: str


class Run:
    """A `vidan run` of the given cameras, and how its counting goes on."""

    def __init__(self, urls: Sequence[str], folder: Path, output: str, where: Path | None = None) -> None:
        self.folder = where or folder / "run"
        self.config = folder / "run.yaml"
        self.log = folder / "run.log"
        self._port = free_port()
        self.config.write_text(
            config_of(urls, self.folder, image_size=256, batch=4, port=self._port, output=f"evidence: false, {output}")
        )
        self.longest_wait = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str, prefix: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*prefix, *VIDAN, "run", str(self.config), "--quiet", *options],
                stderr=log,
                env=os.environ | (environment or {}),
            )

    def wait_for(self, is_true: Callable[[], Any], seconds: float = 120.0) -> float:
        """Waits until that is so; how long it took."""
        began = time.monotonic()
        while not is_true():
            assert time.monotonic() < began + seconds, self.log.read_text()
            assert self._process is None or self._process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        return time.monotonic() - began

    def wait_for_events(self, more: int) -> float:
        wanted = len(self.lines()) + more
        return self.wait_for(lambda: len(self.lines()) >= wanted)

    def health(self) -> dict[str, Any]:
        with suppress(OSError), urlopen(f"http://127.0.0.1:{self._port}/healthz", timeout=5) as answer:
            return json.loads(answer.read())
        return {"streams": {}}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within, the longest wait between two analysed pictures of any stream is noted."""
        over = threading.Event()

        def watch() -> None:
            newest: dict[str, tuple[int, float]] = {}
            while not over.wait(0.05):
                for name, stream in self.health()["streams"].items():
                    analysed, since = newest.get(name, (0, time.monotonic()))
                    if stream["analysed"] != analysed:
                        newest[name] = stream["analysed"], time.monotonic()
                    self.longest_wait = max(self.longest_wait, time.monotonic() - since)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def said_events(self) -> int:
        """How many events the rules have told so far."""
        return sum(stream["events"] for stream in self.health()["streams"].values())

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        code, self._process = self._process.wait(90), None
        return code

    def lines(self) -> list[bytes]:
        log = self.folder / "events.jsonl"
        return log.read_bytes().splitlines(keepends=True) if log.exists() else []

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]

    def said(self, word: str) -> str:
        """The first line of the log with this word."""
        return next((line for line in self.log.read_text().splitlines() if word in line), f"nothing of {word}")


@contextmanager
def run_of_two(output: str = "video: false", where: Path | None = None) -> Iterator[Run]:
    with tempfile.TemporaryDirectory() as folder, cameras(PAIR) as servers:
        run = Run([server.url for server in servers], Path(folder), output, where)
        try:
            yield run
        finally:
            if run._process is not None:
                run.end(signal.SIGKILL)


def broker(when: str, seconds: float = 15.0) -> RunOutcome:
    """An MQTT broker is away: at the `start`, in the `middle`, or for the whole `run`."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin") or sys.exit("needs mosquitto")
    with tempfile.TemporaryDirectory() as folder:
        server = mqtt_broker(program, Path(folder) / "mosquitto")
        server.start()
        listener = Subscriber(server.port, "vidan/+/+/+")
        time.sleep(0.5)  # until its session is known
        with run_of_two(f"video: false, mqtt: {{url: 'mqtt://127.0.0.1:{server.port}', topic: vidan}}") as run:
            try:
                return _without_broker(run, server, listener, when, seconds)
            finally:
                listener.close()
                server.stop()


def _without_broker(run: Run, server: Server, listener: Subscriber, when: str, seconds: float) -> RunOutcome:
    def arrived() -> list[str]:
        return [json.loads(text)["id"] for topic, text, _ in tuple(listener.messages) if "/events/" in topic]

    if when != "middle":
        server.stop()
    run.start()
    run.wait_for_events(3)
    with run.watching():
        time.sleep(SETTLE_SECONDS)
        if when == "middle":
            server.stop()
        began = time.monotonic()
        time.sleep(seconds)
        lasted = time.monotonic() - began
        back, code = 0.0, 0
        if when != "run":
            before = len(arrived())
            server.start()
            back = run.wait_for(lambda: len(arrived()) > before)
            time.sleep(SETTLE_SECONDS)
    code = run.end()
    if when == "run":
        server.start()
        began = time.monotonic()
        subprocess.run([*VIDAN, "deliver", str(run.config), str(run.folder)], check=True, stdout=subprocess.DEVNULL)
        back = time.monotonic() - began
    logged = [event["id"] for event in run.events()]
    with suppress(AssertionError):
        run.wait_for(lambda: set(arrived()) >= set(logged), 20.0)
    in_order = all(
        [i for i in dict.fromkeys(arrived()) if i in own] == [i for i in logged if i in own]
        for own in ({event["id"] for event in run.events() if event["source"] == name} for name in ("cam0", "cam1"))
    )
    lost = f"{len(set(logged) - set(arrived()))} of {len(logged)} events"
    lost += f", {len(arrived()) - len(set(arrived()))} came twice, {'in' if in_order else 'NOT in'} order"
    told = {"start": "at the start", "middle": "in the middle", "run": "for the whole run, then `vidan deliver`"}[when]
    return RunOutcome(f"broker down {told}", lasted, lost, back, run.longest_wait, f"exit {code}; " + run.said("mqtt"))


def disk_full(seconds: float = 20.0) -> RunOutcome:
    """Somebody fills the disk of the run, a small tmpfs, to the last byte, again and again; later it is free again."""
    with tempfile.TemporaryDirectory() as disk:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", disk], check=True)
        try:
            output = "video: {segment_seconds: 5, reserve_gigabytes: 0.001}"
            with run_of_two(output, Path(disk) / "run") as run:
                run.start()
                run.wait_for_events(3)
                with run.watching():
                    time.sleep(SETTLE_SECONDS)
                    began = time.monotonic()
                    with (Path(disk) / "stranger").open("wb", buffering=0) as stranger:
                        while time.monotonic() < began + seconds:
                            _fill(stranger)
                            time.sleep(0.1)
                        known = len(run.lines())
                        stranger.truncate(0)
                    lasted = time.monotonic() - began
                    back = run.wait_for(lambda: len(run.lines()) > known)
                    time.sleep(SETTLE_SECONDS)
                    said = run.said_events()
                code = run.end()
                lines = run.lines()
                lost = f"{max(0, said - len(lines))} of {len(lines)} events; video that the disk had no room for"
                assert all(line.endswith(b"\n") for line in lines)
                told = f"exit {code}; " + run.said("wait in memory")
                return RunOutcome("disk full", lasted, lost, back, run.longest_wait, told)
        finally:
            subprocess.run(["umount", disk], check=True)


def _fill(stranger: Any) -> None:
    try:
        while stranger.write(bytes(4096)):
            pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def read_only(when: str, seconds: float = 15.0) -> RunOutcome:
    """Nothing can be made in the folder of the run: from the `start`, or from the `middle` on for a while."""
    with run_of_two("video: {segment_seconds: 2}") as run:
        if when == "start":
            run.folder.mkdir(mode=0o555)
            run.start(prefix=NO_OVERRIDE)
            assert run._process is not None
            began = time.monotonic()
            code, run._process = run._process.wait(60), None
            told = f"exit {code}; " + run.log.read_text().strip()
            return RunOutcome(
                "read-only folder at the start", time.monotonic() - began, "the run", float("nan"), 0, told
            )
        run.start(prefix=NO_OVERRIDE)
        run.wait_for_events(3)
        folders = [run.folder, *(path for path in run.folder.rglob("*") if path.is_dir())]
        with run.watching():
            time.sleep(SETTLE_SECONDS)
            began = time.monotonic()
            for folder in folders:
                folder.chmod(0o555)
            time.sleep(seconds)
            for folder in folders:
                folder.chmod(0o755)
            ended = time.time()
            lasted = time.monotonic() - began
            back = run.wait_for(lambda: any(path.stat().st_mtime > ended for path in run.folder.rglob("*.mp4")))
            time.sleep(SETTLE_SECONDS)
            said = run.said_events()
        code = run.end()
        lost = f"{max(0, said - len(run.lines()))} of {len(run.lines())} events; video meanwhile"
        told = f"exit {code}; " + run.said("video")
        return RunOutcome("read-only folder in the middle", lasted, lost, back, run.longest_wait, told)


def clock_stepped(step: str) -> RunOutcome:
    """The clock on the wall of the run, and of nobody else, is set by as much (libfaketime)."""
    with run_of_two() as run, tempfile.TemporaryDirectory() as folder:
        offset = Path(folder) / "offset"
        offset.write_text("+0\n")
        run.start(
            environment={
                "LD_PRELOAD": str(FAKE_TIME),
                "FAKETIME_TIMESTAMP_FILE": str(offset),
                "FAKETIME_NO_CACHE": "1",
                "DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        )
        run.wait_for_events(3)
        with run.watching():
            time.sleep(SETTLE_SECONDS)
            offset.write_text(f"{step}\n")
            back = run.wait_for_events(1)
            time.sleep(3 * SETTLE_SECONDS)
            said = run.said_events()
        code = run.end()
        events = run.events()
        record = json.loads((run.folder / "run.json").read_text())
        jumps = 0
        for name in ("cam0", "cam1"):
            times = [(event["time"], event["utc"]) for event in events if event["source"] == name]
            jumps += sum(b[0] - a[0] > 60 or b[0] < a[0] - 10 for a, b in pairwise(times))
        missing = [gap for stream in record["streams"] for gap in stream["gaps"] if gap["reason"] == "missing"]
        gaps = sum(gap["end"] - gap["start"] for gap in missing)
        lost = f"{max(0, said - len(events))} of {len(events)} events; {jumps} jumps of times, {gaps:.1f} s of gaps"
        told = f"exit {code}; " + run.said("clock")
        return RunOutcome(f"clock set by {step} s", 0.0, lost, back, run.longest_wait, told)


def killed_run(kills: int = KILLS) -> RunOutcome:
    """The whole run is killed at random moments, each time `--resume`d; then what it has left is checked."""
    draw = random.Random(6)
    kept: list[bytes] = []
    tracks: Counter[str] = Counter()
    backs = []
    began = time.monotonic()
    with run_of_two() as run:
        for _ in range(kills):
            run.start("--resume")
            deadline = time.monotonic() + draw.uniform(0.0, 20.0)
            started, known = time.monotonic(), len(run.lines())
            while time.monotonic() < deadline:
                if len(run.lines()) > known:
                    backs.append(time.monotonic() - started)
                    known = sys.maxsize
                time.sleep(0.02)
            run.end(signal.SIGKILL)
            _check_kill(run, kept, tracks)
            kept = run.lines()
        run.start("--resume")
        run.wait_for_events(3)
        code = run.end()
        _check_kill(run, kept, tracks)
        events = run.events()
        with (run.folder / "counts.csv").open() as file:
            counted = sum(int(row["count"] or 0) for row in csv.DictReader(file))
        counted_kinds = {"line_crossed", "zone_entered", "zone_left", "zone_appeared", "zone_vanished"}
        logged = sum(event["event"] in counted_kinds for event in events)
        twice = len(events) - len({event["id"] for event in events})
        assert twice == 0, f"{twice} events twice"
        assert counted == logged, f"{counted} counted, {logged} in the log"
        lost = f"0 of {len(events)} events, none twice, no half line; counts.csv has all {counted} passages"
        back = sorted(backs)[len(backs) // 2] if backs else float("nan")
        told = f"exit {code} at the end; {len(backs)} of {kills} lives long enough to log an event"
    return RunOutcome(f"kill -9 at {kills} random moments", time.monotonic() - began, lost, back, float("nan"), told)


def _check_kill(run: Run, kept: Sequence[bytes], tracks: Counter[str]) -> None:
    lines = run.lines()
    assert lines[: len(kept)] == kept, "what was committed has changed"
    assert all(line.endswith(b"\n") for line in lines), "a half line"
    begun: dict[str, list[int]] = {}
    for line in lines[len(kept) :]:
        event = json.loads(line)
        if event["event"] in ("zone_entered", "zone_appeared", "line_crossed"):
            begun.setdefault(event["source"], []).append(event["track"])
    for name, numbers in begun.items():
        assert min(numbers) > tracks[name], f"{name}: a track number twice"
        tracks[name] = max(numbers)


RUN_FAULTS: dict[str, Callable[[], RunOutcome]] = {
    "broker-start": lambda: broker("start"),
    "broker-middle": lambda: broker("middle"),
    "broker-run": lambda: broker("run"),
    "disk-full": disk_full,
    "read-only-start": lambda: read_only("start"),
    "read-only": lambda: read_only("middle"),
    "clock-forward": lambda: clock_stepped("+3600"),
    "clock-back": lambda: clock_stepped("-3600"),
    "kills": killed_run,
}
