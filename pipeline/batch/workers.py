"""Processes of this machine that do jobs, a fresh one for each that dies; how many, and with how many threads each."""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext
from typing import Any, Protocol, TypeAlias

from vidan.pipeline.batch.counting import Counting, count_camera
from vidan.pipeline.batch.detecting import Detecting, Stopped, detect

MEMORY_PER_WORKER = 1 << 30
"""Bytes. A yolov9-t with eight pictures of 1920x1080 took 1.07 GB while it was converted, and 0.4 GB later."""

Job: TypeAlias = Detecting | Counting

_logger = logging.getLogger(__name__)


class Workers(Protocol):
    """Who does the jobs: processes here, or a cluster."""

    @property
    def count(self) -> int:
        """How many jobs run at once."""
        ...

    @property
    def frames(self) -> Sequence[int]:
        """Pictures done so far by each worker, as far as they tell."""
        ...

    def submit(self, job: Job) -> Future[bool]:
        """Starts a job; its answer is False where it was stopped."""
        ...

    def stop(self) -> None:
        """Asks all jobs to stop; each keeps what it has finished."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Share:
    """How many processes, and the threads that each may use for its network."""

    workers: int
    threads: int


def share_of(cores: int, memory: int, workers: int | None = None) -> Share:
    """How a machine is best divided: one process per core, fewer where memory is short.

    Args:
        cores: That this process may use.
        memory: Free, in bytes.
        workers: Wanted; None: as many as fit.
    """
    count = workers or max(1, min(cores, memory // MEMORY_PER_WORKER))
    return Share(count, max(1, cores // count))


def this_machine(workers: int | None = None) -> Share:
    """The share of this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return share_of(cores, _free_memory(), workers)


class LocalWorkers:
    """Worker processes of this machine.

    Each process is a pool of one, so that one that dies (out of memory, a crash in a decoder) takes only its own job
    with it, and it is known which.

    Args:
        count: Processes.
    """

    def __init__(self, count: int) -> None:
        self._context: SpawnContext = multiprocessing.get_context("spawn")
        self._frames: Any = self._context.RawArray(ctypes.c_longlong, count)
        self._stop: Any = self._context.RawValue(ctypes.c_bool, False)
        self._pools: list[ProcessPoolExecutor | None] = [None] * count
        self._idle = list(range(count))
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        return len(self._pools)

    @property
    def frames(self) -> Sequence[int]:
        return list(self._frames)

    def submit(self, job: Job) -> Future[bool]:
        """Starts a job; there must be a worker without one. Its error is a `BrokenExecutor` where its process died."""
        with self._lock:
            place = self._idle.pop(0)
        pool = self._pools[place]
        if pool is None:
            pool = self._pools[place] = ProcessPoolExecutor(
                1, mp_context=self._context, initializer=_begin, initargs=(place, self._frames, self._stop)
            )
        future = pool.submit(_work, job)
        future.add_done_callback(lambda done: self._release(place, done))
        return future

    def stop(self) -> None:
        self._stop.value = True

    def close(self) -> None:
        for pool in self._pools:
            if pool is not None:
                pool.shutdown(wait=True, cancel_futures=True)

    def _release(self, place: int, done: Future[bool]) -> None:
        with self._lock:
            if not done.cancelled() and isinstance(done.exception(), BrokenExecutor):
                self._pools[place] = None
            self._idle.append(place)


def do(job: Job, report: Any, stopped: Any) -> bool:
    """Does a job of either kind, wherever. False if it was stopped."""
    if isinstance(job, Counting):
        return count_camera(job, stopped)
    try:
        detect(job, report)
    except Stopped:
        return False
    return True


_place = 0
_frames: Any = None
_stop: Any = None


def _begin(place: int, frames: Any, stop: Any) -> None:
    """A worker process begins: signals are the parent's affair, and it ends with the parent, however that ends."""
    global _place, _frames, _stop
    _place, _frames, _stop = place, frames, stop
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True, name="end-with-parent").start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _work(job: Job) -> bool:
    def report(frames: int) -> None:
        _frames[_place] += frames
        if _stop.value:
            raise Stopped

    return do(job, report, lambda: bool(_stop.value))


def _free_memory() -> int:
    """Bytes that programs may still take; a terabyte where the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            facts = dict(line.split(":", 1) for line in file)
        return int(facts["MemAvailable"].split()[0]) << 10
    except (OSError, KeyError, ValueError, IndexError):
        return 1 << 40
