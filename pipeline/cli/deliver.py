"""vidan deliver."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TypeAlias

from vidan.pipeline.cli.logs import say_error

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the command to `vidan`; the options in `common` are those of every command."""
    deliver = commands.add_parser(
        "deliver", parents=[common], help="send brokers and webhooks what they did not get while a run went on"
    )
    deliver.add_argument("config", type=Path, metavar="CONFIG", help="the config file, which has the passwords")
    deliver.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run of it that is over")
    deliver.set_defaults(command=_deliver)


def _deliver(options: argparse.Namespace) -> int:
    from vidan.pipeline.config.load import load_config
    from vidan.pipeline.delivered import deliver_pending, require_drivers
    from vidan.pipeline.errors import ConfigError, SinkError
    from vidan.pipeline.past_run import PastRun

    output = load_config(options.config).config.output
    if not any((output.mqtt, output.webhooks, output.redis, output.kafka)):
        raise ConfigError(f"{options.config} names no output.mqtt, webhooks, redis or kafka")
    require_drivers(output)
    runs = [(path, PastRun.open(path)) for path in options.runs]
    code = 0
    for path, run in runs:
        for health in deliver_pending(output, run.record, run.folder):
            skipped = f", {health.skipped} skipped" if health.skipped else ""
            sys.stdout.write(
                f"{path}: {health.name}: {health.delivered} events sent{skipped}, {health.pending} pending\n"
            )
            if health.error is not None:
                say_error(health.error)
                code = SinkError.exit_code
    return code
