"""What every output says when the file system refuses it."""

from __future__ import annotations

from pathlib import Path

from vidan.pipeline.errors import SinkError


def cannot_write(what: str, path: Path, error: Exception) -> SinkError:
    """The error to raise ``from error``, as in "cannot write the event log runs/a/events.jsonl: No space left ..."."""
    reason = getattr(error, "strerror", None) or error
    return SinkError(f"cannot write {what} {path}: {reason}; free some space or choose another output.folder")
