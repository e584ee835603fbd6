"""The tables of an event database, and the steps by which an older one becomes the newest (docs/database.md).

Alembic was weighed for the steps: it adds a template language, an environment script and a folder of version files,
which a wheel would have to carry and a library call would have to find. Three tables need a list and a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    DateTime,
    Dialect,
    Double,
    MetaData,
    String,
    Table,
    inspect,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

from vidan.pipeline.errors import SinkError

_LOCK = 0x76_69_64_61_6E  # "vidan"; any number would do, as long as all who migrate take the same


class _Utc(TypeDecorator[datetime]):
    """A moment: ``timestamptz`` in PostgreSQL, text without zone, in UTC, in SQLite, which knows no times."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value and value.astimezone(UTC)
        return value.replace(tzinfo=UTC)


_JSON = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
_metadata = MetaData()

RUNS = Table(
    "runs",
    _metadata,
    Column("id", String, primary_key=True),
    Column("folder", String),
    Column("status", String),
    Column("started", _Utc),
    Column("ended", _Utc),
    Column("vidan", String),
    Column("semantics", String),
    Column("replayed_from", String),
    Column("manifest", _JSON),
)
EVENTS = Table(
    "events",
    _metadata,
    Column("run", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("number", BigInteger),
    Column("event", String),
    Column("source", String),
    Column("rule", String),
    Column("track", BigInteger),
    Column("class", String),
    Column("time", Double),
    Column("utc", _Utc),
    Column("frame", BigInteger),
    Column("x", Double),
    Column("y", Double),
    Column("confidence", Double),
    Column("details", _JSON),
)

# Each step is SQL as it was when it was written, for ever; only new steps are added. PostgreSQL and SQLite both
# understand it: SQLite takes types for what their names sound like.
MIGRATIONS: list[Sequence[str]] = [
    (
        """
        CREATE TABLE runs (
            id            TEXT PRIMARY KEY,
            folder        TEXT NOT NULL,
            status        TEXT NOT NULL,
            started       TIMESTAMP WITH TIME ZONE NOT NULL,
            ended         TIMESTAMP WITH TIME ZONE,
            vidan         TEXT NOT NULL,
            semantics     TEXT NOT NULL,
            replayed_from TEXT,
            manifest      JSONB NOT NULL
        )
        """,
        """
        CREATE TABLE events (
            run        TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
            id         TEXT NOT NULL,
            number     BIGINT NOT NULL,
            event      TEXT NOT NULL,
            source     TEXT NOT NULL,
            rule       TEXT NOT NULL,
            track      BIGINT,
            class      TEXT,
            time       DOUBLE PRECISION NOT NULL,
            utc        TIMESTAMP WITH TIME ZONE,
            frame      BIGINT NOT NULL,
            x          DOUBLE PRECISION,
            y          DOUBLE PRECISION,
            confidence DOUBLE PRECISION,
            details    JSONB NOT NULL,
            PRIMARY KEY (run, id)
        )
        """,
        "CREATE INDEX events_by_rule ON events (source, rule, utc)",
        "CREATE INDEX events_by_utc ON events (utc)",
    ),
]


def migrate(connection: Connection) -> None:
    """Makes the tables, or brings those of an older vidan up to date, all within the connection's transaction.

    Raises:
        SinkError: If a newer vidan made them.
        sqlalchemy.exc.SQLAlchemyError: If the database refuses a step.
    """
    version = _version(connection)
    if version < len(MIGRATIONS):
        if connection.dialect.name == "postgresql":  # in SQLite, whoever has begun is alone
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        version = _version(connection)  # somebody else may have been faster
        for number, statements in enumerate(MIGRATIONS[version:], version + 1):
            for statement in statements:
                connection.exec_driver_sql(statement)
            _note_version(connection, number)
    elif version > len(MIGRATIONS):
        raise SinkError(
            f"the tables are of version {version}, this vidan knows them up to {len(MIGRATIONS)}: install a newer vidan"
        )


def _version(connection: Connection) -> int:
    """The newest step that was taken, 0 where there is nothing yet."""
    if not inspect(connection).has_table("vidan_schema"):
        return 0
    return connection.execute(text("SELECT max(version) FROM vidan_schema")).scalar_one() or 0


def _note_version(connection: Connection, version: int) -> None:
    if version == 1:
        connection.exec_driver_sql(
            "CREATE TABLE vidan_schema (version INTEGER PRIMARY KEY, migrated TIMESTAMP WITH TIME ZONE NOT NULL)"
        )
    note = text("INSERT INTO vidan_schema (version, migrated) VALUES (:version, CURRENT_TIMESTAMP)")
    connection.execute(note, {"version": version})


def run_row(record: dict[str, Any], folder: str) -> dict[str, Any]:
    """The row of a run, from its run.json."""
    origin = record["replayed_from"]
    return {
        "id": record["run"],
        "folder": folder,
        **{key: record[key] for key in ("status", "vidan", "semantics")},
        **{key: record[key] and datetime.fromisoformat(record[key]) for key in ("started", "ended")},
        "replayed_from": origin and origin["run"],
        "manifest": record,
    }


def event_row(record: dict[str, Any], run: str, number: int) -> dict[str, Any]:
    """The row of an event, from its line in the log: what has no column of its own goes to `details`."""
    plain = {key: record[key] for key in ("id", "event", "source", "rule", "track", "class", "time", "frame")}
    x, y = record["point"] or (None, None)
    known = {*plain, "utc", "point", "confidence"}
    return {
        "run": run,
        "number": number,
        **plain,
        "utc": record["utc"] and datetime.fromisoformat(record["utc"]),
        "x": x,
        "y": y,
        "confidence": record["confidence"],
        "details": {key: value for key, value in record.items() if key not in known},
    }
