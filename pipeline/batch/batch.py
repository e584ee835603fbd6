"""The loop of a batch: detect in what is new, count the cameras whose recordings are all there, write it all down."""

from __future__ import annotations

import fcntl
import logging
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidan.detector import DeviceError, WeightsError
from vidan.pipeline.batch.counting import Counting, Footage, counted_key
from vidan.pipeline.batch.cutting import Cut, decide_cut, seal_cut, uncut
from vidan.pipeline.batch.downloads import Downloads
from vidan.pipeline.batch.plan import DOWNLOADS, FileStatus, Plan, PlannedCamera, PlannedFile, mark_duplicates
from vidan.pipeline.batch.progress import Pace, Progress
from vidan.pipeline.batch.workers import Job, Workers
from vidan.pipeline.errors import ConfigError, PipelineError, SinkError

TICK_SECONDS = 0.5
ATTEMPTS = 3
"""How often a job is tried whose process dies."""

_logger = logging.getLogger(__name__)


def run_batch(
    plan: Plan,
    workers: Workers,
    *,
    threads: int | None,
    observe: Callable[[Progress], None] = lambda progress: None,
    stopped: Callable[[], bool] = lambda: False,
) -> bool:
    """Does what a plan says; the plan knows afterwards how each recording and each camera fared.

    Args:
        plan: What to do; it is kept up to date.
        workers: Who does it.
        threads: For a network on the CPU, per worker; None: all.
        observe: Is told how far it is, twice a second.
        stopped: Says whether a stop was asked for; what is finished is kept.

    Returns:
        False if it was stopped.

    Raises:
        SinkError: If the output cannot be written.
        ConfigError, WeightsError: If the workers cannot run the detector.
    """
    return _Batch(plan, workers, threads, observe, stopped).run()


@contextmanager
def locked(folder: Path, option: str = "--output") -> Iterator[None]:
    """Keeps a second process out of a folder, as long as this one lives; `option` is what names the folder.

    Raises:
        SinkError: If another one is at work there, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("w")
    except OSError as error:
        raise SinkError(f"cannot use the folder {folder} for the batch: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SinkError(f"another process is at work in {folder}: wait, or choose another {option}") from error
        yield


@dataclass(slots=True)
class _Task:
    """A job, whose it is, and how often it was tried."""

    job: Job
    camera: PlannedCamera
    file: PlannedFile | None = None
    cut: Cut | None = None
    attempts: int = 1


@dataclass(slots=True)
class _Open:
    """A file in which jobs are at work."""

    left: int
    trouble: str | None = None


class _Batch:
    def __init__(
        self,
        plan: Plan,
        workers: Workers,
        threads: int | None,
        observe: Callable[[Progress], None],
        stopped: Callable[[], bool],
    ) -> None:
        self._plan = plan
        self._workers = workers
        self._threads = threads
        self._observe = observe
        self._stopped = stopped
        self._given_up = False
        self._ready: deque[_Task] = deque()
        self._running: dict[Future[Any], _Task] = {}
        self._surveys: dict[Future[Any], tuple[PlannedFile, PlannedCamera]] = {}
        self._open: dict[int, _Open] = {}
        self._followers: dict[Path, list[tuple[PlannedFile, PlannedCamera]]] = {}  # others with the same content
        self._counted: set[str] = set()
        self._pace = Pace()
        self._downloads = Downloads(plan.settings.output / DOWNLOADS, plan.settings.cache_bytes)

    def run(self) -> bool:
        with ExitStack() as closing:
            surveying = closing.enter_context(ThreadPoolExecutor(2, thread_name_prefix="survey"))
            closing.callback(self._give_up)  # after an error, too
            waiting = {FileStatus.NEW, FileStatus.PARTLY}
            self._downloads.sweep([file.path for file in self._plan.files if file.status in waiting])
            for camera in self._plan.cameras:
                for file in camera.files:
                    if file.status in (FileStatus.NEW, FileStatus.PARTLY):
                        self._surveys[surveying.submit(self._survey, file, camera)] = file, camera
                self._count_if_complete(camera)
            while (self._ready or self._running or self._surveys) and not self._stopped():
                self._start()
                done, _ = wait([*self._running, *self._surveys], TICK_SECONDS, FIRST_COMPLETED)
                for future in done:
                    if future in self._surveys:
                        self._note_survey(future)
                    else:
                        self._note_job(future)
                self._tell()
            if self._stopped():
                self._give_up()
                wait(self._running)
        self._plan.hashes.save()
        self._downloads.close()
        return not self._stopped()

    def _give_up(self) -> None:
        """Ends all that is under way: nobody frees room for downloads any more."""
        self._given_up = True
        self._workers.stop()
        for survey in self._surveys:
            survey.cancel()

    def _is_over(self) -> bool:
        return self._given_up or self._stopped()

    def _survey(self, file: PlannedFile, camera: PlannedCamera) -> Cut | None:
        """Reads the content of a file, and decides how to cut it; None if all that it holds was detected before."""
        if self._is_over():
            return None
        remote, hashes = file.clip.remote, self._plan.hashes
        if remote is not None and not self._downloads.fetch(remote, file.path, self._is_over):
            return None
        if file.sha256 is None:
            file.sha256 = hashes.of(file.clip)
            if remote is not None:
                hashes.save()  # after a kill nothing is copied again to know it
            self._plan.locate(file, camera)
        return None if file.status is FileStatus.DETECTED else self._cut(file, camera)

    def _cut(self, file: PlannedFile, camera: PlannedCamera) -> Cut:
        assert file.folder is not None
        plan = self._plan
        return decide_cut(
            file.placed.probed,
            file.folder,
            plan.settings.part_seconds,
            stride=plan.stride_of(camera),
            max_fps=plan.max_fps_of(camera),
        )

    def _note_survey(self, future: Future[Any]) -> None:
        file, camera = self._surveys.pop(future)
        try:
            cut = future.result()
        except SinkError:
            raise
        except PipelineError as error:
            file.status, file.reason = FileStatus.FAILED, str(error)
            self._downloads.release(file.path)
            self._count_if_complete(camera)
            return
        if cut is None:
            self._downloads.release(file.path)
            self._count_if_complete(camera)
            return
        mark_duplicates(camera)
        if file.status is FileStatus.DUPLICATE:
            self._downloads.release(file.path)
            self._count_if_complete(camera)
            return
        assert file.folder is not None
        if file.folder in self._followers:
            self._followers[file.folder].append((file, camera))
            self._downloads.release(file.path)
        else:
            self._followers[file.folder] = []
            self._schedule(file, camera, cut)

    def _schedule(self, file: PlannedFile, camera: PlannedCamera, cut: Cut) -> None:
        jobs = self._plan.detecting(file, camera, cut)
        if not jobs:  # a kill came between the last part and the seal
            self._settle(file, camera, cut, None)
            return
        self._open[id(file)] = _Open(len(jobs))
        self._ready.extend(_Task(replace(job, threads=self._threads), camera, file, cut) for job in jobs)

    def _start(self) -> None:
        while self._ready and len(self._running) < self._workers.count:
            task = self._ready.popleft()
            self._running[self._workers.submit(task.job)] = task

    def _note_job(self, future: Future[Any]) -> None:
        task = self._running.pop(future)
        trouble: str | None = None
        try:
            if not future.result():
                return  # it was stopped
        except (SinkError, ConfigError, WeightsError, DeviceError):
            raise
        except BrokenExecutor:
            if task.attempts < ATTEMPTS:
                _logger.warning("the process that worked on %s died; trying again", _what(task))
                self._ready.appendleft(replace(task, attempts=task.attempts + 1))
                return
            trouble = f"{_what(task)}: the process that worked on it died {ATTEMPTS} times: out of memory, or a crash"
        except PipelineError as error:
            trouble = str(error)
        except Exception as error:  # whatever a strange file makes a library say ends that file alone
            _logger.info("where it happened:", exc_info=error)
            trouble = f"{_what(task)}: {type(error).__name__}: {error}"
        if task.file is None:
            task.camera.problem = trouble
            self._counted.add(task.camera.name)
        else:
            self._finish_file(task, trouble)

    def _finish_file(self, task: _Task, trouble: str | None = None) -> None:
        """Notes that one job of a file is done; the last one decides how the file fared."""
        file, cut = task.file, task.cut
        assert file is not None
        assert cut is not None
        opened = self._open[id(file)]
        opened.left -= 1
        opened.trouble = opened.trouble or trouble
        if cut.pieces is not None and opened.trouble is not None:  # in vain: the file will be one job
            doomed = [other for other in self._ready if other.file is file]
            for other in doomed:
                self._ready.remove(other)
            opened.left -= len(doomed)
        if opened.left:
            return
        del self._open[id(file)]
        self._settle(file, task.camera, cut, opened.trouble)

    def _settle(self, file: PlannedFile, camera: PlannedCamera, cut: Cut, trouble: str | None) -> None:
        """Decides how a file fared of which all jobs are done; one that was cut in vain begins anew as one job."""
        if cut.pieces is not None and file.folder is not None:
            reason = trouble or seal_cut(file.folder, file.path, cut)
            if reason is not None:
                self._schedule(file, camera, uncut(file.folder, cut, reason))
                return
        assert file.folder is not None
        self._downloads.release(file.path)
        status = FileStatus.DETECTED if trouble is None else FileStatus.FAILED
        for other, its_camera in [(file, camera), *self._followers.pop(file.folder)]:
            other.status, other.reason = status, trouble or cut.note
            self._count_if_complete(its_camera)

    def _count_if_complete(self, camera: PlannedCamera) -> None:
        """Has a camera counted, once it is known of all of its recordings how they fared."""
        waiting = {FileStatus.NEW, FileStatus.PARTLY}
        if camera.name in self._counted or any(file.status in waiting for file in camera.files):
            return
        mark_duplicates(camera)
        detected = [file for file in camera.files if file.status is FileStatus.DETECTED]
        if not detected:
            camera.problem = "none of its recordings could be read"
            self._counted.add(camera.name)
            return
        key = self._plan.key_of(camera)
        if counted_key(self._plan.folder_of(camera)) == key:
            camera.counted = True
            self._counted.add(camera.name)
            return
        footage = tuple(
            Footage(file.clip, file.sha256 or "", file.folder or Path(), file.placed.start) for file in detected
        )
        others = [file for file in camera.files if file.status is not FileStatus.DETECTED]
        problems = [
            f"{file.path.name} is left out: {file.reason}".replace(f"{file.clip.shown} ", "it ") for file in others
        ]
        job = Counting(
            self._plan.config_of(camera),
            footage,
            self._plan.class_names,
            key,
            self._plan.settings.join_seconds,
            (*camera.timeline.problems, *problems),
        )
        self._counted.add(camera.name)
        camera.counted = False
        self._ready.appendleft(_Task(job, camera))

    def _tell(self) -> None:
        counting = sum(task.file is None for task in [*self._ready, *self._running.values()])
        self._observe(self._pace.progress(self._plan, self._workers.frames, len(self._counted) - counting))


def _what(task: _Task) -> str:
    return f"camera {task.camera.name}" if task.file is None else task.file.clip.shown
