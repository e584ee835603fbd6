"""The exit codes of `vidan`, as `vidan --help` lists them."""

from __future__ import annotations

from vidan.pipeline.errors import ConfigError, PipelineError

EXIT_INTERNAL = 1
EXIT_SOURCE = 3
EXIT_WEIGHTS = 5
EXIT_DIFFERENT = 6
EXIT_INACCURATE = 7
EXIT_INTERRUPTED = 130

EXPLANATION = """\
exit codes:
  0    done
  1    internal error (a bug: please report it)
  2    the config or the command line is wrong
  3    a source or an earlier run cannot be opened, or broke on the way; what came before is saved
  4    an output cannot be written
  5    weights are missing or cannot be used
  6    two runs differ (vidan diff)
  7    further from the truth than allowed (vidan eval --max-error), or from PyTorch (vidan export)
  130  interrupted (Ctrl-C or SIGTERM); everything up to then is saved
"""


def exit_code_of(error: Exception) -> int:
    """What `vidan` exits with because of an error; `EXIT_INTERNAL` for what only a bug can raise."""
    from vidan.detector import DeviceError, WeightsError  # loads NumPy and more, which --help does without

    if isinstance(error, PipelineError):
        return error.exit_code
    if isinstance(error, DeviceError):
        return ConfigError.exit_code
    return EXIT_WEIGHTS if isinstance(error, WeightsError) else EXIT_INTERNAL
