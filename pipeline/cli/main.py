"""The command line: arguments in, exit code out. Each command is loaded only when it is asked for."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import sys
from collections.abc import Sequence

from vidan.pipeline.cli import (
    batch,
    data,
    database,
    deliver,
    evaluate,
    export,
    features,
    replay,
    report,
    run,
    tracks,
    train,
    tune,
    weights,
)
from vidan.pipeline.cli.exits import EXIT_INTERNAL, EXIT_INTERRUPTED, EXPLANATION, exit_code_of
from vidan.pipeline.cli.logs import FORMATS, say_error, start_logging
from vidan.pipeline.errors import SinkError

_logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `vidan` with these arguments, by default those of the process, and gives its exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the caller has closed it (`>&-`)
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (open as long as the process)
    options = _options(arguments)
    start_logging(options.log_format, verbose=options.verbose)
    try:
        code = options.command(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _discard_stdout()  # whoever read our output has seen enough, as in `vidan weights list | head`
        return 0
    except KeyboardInterrupt:
        say_error("aborted")
        return EXIT_INTERRUPTED
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:  # files have errors of their own: it is stdout
            _discard_stdout()
            error = SinkError(f"cannot write what there is to say: {error.strerror}; free some space")
        return _explain(error, options.verbose)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What the arguments say; footage may stand anywhere behind its config, where argparse alone stops at an option."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    wrong = [name for name in rest if name.startswith("-") or not hasattr(options, "footage")]
    if wrong:
        parser.error(f"unrecognized arguments: {' '.join(wrong)}")
    if rest:
        options.footage += rest
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vidan",
        description="Video analytics that people trust with numbers: detect, track, count, and prove the counts.",
        epilog=EXPLANATION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--verbose", action="store_true", help="say more: what libraries log, tracebacks of errors")
    common.add_argument(
        "--log-format", choices=FORMATS, default="text", help="of what goes to stderr: sentences, or JSON a line"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run.add_commands(commands, common)
    batch.add_commands(commands, common)
    replay.add_commands(commands, common)
    report.add_commands(commands, common)
    tracks.add_commands(commands, common)
    evaluate.add_commands(commands, common)
    tune.add_commands(commands, common)
    database.add_commands(commands, common)
    deliver.add_commands(commands, common)
    data.add_commands(commands, common)
    train.add_commands(commands, common)
    features.add_commands(commands, common)
    export.add_commands(commands, common)
    weights.add_commands(commands, common)
    return parser


def _explain(error: Exception, verbose: bool) -> int:
    """Says what went wrong, with a traceback only where it helps, and gives the exit code."""
    code = exit_code_of(error)
    if code == EXIT_INTERNAL:
        _logger.critical("internal error, please report it", exc_info=error)
        return code
    say_error(str(error))
    if verbose:
        _logger.info("where it happened:", exc_info=error)
    return code


def _discard_stdout() -> None:
    """Sends what is left of the output nowhere: Python flushes it once more when it exits, and would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
