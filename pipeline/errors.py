"""Errors of the pipeline, each a sentence for people: what is wrong, where, what to do.

PipelineError
├── ConfigError     the config file is wrong (exit code 2)
├── SourceError     a stream, or an earlier run, cannot be opened or read (exit code 3)
└── SinkError       an output cannot be written (exit code 4)
"""

from __future__ import annotations

from pathlib import Path


class PipelineError(Exception):
    """Base of everything that `vidan` reports in words instead of with a traceback."""

    exit_code = 1


class ConfigError(PipelineError):
    """The config is wrong; the message lists every problem with file, line and key path."""

    exit_code = 2


class SourceError(PipelineError):
    """A stream, or what an earlier run has left, cannot be opened or read."""

    exit_code = 3


class SinkError(PipelineError):
    """An output cannot be written."""

    exit_code = 4


def cannot_write(what: str, path: Path, error: Exception) -> SinkError:
    """The error to raise ``from error``, as in "cannot write the event log runs/a/events.jsonl: No space left ..."."""
    reason = getattr(error, "strerror", None) or error
    return SinkError(f"cannot write {what} {path}: {reason}; free some space or choose another output.folder")
