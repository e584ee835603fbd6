"""Events in a database: all of them, each once, whatever happens to the database meanwhile."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import create_engine, inspect, select

from vidan.detector import Detections
from vidan.pipeline.errors import SinkError, SourceError
from vidan.pipeline.events import Event, EventKind, event_id, to_record
from vidan.pipeline.frame import Frame, FrameResult, Stamp
from vidan.pipeline.manifest import Manifest
from vidan.pipeline.sinks import database_tables, delivery
from vidan.pipeline.sinks.database import Database, DatabaseDestination, sqlite_url
from vidan.pipeline.sinks.database_tables import EVENTS, MIGRATIONS, RUNS
from vidan.pipeline.sinks.delivery import DeliverySink
from vidan.pipeline.sinks.files import JsonlSink
from vidan.pipeline.sinks.outbox import Outbox
from vidan.pipeline.stages import DeliveryHealth
from vidan.trackers import Tracks

BEGAN = datetime(2026, 5, 1, 8, 0, tzinfo=UTC)


def event(number: int) -> Event:
    return Event(
        id=event_id("door", "gate", EventKind.LINE_CROSSED, number, 1),
        kind=EventKind.LINE_CROSSED,
        stream="door",
        rule="gate",
        track_id=number,
        label="person",
        pts_seconds=number / 7,
        utc=BEGAN,
        frame=number,
        point=(1.5, 2.25),
        box=(0.0, 0.0, 3.0, 4.0),
        confidence=0.5,
        details={"direction": "in", "certainty": "seen", "segment": 0},
    )


def result(*events: Event) -> FrameResult:
    frame = Frame.from_array(Stamp("door", 0, 0.0), np.zeros((48, 64, 3), np.uint8))
    return FrameResult(frame, Detections.empty(), Tracks.empty(), (), events)


def database_outbox(url: str, log: Path, run: str) -> tuple[DatabaseDestination, Outbox]:
    destination = DatabaseDestination(Database(url), run, log.parent)
    return destination, Outbox(log, run, DeliveryHealth(destination.name, destination.to))


def database_sink(url: str, log: Path, record: dict[str, Any]) -> DeliverySink:
    return DeliverySink(*database_outbox(url, log, record["run"]), record)


def deliver_log(url: str, log: Path, record: dict[str, Any]) -> int:
    return delivery.deliver_log(*database_outbox(url, log, record["run"]), record, log)


class Run:
    """A run that does nothing but log events and tell a database."""

    def __init__(self, folder: Path, url: str) -> None:
        folder.mkdir(exist_ok=True)
        self.log = folder / "events.jsonl"
        self.manifest = Manifest(config={})
        self._logging = JsonlSink(self.log)
        self.sink = database_sink(url, self.log, self.manifest.to_record())

    def write(self, *numbers: int) -> None:
        told = result(*map(event, numbers))
        self._logging.write(told)
        self.sink.write(told)

    def end(self) -> DeliveryHealth:
        self._logging.close()
        self.sink.close()
        self.sink.close()
        self.sink.conclude(self.manifest.to_record() | {"status": "complete"})
        return self.sink.health


def stored(url: str, run: str) -> list[dict[str, Any]]:
    """The events of a run in the order of the log."""
    database = Database(url)
    with database._begin() as connection:
        rows = connection.execute(select(EVENTS).where(EVENTS.c.run == run).order_by(EVENTS.c.number))
        return [dict(row) for row in rows.mappings()]


def wait_until(is_true: Any) -> None:
    deadline = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def postgres_url(postgres: Any) -> Iterator[str]:
    """A PostgreSQL database without tables."""
    yield postgres.url
    engine = create_engine(postgres.url.replace("://", "+psycopg://"))
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS events, runs, vidan_schema, sites")
    engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.needs_postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "events.sqlite")
    return request.getfixturevalue("postgres_url")


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "LINGER_SECONDS", 0.01)
    monkeypatch.setattr(delivery, "FIRST_DELAY_SECONDS", 0.02)


def test_every_event_arrives_as_it_stands_in_the_log(url: str, tmp_path: Path) -> None:
    run = Run(tmp_path / "run", url)
    for number in range(1, 50, 2):
        run.write(number, number + 1)
    told = run.end()
    assert (told.delivered, told.pending, told.error) == (50, 0, None)
    rows = stored(url, run.manifest.run)
    assert [row["number"] for row in rows] == list(range(1, 51))
    for row, line in zip(rows, run.log.read_text().splitlines(), strict=True):
        record = json.loads(line)
        assert {key: row[key] for key in ("id", "event", "source", "rule", "track", "class", "time", "frame")} == {
            key: record[key] for key in ("id", "event", "source", "rule", "track", "class", "time", "frame")
        }
        assert (row["x"], row["y"]) == (1.5, 2.25)
        assert row["utc"] == BEGAN
        assert row["details"] == {key: record[key] for key in ("box", "direction", "certainty", "segment")}


def test_the_run_has_a_row_with_its_manifest_from_the_beginning_to_the_end(url: str, tmp_path: Path) -> None:
    run = Run(tmp_path / "run", url)
    database = Database(url)

    def row() -> dict[str, Any] | None:
        with database._begin() as connection:
            found = connection.execute(select(RUNS).where(RUNS.c.id == run.manifest.run)).mappings().first()
            return dict(found) if found else None

    wait_until(row)
    assert (row() or {})["status"] == "running"
    run.end()
    ended = row() or {}
    assert ended["status"] == ended["manifest"]["status"] == "complete"
    assert ended["folder"] == str(tmp_path / "run")
    assert abs((ended["started"] - run.manifest.started).total_seconds()) < 0.01


def test_two_runs_whose_events_have_the_same_ids_are_both_there(url: str, tmp_path: Path) -> None:
    """Ids are unique within a run: the first track of Monday has the id of the first track of Tuesday."""
    runs = [Run(tmp_path / name, url) for name in ("monday", "tuesday")]
    for run in runs:
        run.write(1, 2)
        run.end()
    assert [len(stored(url, run.manifest.run)) for run in runs] == [2, 2]


def test_loading_a_log_again_adds_only_what_is_missing(url: str, tmp_path: Path) -> None:
    log, record = tmp_path / "events.jsonl", Manifest(config={}).to_record()
    sink = JsonlSink(log)
    for numbers, expected in (((0, 1, 2), 3), ((), 3), ((7, 8, 9), 6)):
        sink.write(result(*map(event, numbers)))
        assert deliver_log(url, log, record) == expected, "all of them are sent"
        assert len(stored(url, record["run"])) == expected


def test_a_run_that_goes_on_sends_only_what_the_database_has_not(url: str, tmp_path: Path) -> None:
    run = Run(tmp_path / "run", url)
    run.write(1, 2, 3)
    run.end()
    with run.log.open("a") as log:
        log.write(json.dumps(to_record(event(4))) + "\n")
    sink = database_sink(url, run.log, run.manifest.to_record())
    sink.conclude(run.manifest.to_record())
    assert sink.health.delivered == 4
    assert [row["track"] for row in stored(url, run.manifest.run)] == [1, 2, 3, 4]


def test_a_line_that_is_only_half_there_is_taken_when_it_is_whole(tmp_path: Path) -> None:
    url, log = sqlite_url(tmp_path / "events.sqlite"), tmp_path / "events.jsonl"
    lines = [json.dumps(to_record(event(number))).encode() + b"\n" for number in range(3)]
    record = Manifest(config={}).to_record()
    log.write_bytes(lines[0] + lines[1][:40])
    sink = database_sink(url, log, record)
    wait_until(lambda: (tmp_path / "events.sqlite").exists() and len(stored(url, record["run"])) == 1)
    log.write_bytes(b"".join(lines))
    sink.write(result(event(1)))
    sink.close()
    sink.conclude(record)
    assert sink.health.delivered == 3
    assert [row["track"] for row in stored(url, record["run"])] == [0, 1, 2]


def test_a_database_that_comes_late_gets_everything(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "later"
    run = Run(tmp_path / "run", sqlite_url(folder / "events.sqlite"))
    run.write(1)
    wait_until(lambda: run.sink.health.error is not None)
    run.write(2)
    folder.mkdir()
    wait_until(lambda: run.sink.health.error is None)
    run.write(3)
    assert run.end().error is None
    assert [row["track"] for row in stored(sqlite_url(folder / "events.sqlite"), run.manifest.run)] == [1, 2, 3]
    assert [record.message.split("; ")[-1] for record in caplog.records] == [
        "the run goes on, and it is tried again",
        f"the database {sqlite_url(folder / 'events.sqlite')} is back, and has all events",
    ]


def test_a_database_that_never_comes_is_told_and_nobody_waits_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "PATIENCE_SECONDS", 0.1)
    run = Run(tmp_path / "run", sqlite_url(tmp_path / "no" / "events.sqlite"))
    run.write(1)
    began = time.monotonic()
    told = run.end()
    assert time.monotonic() - began < 5
    assert told.delivered == 0
    assert (told.error or "").startswith(
        f"cannot write to the database sqlite:///{tmp_path}/no/events.sqlite: unable to open"
    )


def test_a_bug_in_the_thread_is_carried_to_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Database, "put_run", fail)
    run = Run(tmp_path / "run", sqlite_url(tmp_path / "events.sqlite"))
    with pytest.raises(ZeroDivisionError):
        run.end()


@pytest.mark.needs_postgres
def test_a_server_killed_and_restarted_during_a_run_loses_and_doubles_nothing(
    postgres: Any, postgres_url: str, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run", postgres_url)
    killed, restarted = threading.Event(), threading.Event()

    def kill_and_restart() -> None:
        postgres.kill()
        killed.set()
        time.sleep(0.3)
        postgres.start()
        restarted.set()

    troublemaker = threading.Thread(target=kill_and_restart)
    number = 0
    while number < 1500 or not restarted.is_set():
        number += 1
        run.write(number)
        time.sleep(0.0005)
        if number == 500:
            wait_until(lambda: len(stored(postgres_url, run.manifest.run)) > 100)
            troublemaker.start()
    told = run.end()
    troublemaker.join()
    assert killed.is_set()
    assert told.error is None
    assert [row["track"] for row in stored(postgres_url, run.manifest.run)] == list(range(1, number + 1))


@pytest.mark.needs_postgres
def test_no_message_shows_the_password(postgres: Any) -> None:
    wrong = postgres.url.replace("pa55word", "s3cret")
    for url in (wrong, wrong.replace(f":{postgres.port}", ":1"), f"{postgres.url}-nowhere"):
        with pytest.raises(SinkError) as caught:
            Database(url).count_events("x")
        message = str(caught.value)
        assert "s3cret" not in message
        assert "pa55word" not in message
        assert message.startswith("cannot write to the database postgresql://postgres:***@127.0.0.1:")
        assert "\n" not in message


def test_older_tables_are_brought_up_to_date_and_keep_their_rows(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path / "run", url)
    run.write(1, 2)
    run.end()
    first = ("ALTER TABLE events ADD COLUMN site TEXT NOT NULL DEFAULT 'here'",)
    second = ("CREATE TABLE sites (name TEXT PRIMARY KEY)", "INSERT INTO sites SELECT DISTINCT site FROM events")
    monkeypatch.setattr(database_tables, "MIGRATIONS", [*MIGRATIONS, first, second])
    for _ in range(2):
        newer = Database(url)
        with newer._begin() as connection:
            assert connection.exec_driver_sql("SELECT site FROM events").scalars().all() == ["here", "here"]
            assert connection.exec_driver_sql("SELECT name FROM sites").scalars().all() == ["here"]
            versions = connection.exec_driver_sql("SELECT version FROM vidan_schema ORDER BY 1").scalars().all()
            assert versions == list(range(1, len(MIGRATIONS) + 3))
        newer.close()


def test_a_step_that_fails_leaves_the_tables_as_they_were(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Database(url).count_events("x")
    torn = ("CREATE TABLE sites (name TEXT PRIMARY KEY)", "ALTER TABLE nothing ADD COLUMN site TEXT")
    monkeypatch.setattr(database_tables, "MIGRATIONS", [*MIGRATIONS, torn])
    with pytest.raises(SinkError, match="nothing"):
        Database(url).count_events("x")
    monkeypatch.undo()
    database = Database(url)
    with database._begin() as connection:
        assert set(inspect(connection).get_table_names()) == {"runs", "events", "vidan_schema"}
    database.close()


def test_tables_of_a_newer_vidan_are_not_touched(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_tables, "MIGRATIONS", [*MIGRATIONS, ()])
    Database(url).count_events("x")
    monkeypatch.undo()
    with pytest.raises(SinkError, match=r"tables are of version 2, .* up to 1: install a newer vidan"):
        Database(url).count_events("x")


def test_the_steps_make_the_tables_that_are_used(url: str) -> None:
    database = Database(url)
    with database._begin() as connection:
        for table in (RUNS, EVENTS):
            made = {column["name"] for column in inspect(connection).get_columns(table.name)}
            assert made == set(table.columns.keys())
    database.close()


def test_many_may_begin_at_once_with_a_database_that_is_empty(url: str) -> None:
    failures: list[SinkError] = []

    def begin() -> None:
        try:
            Database(url).count_events("x")
        except SinkError as error:
            failures.append(error)

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_others_read_a_sqlite_file_while_a_run_writes_it(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", sqlite_url(tmp_path / "events.sqlite"))
    run.write(1)
    wait_until(lambda: len(stored(sqlite_url(tmp_path / "events.sqlite"), run.manifest.run)) == 1)
    with sqlite3.connect(tmp_path / "events.sqlite") as reader:
        assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM events").fetchone() == (1,)
        run.write(2)
        assert run.end().error is None
        assert reader.execute("SELECT count(*) FROM events").fetchone() == (1,), "its own moment"
    reader.close()


def test_a_damaged_log_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"id": "1"}\n')
    url, record = sqlite_url(tmp_path / "events.sqlite"), Manifest(config={}).to_record()
    with pytest.raises(SourceError, match=r"events\.jsonl is damaged"):
        deliver_log(url, tmp_path / "events.jsonl", record)
    with pytest.raises(SourceError, match="cannot read the event log"):
        deliver_log(url, tmp_path / "none.jsonl", record)
