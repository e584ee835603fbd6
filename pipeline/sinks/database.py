"""Database: runs and their events in SQLite or PostgreSQL, through SQLAlchemy. What is there already stays as it is."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event, func, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from vidan.pipeline.errors import SinkError
from vidan.pipeline.masking import MASK, mask_url_password
from vidan.pipeline.sinks.database_tables import EVENTS, RUNS, event_row, migrate, run_row
from vidan.pipeline.sinks.destination import Destination, LoggedEvent

_POSTGRESQL_OPTIONS = {  # a server that is gone without a word is noticed within seconds
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # milliseconds
    "application_name": "vidan",
}
_SQLITE_PRAGMAS = ("busy_timeout = 10000", "synchronous = NORMAL", "foreign_keys = ON")
_WAL_SECONDS = 10.0


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite:///{path}"


class DatabaseDestination(Destination):
    """Brings the events of a run to a database. Its rows are its cursor: they say what it has.

    Args:
        database: Closed with the destination.
        run: Id of the run.
        folder: Of the run.
    """

    batch_events = 1000  # per transaction

    def __init__(self, database: Database, run: str, folder: Path) -> None:
        self.name = "database"
        self.to = database.shown
        self.title = f"the database {database.shown}"
        self._database = database
        self._run = run
        self._folder = folder

    def announce(self, record: Mapping[str, Any]) -> None:
        self._database.put_run(record, self._folder)

    def position(self) -> int:
        return self._database.last_number(self._run)

    def deliver(self, events: Sequence[LoggedEvent]) -> None:
        self._database.add_events(self._run, events)

    def close(self) -> None:
        self._database.close()


class Database:
    """One database. Nothing is opened before the first call; tables are made, or brought up to date, with it.

    Every call is one transaction. After an error, be it that the server went away, the next call begins anew.

    Args:
        url: ``postgresql://...`` or ``sqlite:///...``, as configs have it.

    Raises:
        SinkError: If the URL cannot be understood, or the driver of PostgreSQL is not installed.
    """

    def __init__(self, url: str) -> None:
        self.shown = mask_url_password(url)
        try:
            parsed = make_url(url)
            self._password = str(parsed.password or "")
            if parsed.get_backend_name() == "sqlite":
                self._insert = sqlite.insert
                self._engine = create_engine(parsed)
                event.listen(self._engine, "connect", _prepare_sqlite)
                event.listen(self._engine, "begin", _begin_sqlite)
            else:
                self._insert = postgresql.insert
                parsed = parsed.set(drivername="postgresql+psycopg")
                self._engine = create_engine(parsed, connect_args=_POSTGRESQL_OPTIONS)
        except ImportError as error:
            raise SinkError(
                f"the database {self.shown} needs a driver that is not installed: pip install 'vidan[postgres]'"
            ) from error
        except (SQLAlchemyError, ValueError) as error:
            raise SinkError(f"the URL of the database {self.shown} cannot be understood") from error
        self._is_migrated = False

    def put_run(self, record: Mapping[str, Any], folder: Path) -> None:
        """Adds a run, or brings its row up to date.

        Args:
            record: As it stands in its run.json.
            folder: Of the run.

        Raises:
            SinkError: If the database cannot be reached or refuses.
        """
        row = run_row(dict(record), str(folder))
        with self._begin() as connection:
            statement = self._insert(RUNS).values(row)
            connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=row))

    def add_events(self, run: str, events: Sequence[LoggedEvent]) -> None:
        """Adds events of a run that is there; those whose ids it has already are left out.

        Args:
            run: Its id.
            events: Lines of its log.

        Raises:
            SinkError: If the database cannot be reached or refuses.
        """
        rows = [event_row(dict(event.record), run, event.number) for event in events]
        with self._begin() as connection:
            connection.execute(self._insert(EVENTS).on_conflict_do_nothing(index_elements=["run", "id"]), rows)

    def last_number(self, run: str) -> int:
        """Number of the last event of a run that is there, 0 for none. They come in order, so all before it are, too.

        Raises:
            SinkError: If the database cannot be reached or refuses.
        """
        with self._begin() as connection:
            query = select(func.coalesce(func.max(EVENTS.c.number), 0)).where(EVENTS.c.run == run)
            return connection.execute(query).scalar_one()

    def count_events(self, run: str) -> int:
        """How many events of a run are there.

        Raises:
            SinkError: If the database cannot be reached or refuses.
        """
        with self._begin() as connection:
            query = select(func.count()).select_from(EVENTS).where(EVENTS.c.run == run)
            return connection.execute(query).scalar_one()

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                if not self._is_migrated:
                    migrate(connection)
                yield connection
                self._is_migrated = True
        except SQLAlchemyError as error:
            raise SinkError(f"cannot write to the database {self.shown}: {self._reason(error)}") from error
        except SinkError as error:
            raise SinkError(f"cannot write to the database {self.shown}: {error}") from error

    def _reason(self, error: SQLAlchemyError) -> str:
        """What the driver says, in one line: without the statement and its values, without the password."""
        told = str(error.orig if isinstance(error, DBAPIError) and error.orig is not None else error)
        if self._password:
            told = told.replace(self._password, MASK)
        return mask_url_password(next(filter(None, map(str.strip, told.splitlines())), type(error).__name__))


def _prepare_sqlite(connection: Any, _: object) -> None:
    """WAL, so that others can read while a run writes. Transactions are begun here, not by the driver."""
    connection.isolation_level = None  # the driver would begin too late: after CREATE TABLE
    for pragma in _SQLITE_PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    give_up_at = time.monotonic() + _WAL_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:  # two that open a new file at once: here SQLite does not wait by itself
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
