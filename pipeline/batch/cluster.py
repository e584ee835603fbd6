"""The same jobs on a Ray cluster: one task per part of a recording, whatever machine it runs on.

All machines must see the footage and the output folder under the same names (NFS or alike): parts go there, and nothing
else passes through Ray but the jobs themselves. A task whose machine is lost is done again on another one.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Future
from typing import Any

from vidan.pipeline.batch.counting import Counting
from vidan.pipeline.batch.workers import Job, do
from vidan.pipeline.errors import ConfigError

RETRIES = 3
"""How often Ray does a task again whose machine or process is lost."""


CONNECT_SECONDS = 10.0


class RayWorkers:
    """Whoever a Ray cluster has.

    Args:
        address: Of its head, such as ``10.0.0.1:6379`` or ``auto``; ``local`` starts a cluster on this machine.
        threads: Cores that each task takes, and uses for its network.
        gpus: GPUs that each task takes, which may be a fraction; 0: none.

    Raises:
        ConfigError: If Ray is not installed, or there is no cluster.
    """

    def __init__(self, address: str, *, threads: int, gpus: float = 0.0) -> None:
        try:
            import ray
        except ImportError as error:
            raise ConfigError("--ray needs Ray: pip install 'vidan[ray]'") from error
        self._ray: Any = ray
        _knock(address)
        try:
            if not ray.is_initialized():
                ray.init(
                    address=None if address == "local" else address,
                    log_to_driver=False,
                    include_dashboard=False if address == "local" else None,
                )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(f"--ray {address}: there is no Ray cluster: {str(error).splitlines()[0]}") from error
        self._needs = {"num_cpus": threads, "num_gpus": gpus, "max_retries": RETRIES}
        self._threads, self._gpus = threads, gpus
        self._work: Any = ray.remote(_work).options(**self._needs)
        self._done = 0
        self._running: dict[Future[bool], Any] = {}

    @property
    def count(self) -> int:
        """How many tasks the cluster has room for now; it may grow and shrink."""
        there = self._ray.cluster_resources()
        room = int(there.get("CPU", 0)) // self._threads
        if self._gpus:
            room = min(room, int(there.get("GPU", 0) / self._gpus))
        return max(1, room)

    @property
    def frames(self) -> Sequence[int]:
        """Pictures of the parts that are done; single workers tell nothing."""
        return (self._done,)

    def submit(self, job: Job) -> Future[bool]:
        """Starts a job; its error is a `BrokenExecutor` where Ray gave it up."""
        reference = self._work.remote(job)
        answer: Future[bool] = Future()
        self._running[answer] = reference
        reference.future().add_done_callback(lambda done: self._pass_on(job, done, answer))
        return answer

    def stop(self) -> None:
        """Cancels all tasks; parts that are finished are there."""
        for reference in list(self._running.values()):
            self._ray.cancel(reference, force=True)

    def close(self) -> None:
        self._ray.shutdown()

    def _pass_on(self, job: Job, done: Future[bool], answer: Future[bool]) -> None:
        self._running.pop(answer, None)
        error = done.exception()
        if error is None:
            if not isinstance(job, Counting):
                self._done += job.part_pictures
            answer.set_result(done.result())
        elif isinstance(error, self._ray.exceptions.TaskCancelledError):
            answer.set_result(False)
        elif isinstance(error, self._ray.exceptions.RayTaskError):
            answer.set_exception(getattr(error, "cause", error))
        else:
            answer.set_exception(BrokenExecutor(str(error)))


def _knock(address: str) -> None:
    """Makes sure that somebody listens where a head is said to be, for Ray asks for minutes before it gives up.

    Raises:
        ConfigError: If nobody does.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "://" in host:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"--ray {address}: there is no Ray cluster: {reason}") from error


def _work(job: Job) -> bool:
    return do(job, lambda frames: None, lambda: False)
