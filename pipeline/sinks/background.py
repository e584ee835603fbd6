"""Background: a sink's thread, its bounded queue, and a failure that is told exactly once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Background(Generic[Item]):
    """Hands items to a function that works through them on a thread of its own.

    A full queue makes `put` wait and `offer` refuse. The first failure is raised once, by the next of them or by
    `close`; after it items are dropped, so that a run may go on without this output and nobody waits forever at a full
    queue.

    Args:
        work: Is given the items as they come, until the end.
        name: Of the thread.
        queue_length: Items that may wait, besides the one that is worked on.
    """

    def __init__(self, work: Callable[[Iterator[Item]], None], *, name: str, queue_length: int) -> None:
        self._work = work
        self._queue: queue.Queue[Item | None] = queue.Queue(queue_length)
        self._failure: Exception | None = None
        self._failure_told = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        return self._closed

    def put(self, item: Item) -> None:
        """Queues an item; waits while the queue is full.

        Raises:
            Exception: Once, what an earlier item failed with.
        """
        self._tell_failure()
        if self._failure is None:
            self._queue.put(item)

    def offer(self, item: Item) -> bool:
        """Queues an item if there is room for it now, and says whether there was.

        Raises:
            Exception: Once, what an earlier item failed with.
        """
        self._tell_failure()
        if self._failure is None:
            with suppress(queue.Full):
                self._queue.put_nowait(item)
                return True
        return False

    def close(self) -> None:
        """Waits until everything is done; a second call does nothing.

        Raises:
            Exception: What an item failed with, if `put` had no chance to say so.
        """
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        self._tell_failure()

    def _tell_failure(self) -> None:
        if self._failure is not None and not self._failure_told:
            self._failure_told = True
            raise self._failure

    def _run(self) -> None:
        items = iter(self._queue.get, None)
        try:
            self._work(items)
        except Exception as error:  # a bug, too: carried to the thread that writes, where it ends the run
            self._failure = error
        for _ in items:
            pass
