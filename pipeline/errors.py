"""Errors of the pipeline, each a sentence for people: what is wrong, where, what to do.

    PipelineError
    ├── ConfigError     the config file is wrong (exit code 2)
    ├── SourceError     a stream cannot be opened or read (exit code 3)
    └── SinkError       an output cannot be written (exit code 4)
"""


class PipelineError(Exception):
    """Base of everything that `vidan` reports in words instead of with a traceback."""

    exit_code = 1


class ConfigError(PipelineError):
    """The config is wrong; the message lists every problem with file, line and key path."""

    exit_code = 2


class SourceError(PipelineError):
    """A stream cannot be opened or read."""

    exit_code = 3


class SinkError(PipelineError):
    """An output cannot be written."""

    exit_code = 4
