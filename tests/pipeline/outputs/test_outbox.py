"""The outbox: whatever happens between two batches, everything arrives, and in order."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidan.pipeline.errors import SinkError
from vidan.pipeline.sinks.destination import Destination, LoggedEvent
from vidan.pipeline.sinks.outbox import Outbox
from vidan.pipeline.stages import DeliveryHealth


class Bucket(Destination):
    """Takes events, except those calls of which the number is among the failures."""

    def __init__(self, batch_events: int = 3, failures: Iterable[int] = ()) -> None:
        self.name, self.title, self.to = "bucket", "the bucket", "here"
        self.batch_events = batch_events
        self.wants_history = True
        self.calls = 0
        self.failures = set(failures)
        self.numbers: list[int] = []
        self.recalled: list[int] = []

    def deliver(self, events: Sequence[LoggedEvent]) -> None:
        self.calls += 1
        self.numbers += [event.number for event in events]
        if self.calls in self.failures:  # it has them, and yet nobody learns of it
            raise self.cannot_deliver("full")

    def recall(self, events: Iterable[LoggedEvent]) -> None:
        self.recalled += [event.number for event in events]


def line(number: int) -> bytes:
    return json.dumps({"id": f"{number:016x}", "source": "a", "rule": "r", "event": "line_crossed"}).encode() + b"\n"


def append(log: Path, numbers: Iterable[int]) -> None:
    with log.open("ab") as file:
        file.write(b"".join(map(line, numbers)))


@pytest.fixture
def open_outbox(tmp_path: Path) -> Callable[..., Outbox]:
    def make(run: str = "run", **more: Any) -> Outbox:
        return open_in(tmp_path, run, **more)

    return make


def open_in(folder: Path, run: str = "run", **more: Any) -> Outbox:
    health = DeliveryHealth("bucket", "here")
    return Outbox(folder / "events.jsonl", run, health, cursor=folder / "outbox" / "bucket.json", **more)


def drain(outbox: Outbox, bucket: Bucket) -> None:
    outbox.note_growth()
    outbox.look(bucket)
    list(outbox.deliver_to(bucket))


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 7), st.booleans()), min_size=1, max_size=8),
    failures=st.sets(st.integers(1, 12)),
    batch=st.integers(1, 5),
)
def test_whatever_fails_and_whoever_dies_all_events_come_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, bool]], failures: set[int], batch: int
) -> None:
    """Each step logs some events, delivers, and perhaps dies before the cursor is saved again."""
    folder = tmp_path_factory.mktemp("outbox")
    bucket = Bucket(batch, failures)
    logged = 0
    outbox = open_in(folder)
    for count, dies in [*steps, *[(0, False)] * len(failures)]:
        append(folder / "events.jsonl", range(logged + 1, logged + count + 1))
        logged += count
        with suppress(SinkError):
            drain(outbox, bucket)
        assert outbox.health.delivered + outbox.health.pending == logged
        if dies:
            outbox.close()
            outbox = open_in(folder)
    outbox.close()
    assert list(dict.fromkeys(bucket.numbers)) == list(range(1, logged + 1))
    assert outbox.health.delivered == logged


def test_a_crash_between_a_delivery_and_its_cursor_repeats_one_batch(
    tmp_path: Path, open_outbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(tmp_path / "events.jsonl", range(1, 8))
    outbox, bucket = open_outbox(), Bucket(3)
    outbox.look(bucket)
    batches = outbox.deliver_to(bucket)
    next(batches)
    monkeypatch.setattr(Outbox, "_save", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        next(batches)
    monkeypatch.undo()
    outbox.close()
    drain(open_outbox(), bucket)
    assert bucket.numbers == [1, 2, 3, 4, 5, 6, 4, 5, 6, 7]


def test_too_many_pending_events_are_skipped_counted_and_told(
    tmp_path: Path, open_outbox: Any, caplog: pytest.LogCaptureFixture
) -> None:
    append(tmp_path / "events.jsonl", range(1, 11))
    outbox, bucket = open_outbox(keep=4), Bucket()
    drain(outbox, bucket)
    assert bucket.numbers == [7, 8, 9, 10]
    assert bucket.recalled == [1, 2, 3, 4, 5, 6], "its totals know them all the same"
    assert (outbox.health.delivered, outbox.health.skipped, outbox.health.pending) == (4, 6, 0)
    assert "more than 4 events were pending, so the oldest 6 of them are skipped" in caplog.text


def test_only_events_that_are_meant_for_it_count_against_the_limit(tmp_path: Path, open_outbox: Any) -> None:
    append(tmp_path / "events.jsonl", range(1, 21))
    outbox, bucket = open_outbox(keep=4, is_wanted=lambda record: int(record["id"], 16) % 5 == 0), Bucket()
    drain(outbox, bucket)
    assert bucket.numbers == [5, 10, 15, 20]
    assert outbox.health.skipped == 0


def test_a_line_that_is_torn_or_may_be_taken_back_waits(tmp_path: Path, open_outbox: Any) -> None:
    log = tmp_path / "events.jsonl"
    append(log, [1])
    outbox, bucket = open_outbox(), Bucket()
    append(log, [2])  # nobody has said that this stays
    outbox.look(bucket)
    list(outbox.deliver_to(bucket))
    assert bucket.numbers == [1]
    with log.open("ab") as file:
        file.write(line(3)[:20])
    drain(outbox, bucket)
    assert bucket.numbers == [1, 2]
    with log.open("ab") as file:
        file.write(line(3)[20:])
    drain(outbox, bucket)
    assert bucket.numbers == [1, 2, 3]


def test_lines_that_a_power_cut_took_are_delivered_again_when_they_come_again(tmp_path: Path, open_outbox: Any) -> None:
    log = tmp_path / "events.jsonl"
    append(log, range(1, 6))
    outbox, bucket = open_outbox(), Bucket()
    drain(outbox, bucket)
    outbox.close()
    log.write_bytes(b"".join(map(line, range(1, 4))) + line(4)[:9])
    outbox = open_outbox()
    log.write_bytes(b"".join(map(line, range(1, 8))))
    drain(outbox, bucket)
    assert bucket.numbers == [1, 2, 3, 4, 5, 4, 5, 6, 7]


@pytest.mark.parametrize("cursor", ["", "{", "[]", '{"run": "run", "else": 1}', '{"run": "other", "number": 3}'])
def test_a_cursor_that_cannot_be_trusted_starts_over(tmp_path: Path, open_outbox: Any, cursor: str) -> None:
    append(tmp_path / "events.jsonl", range(1, 4))
    (tmp_path / "outbox").mkdir()
    (tmp_path / "outbox" / "bucket.json").write_text(cursor)
    bucket = Bucket()
    drain(open_outbox(), bucket)
    assert bucket.numbers == [1, 2, 3]


def test_a_cursor_of_another_log_starts_over(tmp_path: Path, open_outbox: Any) -> None:
    log = tmp_path / "events.jsonl"
    append(log, range(1, 4))
    outbox, bucket = open_outbox(), Bucket()
    drain(outbox, bucket)
    outbox.close()
    log.write_bytes(b"".join(map(line, range(11, 16))))
    drain(open_outbox(), bucket)
    assert bucket.numbers == [1, 2, 3, 1, 2, 3, 4, 5]


def test_a_destination_with_a_memory_is_told_what_an_earlier_process_sent(tmp_path: Path, open_outbox: Any) -> None:
    append(tmp_path / "events.jsonl", range(1, 4))
    outbox = open_outbox()
    drain(outbox, Bucket())
    outbox.close()
    later, bucket = open_outbox(), Bucket()
    later.tell_history(bucket)
    assert bucket.recalled == [1, 2, 3]
    assert later.health.delivered == 3


def test_two_processes_never_deliver_from_one_log(tmp_path: Path, open_outbox: Any) -> None:
    outbox = open_outbox()
    with pytest.raises(SinkError, match="another process delivers the events of"):
        open_outbox()
    outbox.close()
    open_outbox().close()


def test_a_disk_that_is_full_stops_no_delivery(
    tmp_path: Path, open_outbox: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: object, cursor: object) -> None:
        raise OSError(28, "No space left on device")

    append(tmp_path / "events.jsonl", range(1, 8))
    outbox, bucket = open_outbox(), Bucket(2)
    monkeypatch.setattr("vidan.pipeline.sinks.outbox._write", full)
    with caplog.at_level(logging.WARNING):
        drain(outbox, bucket)
    assert bucket.numbers == list(range(1, 8))
    assert caplog.text.count("after a crash, events may be delivered twice") == 1
