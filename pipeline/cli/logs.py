"""What goes to stderr while a command runs: sentences for people, or a JSON object a line for log collectors.

Every line passes the mask, whoever wrote it, exceptions of libraries included.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from vidan.pipeline.events import format_utc
from vidan.pipeline.masking import mask_secrets

LogFormat: TypeAlias = Literal["text", "json"]
FORMATS: tuple[LogFormat, ...] = ("text", "json")

_errors = logging.getLogger("vidan.failure")


def start_logging(log_format: LogFormat, *, verbose: bool) -> None:
    """Sets what goes to stderr, and how. In JSON, which machines sift, vidan tells what goes well, too.

    What FFmpeg has to say comes as exceptions anyway, and PyAV is silent by itself.

    Args:
        log_format: "text" or "json".
        verbose: Whether what libraries log is told, too.
    """
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Stderr)]:
        root.removeHandler(handler)
    root.addHandler(_Stderr(JsonFormatter() if log_format == "json" else TextFormatter()))
    root.setLevel(logging.INFO if verbose else logging.WARNING)
    logging.getLogger("vidan").setLevel(logging.INFO if log_format == "json" else logging.NOTSET)
    if verbose:
        import av.logging

        av.logging.set_level(av.logging.VERBOSE)
    else:
        os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # read when OpenCV is loaded
        if "av.logging" in sys.modules:  # a command before this one, in the same process, may have wanted more
            sys.modules["av.logging"].set_level(None)


def say_error(message: str) -> None:
    """Says why a command fails."""
    _errors.error("%s", message)


class _Stderr(logging.Handler):
    """The one handler of a command; it writes to what is stderr at that moment."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # as all handlers have it: what cannot be logged ends nothing
            self.handleError(record)


class TextFormatter(logging.Formatter):
    """``vidan: WARNING: the sentence``, and the traceback if there is one; why a command fails stands there plainly."""

    def __init__(self) -> None:
        super().__init__("vidan: %(levelname)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        if record.name == _errors.name:
            return "\n".join(f"vidan: {line}" for line in mask_secrets(record.getMessage()).splitlines())
        return mask_secrets(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time`` (UTC), ``level``, ``logger``, ``thread``, ``message``; where there are some,
    ``stream`` (of records with ``extra={"stream": ...}``) and ``exception`` with the traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        values = {
            "time": format_utc(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "thread": record.threadName,
            "message": mask_secrets(record.getMessage()),
        }
        if (stream := getattr(record, "stream", None)) is not None:
            values["stream"] = stream
        if record.exc_info:
            values["exception"] = mask_secrets(self.formatException(record.exc_info))
        return json.dumps(values, ensure_ascii=False)
