"""Writes down while a run goes on how far it is: in run.json, and in counts.csv what was counted so far."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from vidan.pipeline.errors import PipelineError
from vidan.pipeline.manifest import Manifest
from vidan.pipeline.run_folder import RunFolder

FIRST_SECONDS, FIRST_TIMES = 2.0, 10  # at first more often, until all streams have begun
MANIFEST_SECONDS = 10.0
COUNTS_SECONDS = 60.0
COUNTS_SHARE = 0.02  # of the time that counting may take: a log of months is counted more seldom

_logger = logging.getLogger(__name__)


class Checkpoint:
    """A thread that does so until it is closed. What it cannot write is told once, and tried again.

    Args:
        manifest: Of the run; others change it meanwhile.
        folder: Of the run.
        count: Writes the counts; None: nobody does.
        every_seconds: Between two manifests.
    """

    def __init__(
        self,
        manifest: Manifest,
        folder: RunFolder,
        count: Callable[[], None] | None,
        *,
        every_seconds: float = MANIFEST_SECONDS,
    ) -> None:
        self._manifest = manifest
        self._folder = folder
        self._count = count
        self._every_seconds = every_seconds
        self._count_at = time.monotonic() + COUNTS_SECONDS
        self._told = ""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="checkpoint", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        self._closing.set()
        self._thread.join()

    def _work(self) -> None:
        written = 0
        while not self._closing.wait(
            min(FIRST_SECONDS, self._every_seconds) if written < FIRST_TIMES else self._every_seconds
        ):
            written += 1
            try:
                self._manifest.write(self._folder.manifest)
                self._count_now_and_then()
                self._told = ""
            except PipelineError as error:
                if str(error) != self._told:
                    _logger.warning("%s; it is tried again", error)
                self._told = str(error)

    def _count_now_and_then(self) -> None:
        began = time.monotonic()
        if self._count is None or began < self._count_at:
            return
        self._count()
        took = time.monotonic() - began
        self._count_at = began + max(COUNTS_SECONDS, took / COUNTS_SHARE)
