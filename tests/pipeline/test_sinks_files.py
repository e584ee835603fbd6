"""The event log: complete up to its last line, whatever happens, and read back as it was written."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.detector import Detections
from vidan.pipeline.errors import PipelineError, SinkError
from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.frame import Frame, FrameResult, Stamp
from vidan.pipeline.sinks import files
from vidan.pipeline.sinks.files import JsonlSink, read_events
from vidan.trackers import Tracks

CROSSING = Event(
    id="00112233445566aa",
    kind=EventKind.LINE_CROSSED,
    stream="Tür 入口",
    rule="gate",
    track_id=3,
    label="person",
    pts_seconds=1.25,
    utc=datetime(2024, 5, 1, 10, 0, 1, 250_000, tzinfo=UTC),
    frame=31,
    point=(10.5, 20.25),
    box=(1.0, 2.0, 20.0, 20.25),
    confidence=0.75,
    details={"direction": "hinein", "certainty": "seen", "class_share": 1.0, "segment": 0},
)


def result(*events: Event) -> FrameResult:
    frame = Frame.from_array(Stamp("door", 0, 0.0), np.zeros((2, 2, 3), np.uint8))
    return FrameResult(frame, Detections.empty(), Tracks.empty(), (), events)


def test_events_come_back_as_they_were(tmp_path: Path) -> None:
    exceeded = replace(
        CROSSING, kind=EventKind.CAPACITY_EXCEEDED, track_id=None, label=None, utc=None, point=None, box=None,
        confidence=None, details={"count": 11},
    )  # fmt: skip
    sink = JsonlSink(tmp_path / "events.jsonl")
    for each in (result(CROSSING), result(), result(exceeded, CROSSING)):
        sink.write(each)
    sink.close()
    assert list(read_events(tmp_path / "events.jsonl")) == [CROSSING, exceeded, CROSSING]


def test_a_sink_can_write_the_near_misses_instead(tmp_path: Path) -> None:
    near_miss = replace(CROSSING, kind=EventKind.NEAR_MISS, details={"reason": "turned", "distance": 0.05})
    sink = JsonlSink(tmp_path / "near_misses.jsonl", attrgetter("near_misses"))
    for each in (result(CROSSING), replace(result(CROSSING), near_misses=(near_miss,))):
        sink.write(each)
    sink.close()
    assert list(read_events(tmp_path / "near_misses.jsonl")) == [near_miss]


def test_a_line_is_one_compact_json_object_in_utf_8(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path / "events.jsonl")
    sink.write(result(CROSSING))
    sink.close()
    text = (tmp_path / "events.jsonl").read_text(encoding="utf-8")
    assert text.startswith(
        '{"id":"00112233445566aa","event":"line_crossed","source":"Tür 入口","rule":"gate","track":3'
    )
    assert text.endswith('"segment":0}\n')
    assert text.count("\n") == 1


def test_lines_are_in_the_file_before_it_is_closed(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path / "events.jsonl")
    sink.write(result(CROSSING, CROSSING))
    assert len(list(read_events(tmp_path / "events.jsonl"))) == 2
    sink.close()


def test_the_disk_is_bothered_at_most_every_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, synced = [0.0], []
    monkeypatch.setattr(files.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(files.os, "fsync", lambda _: synced.append(now[0]))
    sink = JsonlSink(tmp_path / "events.jsonl")
    for now[0] in (0.1, 0.5, 1.2, 1.3, 5.0, 5.1):
        sink.write(result(CROSSING))
    sink.close()
    sink.close()
    assert synced == [1.2, 5.0, 5.1]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_log_that_was_cut_anywhere_gives_its_whole_lines(data: st.DataObject, tmp_path_factory) -> None:
    path = tmp_path_factory.mktemp("cut") / "events.jsonl"
    sink = JsonlSink(path)
    for i in range(3):
        sink.write(result(replace(CROSSING, frame=i)))
    sink.close()
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    complete = whole[:cut].count(b"\n") + (whole[cut : cut + 1] == b"\n")  # only the line break is missing
    assert [event.frame for event in read_events(path)] == list(range(complete))


@pytest.mark.parametrize(
    "line",
    [b"{", b"3", b"[1]", b"null", b"\xff\xfe", b'{"id": "a"}', b"", b'{"id":1,"event":"danced"}'],
    ids=["torn", "number", "list", "null", "not utf-8", "fields missing", "empty", "unknown kind"],
)
def test_a_broken_line_in_the_middle_is_named_with_file_and_line(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "events.jsonl"
    sink = JsonlSink(path)
    sink.write(result(CROSSING))
    sink.close()
    good = path.read_bytes()
    path.write_bytes(good + line + b"\n" + good)
    with pytest.raises(PipelineError, match=r"events\.jsonl:2: not an event"):
        list(read_events(path))


def test_a_torn_last_line_is_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"id":"0011')
    with caplog.at_level(logging.WARNING):
        assert list(read_events(path)) == []
    assert "events.jsonl:1: the last line is torn" in caplog.text


def test_a_missing_log_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"cannot read the event log .*No such file"):
        list(read_events(tmp_path / "no.jsonl"))
    with pytest.raises(SinkError, match=r"cannot write the event log .*No such file"):
        JsonlSink(tmp_path / "no" / "events.jsonl")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full (Linux)")
def test_events_that_waited_in_vain_are_told_at_the_end() -> None:
    sink = JsonlSink(Path("/dev/full"), waits=True)
    sink.write(result(CROSSING))
    with pytest.raises(SinkError, match="No space left on device"):
        sink.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full (Linux)")
def test_a_full_disk_is_told() -> None:
    sink = JsonlSink(Path("/dev/full"))
    with pytest.raises(SinkError, match="No space left on device"):
        sink.write(result(CROSSING))


def test_a_piece_that_does_not_fit_is_taken_back(tmp_path: Path) -> None:
    """A file that takes 20 more bytes and then none: what a disk does that fills up."""

    class Filling:
        def __init__(self, file) -> None:
            self.file = file
            self.left: int | None = None

        def write(self, data) -> int:
            if self.left == 0:
                raise OSError(28, "No space left on device")
            piece = bytes(data)[: self.left]
            self.left = None if self.left is None else self.left - len(piece)
            return self.file.write(piece)

        def __getattr__(self, name: str):
            return getattr(self.file, name)

    sink = JsonlSink(tmp_path / "events.jsonl")
    sink._file = disk = Filling(sink._file)  # pyright: ignore[reportAttributeAccessIssue]
    sink.write(result(CROSSING))
    disk.left = 20
    with pytest.raises(SinkError):
        sink.write(result(CROSSING))
    disk.left = None
    sink.write(result(replace(CROSSING, frame=99)))
    sink.close()
    lines = (tmp_path / "events.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["frame"] for line in lines] == [31, 99]


def test_writing_after_close_is_a_mistake(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path / "events.jsonl")
    sink.close()
    with pytest.raises(ValueError, match="closed"):
        sink.write(result(CROSSING))
