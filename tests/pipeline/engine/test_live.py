"""Cameras: what fails of one of them concerns it alone, and it follows on where it was broken off."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

import numpy as np
import pytest
import shapely

from vidan.pipeline.control import Control
from vidan.pipeline.coverage import GapReason
from vidan.pipeline.engine import stream as stream_module
from vidan.pipeline.engine.lane import Lane
from vidan.pipeline.engine.run import Engine
from vidan.pipeline.engine.stream import Patience, Stream
from vidan.pipeline.engine.watchdog import Watchdog
from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.frame import Frame, Stamp
from vidan.pipeline.rules.line import LineRule
from vidan.pipeline.rules.zone import ZoneRule
from vidan.pipeline.stages import SourceHealth
from vidan.pipeline.stream_record import StreamRecord
from vidan.pipeline.telemetry import Telemetry
from vidan.trackers import ByteTracker, FixedLagSmoother, Tracks


class Camera:
    """A made-up camera of 100 frames a second, until it is closed; it may hang or break after some frames."""

    live = True

    def __init__(self, name: str, *, hangs_after: int | None = None, error: Exception | None = None) -> None:
        self.name = name
        self.health = SourceHealth()
        self._hangs_after = hangs_after
        self._error = error
        self._closed = threading.Event()

    def describe(self) -> dict[str, str]:
        return {"type": "fake"}

    def __iter__(self):
        index = 0
        while not self._closed.wait(0.01):
            if index == self._hangs_after:
                if self._error is not None:
                    raise self._error
                self._closed.wait()
                return
            now = datetime.now(UTC)
            yield Frame.from_array(Stamp(self.name, index, index / 100, now), np.zeros((4, 6, 3), np.uint8))
            index += 1

    def close(self) -> None:
        self._closed.set()


def _streams(sources: Sequence[Camera]) -> list[Stream]:
    return [Stream(source, StreamRecord(source.name, "fake", source.health)) for source in sources]


def _run_until(streams, detector, make_lane, sink, is_enough: Callable[[], bool], **options) -> None:
    """Runs cameras until there is enough, or for half a minute."""
    give_up_at = time.monotonic() + 30
    control = Control(lambda: is_enough() or time.monotonic() > give_up_at)
    Engine(streams, detector, make_lane, [sink], batch=4, control=control, **options).run()
    assert is_enough()


class FailingRule:
    """Tells one stay when it is asked first, and fails the n-th time."""

    name = "yard"

    def __init__(self, fails_at: int) -> None:
        self._fails_at = fails_at
        self._asked = 0

    def update(self, stamp: Stamp, tracks: Tracks) -> list[Event]:
        self._asked += 1
        if self._asked == self._fails_at:
            raise ZeroDivisionError("a bug")
        if self._asked > 1 or not len(tracks):
            return []
        track = int(tracks.track_id[0])
        return [
            Event(f"{track}", EventKind.ZONE_ENTERED, stamp.stream, "yard", track, "thing", stamp.pts_seconds, None, 0)
        ]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "FIRST_DELAY_SECONDS", 0.05)


def test_a_rule_that_fails_ends_the_lane_of_its_camera_alone_and_a_new_one_follows(
    detector, list_sink, impatient: None
) -> None:
    sink, streams = list_sink(), _streams([Camera("a"), Camera("b")])

    def make_lane(frame: Frame) -> Lane:
        stream = {stream.name: stream for stream in streams}[frame.stamp.stream]
        rules = [FailingRule(20)] if frame.stamp.stream == "a" else []
        smoother = FixedLagSmoother(0.0)
        return Lane(tracker=ByteTracker(), smoother=smoother, rules=rules, numbering=stream.numbering)

    def of(kind: EventKind) -> list[Event]:
        return [event for result in sink.results for event in result.events if event.kind is kind]

    telemetry = Telemetry()
    _run_until(streams, detector, make_lane, sink, lambda: len(of(EventKind.ZONE_ENTERED)) >= 3, telemetry=telemetry)
    came, vanished = of(EventKind.ZONE_ENTERED), of(EventKind.ZONE_VANISHED)
    assert len({event.track_id for event in came}) == len(came), "ids of tracks go on"
    assert {event.track_id for event in came[:2]} <= {event.track_id for event in vanished}, "nobody stays for ever"
    assert all(event.details["cut_off"] for event in vanished)
    first, second = (stream.record for stream in streams)
    assert "ZeroDivisionError: a bug" in first.problems[0]
    assert second.problems == []
    indices = [index for name, index in sink.seen if name == "b"]
    assert indices == sorted(indices)
    assert telemetry.stream("b").restarts == 0, "the other camera did not notice"


@pytest.mark.parametrize("error", [None, ZeroDivisionError("a bug")])
def test_a_camera_whose_reader_hangs_or_fails_is_opened_anew_and_time_goes_on(
    detector, list_sink, impatient: None, error: Exception | None
) -> None:
    sink, streams = list_sink(), _streams([Camera("a", hangs_after=20, error=error), Camera("b")])
    streams[0].reopen = lambda: Camera("a")

    def make_lane(frame: Frame) -> Lane:
        return Lane(tracker=ByteTracker(), smoother=FixedLagSmoother(0.0), rules=[])

    def told() -> list[Stamp]:
        return [result.frame.stamp for result in sink.results if result.frame.stamp.stream == "a"]

    telemetry = Telemetry()
    watchdog = Watchdog(reader_seconds=1.0)
    _run_until(streams, detector, make_lane, sink, lambda: len(told()) > 40, telemetry=telemetry, watchdog=watchdog)
    stamps = told()[:-1]  # the last picture is told once more, when the lane ends
    assert [stamp.index for stamp in stamps] == sorted({stamp.index for stamp in stamps})
    steps = np.diff([stamp.pts_seconds for stamp in stamps])
    assert steps.min() > 0
    passed = (stamps[20].utc - stamps[0].utc).total_seconds()  # type: ignore[operator]
    assert stamps[20].pts_seconds - stamps[0].pts_seconds == pytest.approx(passed, abs=0.5)
    record = streams[0].record
    gap = next(gap for gap in record.gaps if gap.reason is GapReason.MISSING)
    assert gap.end == pytest.approx(stamps[20].pts_seconds)
    assert telemetry.stream("a").restarts == 1
    assert telemetry.stream("b").restarts == 0


def test_an_event_of_a_camera_is_told_with_its_own_frame(detector, list_sink) -> None:
    sink, streams = list_sink(), _streams([Camera("a", hangs_after=5)])
    rule = FailingRule(99)

    def make_lane(frame: Frame) -> Lane:
        return Lane(tracker=ByteTracker(), smoother=FixedLagSmoother(0.0), rules=[rule])

    _run_until(streams, detector, make_lane, sink, lambda: len(sink.results) >= 5)
    assert [index for _, index in sink.seen][:5] == [0, 1, 2, 3, 4], "the fifth did not wait for a sixth"


def test_a_detector_that_hangs_is_told_and_a_stop_does_not_wait_for_it(
    detector, list_sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    class HangingDetector(type(detector)):
        def detect(self, images):
            release.wait(20)
            return super().detect(images)

    monkeypatch.setattr("vidan.pipeline.engine.run.DRAIN_SECONDS", 0.2)
    telemetry = Telemetry()
    streams = _streams([Camera("a")])
    watchdog = Watchdog(detector_seconds=0.2)

    def make_lane(frame: Frame) -> Lane:
        raise AssertionError("nothing was detected")

    began = time.monotonic()
    _run_until(
        streams, HangingDetector(), make_lane, list_sink(), lambda: bool(telemetry.stalled),
        telemetry=telemetry, watchdog=watchdog,
    )  # fmt: skip
    assert time.monotonic() - began < 5
    assert telemetry.stalled[0].startswith("the detector has not answered for")
    release.set()


def test_latencies_of_every_stage_are_told_by_stream(detector, list_sink) -> None:
    telemetry, streams, sink = Telemetry(), _streams([Camera("a"), Camera("b")]), list_sink()

    def make_lane(frame: Frame) -> Lane:
        name = frame.stamp.stream
        return Lane(tracker=ByteTracker(), smoother=FixedLagSmoother(0.0), rules=[], telemetry=telemetry.stream(name))

    _run_until(streams, detector, make_lane, sink, lambda: len(sink.results) > 60, telemetry=telemetry)
    for snapshot in telemetry.snapshot().streams:
        counts = {name: histogram.count for name, histogram in snapshot.latency.items()}
        assert min(counts.values()) >= snapshot.analysed > 20, counts
        total = snapshot.latency["total"].quantile(0.95)
        assert total is not None
        assert total < 0.5


def test_patience_grows_with_each_failure_and_is_restored_by_a_calm_time() -> None:
    now = [0.0]
    patience = Patience(lambda: now[0])
    assert [patience.fail() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert not patience.is_over
    now[0] = 60.0
    assert patience.is_over
    now[0] = 1000.0
    assert patience.fail() == 1


def test_a_run_of_months_keeps_its_accounts_small() -> None:
    record = StreamRecord("a", "fake", SourceHealth())
    for i in range(8_000):
        at = 100.0 * i
        record.drops.note_dropped(at)
        record.drops.note_dropped(at + 5)
        record.drops.note_analysed(at + 10)
        record.health.gaps.append((at + 20, at + 30))
        record.complain(f"pictures change at {at} s")
        record.stay_small()
    told = record.to_record()
    assert len(told["gaps"]) < 12_000
    assert len(told["drops"]) <= 5_000
    assert len(told["problems"]) <= 100
    assert told["frames"]["dropped"] == 16_000
    lost = sum(gap.end - gap.start for gap in record.gaps if gap.reason is GapReason.MISSING)
    assert lost >= 8_000 * 10
    assert record.gaps[-1].start > 100.0 * 7_990, "the newest are as they were"


def test_rules_forget_what_was_never_confirmed() -> None:
    rules = [
        LineRule(name="gate", points=[(0, 5), (99, 5)], class_names=["thing"]),
        ZoneRule(name="yard", polygon=shapely.box(0, 0, 99, 99), class_names=["thing"]),
    ]
    tracemalloc.start()
    sizes = []
    for number in range(1, 901):
        row = np.array([[10, 0, 20, 5]], np.float32)
        young = Tracks(
            np.array([number]), row, np.ones(1, np.float32), np.zeros(1, np.int64), np.ones(1, np.float32),
            np.zeros(1, np.bool_), np.ones(1, np.bool_), ended=(number,),
        )  # fmt: skip
        for rule in rules:
            assert rule.dismiss(Stamp("a", number, number / 10), young), "it is told"
        if number in (300, 900):
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert sizes[1] - sizes[0] < 50_000


def test_a_clock_that_is_set_is_no_gap_and_an_absence_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wall(datetime):
        """The clock on the wall, that somebody sets."""

        ahead = timedelta()

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return super().now(tz) + cls.ahead

    monkeypatch.setattr(stream_module, "datetime", Wall)
    monkeypatch.setitem(globals(), "datetime", Wall)  # the camera's
    camera = Camera("a")
    stream = Stream(camera, StreamRecord("a", "a", camera.health))
    stream.attach(threading.Event())
    stream.keep_accounts()
    assert stream.record.gaps == (), "nobody knows yet whether it will come"
    camera.health.start_utc = datetime.now(UTC) - timedelta(seconds=20)
    stream.keep_accounts()
    (gap,) = stream.record.gaps
    assert (gap.start, gap.reason) == (0.0, GapReason.MISSING)
    assert gap.end == pytest.approx(20.0, abs=5.0)
    Wall.ahead = timedelta(hours=1)
    stream.keep_accounts()
    assert stream.record.gaps[0].end == pytest.approx(20.0, abs=5.0)
    stream.follow_on(GapReason.MISSING)
    frame = next(iter(stream.source))
    assert frame.stamp.pts_seconds == pytest.approx(20.0, abs=5.0)
    assert frame.stamp.utc is not None
    assert frame.stamp.utc > datetime.now(UTC) - timedelta(minutes=1), "it has the new time"
    camera.close()
