"""What others may ask of a run while it goes on: to stop, or to read its rules again."""

from __future__ import annotations

from collections.abc import Callable


class Control:
    """Requests from signal handlers and other threads, which the engine sees to between two batches.

    They are plain variables: a signal handler may come while its thread holds any lock.

    Args:
        stopped: Says whether somebody else asks for a stop.
    """

    def __init__(self, stopped: Callable[[], bool] = lambda: False) -> None:
        self._stopped = stopped
        self._is_stopped = False
        self._wants_reload = False

    @property
    def is_stopped(self) -> bool:
        return self._is_stopped or self._stopped()

    def stop(self) -> None:
        """Asks for an end that saves everything."""
        self._is_stopped = True

    def reload(self) -> None:
        """Asks for the rules to be read again."""
        self._wants_reload = True

    def take_reload(self) -> bool:
        """True if the rules should be read again, once per request."""
        wants, self._wants_reload = self._wants_reload, False
        return wants
