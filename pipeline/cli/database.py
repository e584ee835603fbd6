"""vidan db."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TypeAlias

URL_VARIABLE = "VIDAN_DATABASE_URL"

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the commands to `vidan`; the options in `common` are those of every command."""
    database = commands.add_parser("db", help="bring the events of runs to a database")
    actions = database.add_subparsers(title="actions", metavar="ACTION", required=True)

    load = actions.add_parser("load", parents=[common], help="add what is not there yet; safe to repeat")
    load.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    load.add_argument(
        "--url",
        help="postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE; by default what stands in the environment as "
        f"{URL_VARIABLE}, where other users of the machine do not see the password",
    )
    load.set_defaults(command=_load)


def _load(options: argparse.Namespace) -> int:
    from vidan.pipeline.delivered import check_database_url
    from vidan.pipeline.errors import ConfigError
    from vidan.pipeline.past_run import PastRun
    from vidan.pipeline.sinks.database import Database, DatabaseDestination
    from vidan.pipeline.sinks.delivery import deliver_log
    from vidan.pipeline.sinks.outbox import Outbox
    from vidan.pipeline.stages import DeliveryHealth

    url = options.url or os.environ.get(URL_VARIABLE)
    if not url:
        raise ConfigError(f"which database? Name it with --url, or set {URL_VARIABLE}")
    runs = [(path, PastRun.open(path)) for path in options.runs]
    database = Database(check_database_url(url))
    for path, run in runs:
        before = database.count_events(run.id)
        destination = DatabaseDestination(database, run.id, run.folder.path)
        outbox = Outbox(run.folder.events, run.id, DeliveryHealth(destination.name, destination.to))
        deliver_log(destination, outbox, run.record, run.folder.events)
        number = database.count_events(run.id)
        sys.stdout.write(f"{path}: {number - before} events added, {number} there now\n")
    database.close()
    return 0
