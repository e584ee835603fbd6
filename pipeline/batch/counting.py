"""The cheap job: everything of a run behind its detector, over what was detected in all recordings of one camera.

Tracking, smoothing and rules go through the stored detections from the first picture to the last, in one sequence,
however many processes have detected. So the counts are those of one run over the whole footage by construction, and a
killed batch that goes on has nothing to repair: a camera is counted from its beginning, in a folder that gets its name
when all is there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidan.pipeline.batch.files import read_file_facts, write_json
from vidan.pipeline.batch.footage import Clip
from vidan.pipeline.batch.footage_source import AnalysedFile, FootageSource, FoundDetector
from vidan.pipeline.build import rules_without_clock, warn_of_unseen_rules
from vidan.pipeline.build_sources import build_watch
from vidan.pipeline.config.load import Loaded
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.engine.run import Stream
from vidan.pipeline.errors import SinkError, SourceError
from vidan.pipeline.frame import FrameResult
from vidan.pipeline.job import Prepared, run_job
from vidan.pipeline.stream_record import StreamRecord

COUNTED = "counted.json"


@dataclass(frozen=True, slots=True)
class Footage:
    """One recording of a camera, in which everything has been detected.

    Attributes:
        clip: Where it lies.
        sha256: Of its content.
        parts: Folder of what was detected.
        start: When it began; None: as its container says.
    """

    clip: Clip
    sha256: str
    parts: Path
    start: Any = None


@dataclass(frozen=True, slots=True)
class Counting:
    """A job.

    Attributes:
        loaded: A config with the one stream of this camera; its output folder is where the results go.
        footage: In the order of time.
        class_names: Of the detector.
        key: Names everything that the results depend on.
        join_seconds: See `FootageSource`.
        problems: What is known of this camera's footage beforehand, in sentences.
    """

    loaded: Loaded[RunConfig]
    footage: Sequence[Footage]
    class_names: tuple[str, ...]
    key: str
    join_seconds: float
    problems: tuple[str, ...] = ()


def count_camera(job: Counting, stopped: Callable[[], bool] = lambda: False) -> bool:
    """Counts a camera, and puts its folder in place of an earlier one. False if it was stopped.

    Raises:
        SourceError: If detections cannot be read, or rules with a schedule lack a clock.
        SinkError: If an output cannot be written.
    """
    config = job.loaded.config
    final = Path(config.output.folder)
    stream = config.streams[0]
    files = [open_footage(footage) for footage in job.footage]
    source = FootageSource(
        stream.name,
        files,
        start_time=files[0].start,
        join_seconds=job.join_seconds,
        with_pictures=needs_pictures(config),
        watch=build_watch(stream),
    )
    if source.start_time is None and (problems := rules_without_clock(config, stream.name)):
        raise SourceError("; ".join(problems))
    source.health.problems += [*job.problems, *warn_of_unseen_rules(config, stream.name, source.width, source.height)]
    record = StreamRecord(stream.name, ", ".join(footage.clip.shown for footage in job.footage), source.health)
    draft = final.with_name(f"{final.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    output = config.output.model_copy(update={"folder": str(draft)})
    outcome = run_job(
        replace(job.loaded, config=config.model_copy(update={"output": output})),
        observers=[lambda records: _NoteIdle(source, records)],
        stopped=stopped,
        prepared=Prepared(
            [Stream(source, record)],
            FoundDetector(source, job.class_names, files[0].facts.detector),
            {footage.clip.shown: footage.sha256 for footage in job.footage},
        ),
    )
    if stopped():
        return False
    if outcome.broken:
        raise outcome.broken[0]
    try:
        write_json(draft / COUNTED, {"key": job.key})
        shutil.rmtree(final, ignore_errors=True)
        draft.rename(final)
    except OSError as error:
        raise SinkError(f"cannot put {draft} in its place {final}: {error.strerror}") from error
    return True


def counted_key(folder: Path) -> str | None:
    """What the results in a camera's folder were counted from; None where there are none."""
    try:
        return json.loads((folder / COUNTED).read_text(encoding="utf-8"))["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def needs_pictures(config: RunConfig) -> bool:
    """True where counting has to decode again: for an annotated video, evidence, or a camera that moves."""
    output = config.output
    return output.video is not None or output.evidence is not None or config.tracker.camera_motion != "none"


class _NoteIdle:
    """A sink that enters in the account of the stream where its pictures showed nothing."""

    def __init__(self, source: FootageSource, records: Sequence[StreamRecord]) -> None:
        self._source, self._records = source, records

    def write(self, result: FrameResult) -> None:
        """Waits for the end."""

    def close(self) -> None:
        self._records[0].idle = self._source.idle


def open_footage(footage: Footage) -> AnalysedFile:
    facts = read_file_facts(footage.parts, footage.clip.path)
    if facts is None:
        raise SourceError(f"{footage.clip.shown}: what was detected in it is no longer in {footage.parts}")
    return AnalysedFile(footage.clip, facts, footage.parts, footage.start or facts.created)
