"""vidan batch."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vidan.pipeline.cli.exits import EXIT_INTERRUPTED, EXIT_SOURCE
from vidan.pipeline.cli.logs import say_error
from vidan.pipeline.cli.signals import stop_on_signals

if TYPE_CHECKING:
    from datetime import tzinfo

    from vidan.pipeline.batch.plan import Settings
    from vidan.pipeline.batch.workers import Share, Workers
    from vidan.pipeline.cli.run import Commands
    from vidan.pipeline.config.load import Loaded
    from vidan.pipeline.config.schema import RunConfig

_DESCRIPTION = """\
Counts recorded footage of many cameras on many processors. Each camera's recordings are one stream, gaps between them
are time that nobody saw. It can be killed at any moment: started again with the same arguments it goes on where it was,
and it does only what has changed. A camera takes the rules of the config's stream of its name; where the config has a
single stream, every camera takes that one's."""


def add_commands(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the command to `vidan`; the options in `common` are those of every command."""
    batch = commands.add_parser(
        "batch", parents=[common], help="count weeks of recordings of many cameras", description=_DESCRIPTION
    )
    batch.add_argument("config", type=Path, metavar="CONFIG", help="the config file (YAML), as for `vidan run`")
    batch.add_argument(
        "footage",
        nargs="*",
        metavar="FOOTAGE",
        help="files, folders, patterns, lists (.txt), tables (.csv: path, camera, start), or URLs (http, s3, gs, sftp, "
        "...) of files, folders/ and patterns; none: the config's sources",
    )
    batch.add_argument("--output", type=Path, metavar="DIR", help="folder of the batch (default: the config's, -batch)")
    batch.add_argument(
        "--names",
        metavar="PATTERN",
        help="what file names tell, such as {camera}_{start:%%Y%%m%%d_%%H%%M%%S} or {camera}/*",
    )
    batch.add_argument("--timezone", metavar="ZONE", help="of starts that name none, such as UTC or Europe/Berlin")
    batch.add_argument("--workers", type=_count, metavar="N", help="processes (default: one per core)")
    batch.add_argument(
        "--part",
        type=_amount,
        default=300.0,
        metavar="SECONDS",
        help="length of the parts that are detected one by one; a kill loses no more (default: 300)",
    )
    batch.add_argument(
        "--join",
        type=_amount,
        default=2.0,
        metavar="SECONDS",
        help="recordings that are no further apart, or overlap no more, follow each other directly (default: 2)",
    )
    batch.add_argument(
        "--cache",
        type=_amount,
        default=20.0,
        metavar="GB",
        help="of footage from URLs so much is copied ahead, at most (default: 20)",
    )
    batch.add_argument("--video", action="store_true", help="write annotated videos, too (decodes everything again)")
    batch.add_argument("--evidence", action="store_true", help="write pictures of events, too (decodes again)")
    batch.add_argument("--ray", metavar="ADDRESS", help="a Ray cluster does it: its head, auto, or local (vidan[ray])")
    batch.add_argument("--gpus", type=_amount, metavar="N", help="GPUs per task on a Ray cluster, also a fraction")
    batch.add_argument("--dry-run", action="store_true", help="only show what there is to do, and how long it may take")
    batch.add_argument(
        "--progress",
        choices=("auto", "bars", "json", "none"),
        default="auto",
        help="bars on a terminal, or JSON lines for schedulers (default: auto)",
    )
    batch.add_argument("--json", action="store_true", help="print the plan or the result as JSON")
    batch.set_defaults(command=_batch)


def _batch(options: argparse.Namespace) -> int:
    from vidan.pipeline.batch.batch import locked, run_batch
    from vidan.pipeline.batch.estimate import estimate
    from vidan.pipeline.batch.plan import make_plan
    from vidan.pipeline.batch.progress import failures_of
    from vidan.pipeline.batch.results import Results
    from vidan.pipeline.batch.workers import this_machine
    from vidan.pipeline.cli.batch_display import display, print_plan, print_results
    from vidan.pipeline.job import read_config

    share = this_machine(options.workers)
    with stop_on_signals() as is_stopped:
        loaded = read_config(options.config)
        settings = _settings(options, loaded)
        plan = make_plan(loaded, settings)
        if options.dry_run:
            print_plan(plan, estimate(plan, share), as_json=options.json)
            return EXIT_SOURCE if failures_of(plan) else 0
        with locked(settings.output):
            results = Results(plan, share)
            with results.accounted(is_stopped), display(options.progress) as observe:
                workers = _workers(options, share)
                try:
                    run_batch(plan, workers, threads=share.threads, observe=observe, stopped=is_stopped)
                finally:
                    workers.close()
    if options.json:
        sys.stdout.write(json.dumps(results.to_record(), indent=2, ensure_ascii=False) + "\n")
    else:
        print_results(results)
    for failure in failures_of(plan):
        say_error(failure)
    if is_stopped():
        return EXIT_INTERRUPTED
    return EXIT_SOURCE if failures_of(plan) else 0


def _workers(options: argparse.Namespace, share: Share) -> Workers:
    """Processes here, or a Ray cluster."""
    if options.ray is None:
        from vidan.pipeline.batch.workers import LocalWorkers

        return LocalWorkers(share.workers)
    from vidan.pipeline.batch.cluster import RayWorkers

    return RayWorkers(options.ray, threads=share.threads, gpus=options.gpus or 0.0)


def _settings(options: argparse.Namespace, loaded: Loaded[RunConfig]) -> Settings:
    from vidan.pipeline.batch.plan import Settings

    return Settings(
        footage=tuple(options.footage),
        output=(options.output or Path(f"{loaded.config.output.folder}-batch")).absolute(),
        names=options.names,
        zone=_zone(options.timezone),
        part_seconds=options.part,
        join_seconds=options.join,
        cache_bytes=int(options.cache * 1e9),
        video=options.video,
        evidence=options.evidence,
    )


def _zone(name: str | None) -> tzinfo | None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from vidan.pipeline.errors import ConfigError

    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"--timezone {name}: is no time zone of the IANA list, such as Europe/Berlin") from error


def _amount(text: str) -> float:
    with suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"{text} is no number above 0")


def _count(text: str) -> int:
    with suppress(ValueError):
        if int(text) > 0:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text} is no whole number above 0")
