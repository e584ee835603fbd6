"""vidan run, check, version."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from vidan.pipeline.cli.exits import EXIT_INTERRUPTED, EXIT_SOURCE, exit_code_of
from vidan.pipeline.cli.logs import say_error
from vidan.pipeline.cli.observe import add_options, observe
from vidan.pipeline.cli.signals import reload_on_hangup, stop_on_signals
from vidan.pipeline.control import Control
from vidan.pipeline.masking import mask_url_password

if TYPE_CHECKING:  # each command loads what it needs: `vidan --help` should not wait for it
    from vidan.detector import WeightsError
    from vidan.pipeline.config.load import Loaded
    from vidan.pipeline.config.schema import RunConfig
    from vidan.pipeline.errors import PipelineError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the commands to `vidan`; the options in `common` are those of every command."""
    run = commands.add_parser("run", parents=[common], help="run a config: detect, track, count, and write it all down")
    what = run.add_mutually_exclusive_group(required=True)
    what.add_argument("config", nargs="?", type=Path, metavar="CONFIG", help="the config file (YAML)")
    what.add_argument("--example", metavar="NAME", help="run an example that comes with vidan, into ./runs/NAME")
    run.add_argument("--output", type=Path, metavar="DIR", help="folder of the run, instead of the config's")
    there = run.add_mutually_exclusive_group()
    there.add_argument("--overwrite", action="store_true", help="replace an earlier run instead of going to DIR-2")
    there.add_argument(
        "--resume", action="store_true", help="go on with an earlier run that was stopped or killed, if there is one"
    )
    run.add_argument("--device", help="auto, cpu, cuda or cuda:N, instead of the config's")
    run.add_argument("--runtime", help="auto, openvino or torch, instead of the config's")
    run.add_argument("--batch", type=int, metavar="N", help="pictures per call of the network, instead of the config's")
    run.add_argument("--quiet", action="store_true", help="say nothing but errors")
    run.set_defaults(command=_run)

    check = commands.add_parser("check", parents=[common], help="tell everything that is wrong with a config")
    what = check.add_mutually_exclusive_group(required=True)
    what.add_argument("config", nargs="?", type=Path, metavar="CONFIG", help="the config file (YAML)")
    what.add_argument("--schema", action="store_true", help="print the JSON Schema of configs, for editors")
    check.add_argument("--json", action="store_true", help="print the problems and the streams as JSON")
    add_options(check)
    check.set_defaults(command=_check)

    version = commands.add_parser("version", parents=[common], help="print the version")
    version.add_argument("--json", action="store_true", help="with Python, machine and packages, as JSON")
    version.set_defaults(command=_version)


def _run(options: argparse.Namespace) -> int:
    from vidan.pipeline.cli.display import Progress, print_outcome, report_destinations
    from vidan.pipeline.job import read_config, run_job
    from vidan.pipeline.manifest import RunStatus

    def read() -> Loaded[RunConfig]:
        return _with_options(read_config(options.config or _example(options.example)), options)

    with stop_on_signals() as is_stopped, reload_on_hangup(control := Control(is_stopped)):
        outcome = run_job(
            read(),
            overwrite=options.overwrite,
            resume=options.resume,
            observers=[Progress] if sys.stdout.isatty() and not options.quiet else [],
            control=control,
            reread=read,
        )
    if not options.quiet:
        print_outcome(outcome)
    for error in outcome.broken:
        say_error(str(error))
    code = report_destinations(outcome)
    if outcome.manifest.status is RunStatus.INTERRUPTED:
        return EXIT_INTERRUPTED
    return EXIT_SOURCE if outcome.broken else code


def _check(options: argparse.Namespace) -> int:
    from vidan.pipeline.config.schema import json_schema

    if options.schema:
        _print_json(json_schema())
        return 0
    if options.observe and options.config.is_dir():
        return observe(options)
    problems, warnings, streams = _problems(options.config)
    lines = [mask_url_password(line) for problem in problems for line in str(problem).splitlines()]
    if options.observe and not problems:
        return observe(options)
    if options.json:
        _print_json({"config": str(options.config), "problems": lines, "warnings": warnings, "streams": streams})
        return exit_code_of(problems[0]) if problems else 0
    for line in [*lines, *(f"warning: {warning}" for warning in warnings)]:
        sys.stderr.write(f"{line}\n")
    if not problems:
        for name, facts in streams.items():
            size = f"{facts['width']}×{facts['height']}" if facts["width"] else "size known when it is connected"
            sys.stdout.write(f"stream {name}: {size}, {facts['expected'] or '?'} frames\n")
        sys.stdout.write(f"{options.config} is right\n")
    return exit_code_of(problems[0]) if problems else 0


def _problems(path: Path) -> tuple[list[PipelineError | WeightsError], list[str], dict[str, Any]]:
    """Everything that is wrong with a config, what looks wrong all the same, and what is known of its streams."""
    from vidan.detector import WeightsError
    from vidan.pipeline.config.load import load_config
    from vidan.pipeline.errors import ConfigError, SourceError
    from vidan.pipeline.job import open_streams, read_config

    problems: list[PipelineError | WeightsError] = []
    try:
        read_config(path)
    except (ConfigError, WeightsError) as error:
        problems.append(error)
    warnings: list[str] = []
    streams: dict[str, Any] = {}
    try:
        for stream in open_streams(load_config(path).config):  # also where only a name of a class is wrong
            record = stream.record
            warnings += [f"stream {record.name}: {problem}" for problem in record.health.problems]
            streams[record.name] = {
                "source": record.source,
                "expected": record.health.expected,
                **stream.source.describe(),
            }
            stream.source.close()
    except ConfigError:
        pass  # is among the problems
    except SourceError as error:
        problems.append(error)
    return problems, warnings, streams


def _version(options: argparse.Namespace) -> int:
    from vidan.pipeline.provenance import environment, vidan_version

    if options.json:
        _print_json({"vidan": vidan_version(), **environment()})
    else:
        sys.stdout.write(f"vidan {vidan_version()}\n")
    return 0


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _example(name: str) -> Path:
    """The config of an example that is packaged with vidan.

    Raises:
        ConfigError: If there is none of that name.
    """
    from vidan.pipeline.errors import ConfigError

    folder = Path(str(files("vidan.configs")))
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        raise ConfigError(f"there is no example {name!r}; there are {known}")
    return path


def _with_options(loaded: Loaded[RunConfig], options: argparse.Namespace) -> Loaded[RunConfig]:
    """The config with what the command line says instead.

    Raises:
        ConfigError: If an option has a value that the config could not have, either.
    """
    from pydantic import ValidationError

    from vidan.pipeline.errors import ConfigError

    config = loaded.config
    given = {key: value for key in ("device", "runtime", "batch") if (value := getattr(options, key)) is not None}
    try:
        detector = type(config.detector).model_validate(config.detector.model_dump() | given)
    except ValidationError as error:
        details = error.errors()[0]
        raise ConfigError(
            f"--{details['loc'][0]} {details['input']}: {details['msg'].removeprefix('Value error, ')}"
        ) from error
    output = config.output
    folder = options.output or (Path("runs") / options.example if options.example else None)
    if folder is not None:
        output = output.model_copy(update={"folder": str(folder.absolute())})
    return replace(
        loaded,
        config=config.model_copy(update={"detector": detector, "output": output}),
        effective=loaded.effective
        | {
            "detector": loaded.effective["detector"] | given,
            "output": loaded.effective["output"] | {"folder": output.folder},
        },
    )
