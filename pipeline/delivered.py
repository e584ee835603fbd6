"""The database of a run: opened with it, told with it, and accounted for in its manifest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec

from pydantic import ValidationError

from vidan.pipeline.config.outputs import DatabaseOutputConfig
from vidan.pipeline.errors import ConfigError, SinkError
from vidan.pipeline.manifest import Manifest
from vidan.pipeline.masking import mask_url_password
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks.delivery import DatabaseSink


def require_driver(wanted: DatabaseOutputConfig | None) -> None:
    """Says before a run what would keep all of its events from the database.

    Raises:
        ConfigError: If the driver is not installed.
    """
    if wanted and wanted.url and wanted.url.startswith("postgresql") and find_spec("psycopg") is None:
        raise ConfigError(
            "output.database.url: PostgreSQL needs a driver that is not installed: pip install 'vidan[postgres]'"
        )


def check_database_url(url: str) -> str:
    """The URL of a database as configs may have it, relative to where the user is.

    Raises:
        ConfigError: If it is none, or the driver is not installed.
    """
    try:
        wanted = DatabaseOutputConfig.model_validate({"url": url})
    except ValidationError as error:
        raise ConfigError(
            f"{mask_url_password(url)}: {error.errors()[0]['msg'].removeprefix('Value error, ')}"
        ) from error
    require_driver(wanted)
    return url


@contextmanager
def delivering(
    wanted: DatabaseOutputConfig | None, manifest: Manifest, folder: RunFolder
) -> Iterator[list[DatabaseSink]]:
    """Within, the sink that brings events to the database, if one is wanted; it stands behind that of the event log.

    At the end, whatever happened, the database learns how the run ended, and run.json how the database did.

    Raises:
        SinkError: If run.json cannot be written. What is wrong with the database stands in it, and stops nothing.
    """
    if wanted is None:
        yield []
        return
    from vidan.pipeline.sinks.database import Database, sqlite_url

    sink = DatabaseSink(Database(wanted.url or sqlite_url(folder.database)), folder.events, manifest.to_record())

    def conclude() -> None:
        sink.close()
        manifest.database = sink.conclude(manifest.to_record())
        manifest.write(folder.manifest)

    try:
        yield [sink]
    except BaseException:
        with suppress(SinkError):  # the first error is the one to tell
            conclude()
        raise
    conclude()
