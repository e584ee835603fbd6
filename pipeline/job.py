"""One job: a checked config becomes a folder with everything that the run found out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeAlias

from vidan.detector import Detector, WeightsError, file_sha256
from vidan.pipeline.build import build_detector, find_weights, rules_without_clock, warn_of_unseen_rules
from vidan.pipeline.build_outputs import open_sinks, planned_outputs, scene_names
from vidan.pipeline.build_painters import Painters
from vidan.pipeline.build_sources import build_source, build_watch, describe_source, main_streams
from vidan.pipeline.checkpoint import Checkpoint
from vidan.pipeline.conclusion import conclude, refresh_counts
from vidan.pipeline.config.load import Loaded, load_config
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.config.tracking import DetectorConfig
from vidan.pipeline.control import Control
from vidan.pipeline.delivered import delivering, require_drivers
from vidan.pipeline.engine.lane import Lane
from vidan.pipeline.engine.run import Engine
from vidan.pipeline.engine.stream import Stream
from vidan.pipeline.errors import ConfigError, SinkError, SourceError
from vidan.pipeline.frame import Frame
from vidan.pipeline.manifest import Manifest, RunStatus
from vidan.pipeline.monitored import monitored
from vidan.pipeline.provenance import hash_files
from vidan.pipeline.report.counts import RunningCounts
from vidan.pipeline.report.recorded import rule_to_record
from vidan.pipeline.report.summary import Summary
from vidan.pipeline.resume import Resumption
from vidan.pipeline.rule_book import RuleBook
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks.evidence import EvidenceSink
from vidan.pipeline.sinks.files import JsonlSink
from vidan.pipeline.sinks.shield import Shield
from vidan.pipeline.sinks.video import AnnotatedVideoSink
from vidan.pipeline.sources.images import ImageFolderSource
from vidan.pipeline.stages import Sink
from vidan.pipeline.stream_record import StreamRecord
from vidan.pipeline.telemetry import StageTimes, Telemetry

MakeObserver: TypeAlias = Callable[[Sequence[StreamRecord]], Sink]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to.

    Attributes:
        folder: Where everything is.
        manifest: As it stands in run.json.
        summary: Of the event log.
        broken: Why streams ended early; the others ran on.
    """

    folder: RunFolder
    manifest: Manifest
    summary: Summary
    broken: list[SourceError]


class DescribedDetector(Detector, Protocol):
    """A detector that can say what it is."""

    def describe(self) -> Mapping[str, object]: ...


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run is given, instead of opening it as its config says.

    Attributes:
        streams: One per stream of the config, opened.
        detector: Detects in all of them.
        inputs: Hashes of what they read.
    """

    streams: Sequence[Stream]
    detector: DescribedDetector
    inputs: Mapping[str, str]


def run_job(
    loaded: Loaded[RunConfig],
    *,
    overwrite: bool = False,
    resume: bool = False,
    observers: Sequence[MakeObserver] = (),
    stopped: Callable[[], bool] = lambda: False,
    prepared: Prepared | None = None,
    control: Control | None = None,
    reread: Callable[[], Loaded[RunConfig]] | None = None,
) -> Outcome:
    """Runs a config from the first frame to the report.

    Args:
        loaded: The config.
        overwrite: Replace an earlier run in the same folder, instead of going to a new folder beside it.
        resume: Go on with an earlier run in the same folder, if there is one.
        observers: Each gives one more sink, from the accounts of the streams.
        stopped: Says whether a stop was asked for; everything up to then is saved.
        prepared: Streams and detector that are there already; None: as the config says.
        control: Likewise, and whether rules should be read again.
        reread: Reads the config again.

    Raises:
        SourceError: If a source cannot be opened; nothing has been written then.
        WeightsError: If the weights cannot be used; nothing has been written then.
        ConfigError: If this machine cannot run the detector as configured; nothing has been written then. If the
            service's port is taken; run.json says so then.
        SinkError: If an output cannot be written; the others are completed.
    """
    config = loaded.config
    control = control or Control(stopped)
    streams = open_streams(config) if prepared is None else prepared.streams
    require_drivers(config.output)
    detector = build_detector(config.detector) if prepared is None else prepared.detector
    wanted = Path(config.output.folder)
    found = RunFolder.find(wanted) if resume else None
    folder = found or RunFolder.create(wanted, overwrite=overwrite)
    with folder.locked():
        resumption = None if found is None else Resumption.open(folder, streams)
        return _run_in(
            folder,
            loaded,
            streams,
            detector,
            resumption,
            inputs=None if prepared is None else prepared.inputs,
            observers=observers,
            control=control,
            reread=reread or (lambda: read_config(loaded.path)),
        )


def _run_in(
    folder: RunFolder,
    loaded: Loaded[RunConfig],
    streams: Sequence[Stream],
    detector: DescribedDetector,
    resumption: Resumption | None,
    *,
    inputs: Mapping[str, str] | None,
    observers: Sequence[MakeObserver],
    control: Control,
    reread: Callable[[], Loaded[RunConfig]],
) -> Outcome:
    config = loaded.config
    telemetry = Telemetry()
    rules = RuleBook(
        loaded,
        detector.class_names,
        telemetry,
        {stream.name: stream.numbering for stream in streams},
        reread,
        () if resumption is None else resumption.rules,
    )
    manifest = Manifest(
        config=loaded.effective,
        config_sha256=loaded.sha256,
        detector=detector.describe(),
        inputs=dict(inputs or {}),
        streams=[stream.record for stream in streams],
        rules=[rule_to_record(rule) for rule in rules.infos],
        outputs=planned_outputs(config, folder) + scene_names(config, folder),
    )
    if resumption is not None:
        resumption.manifest(manifest)
    rules.manifest = manifest
    with (
        delivering(config.output, manifest, folder, rules.infos) as destinations,
        accounted(manifest, folder),
        monitored(config.service, telemetry, control, folder.path),
        main_streams(config, manifest.streams) as mains,
    ):
        telemetry.destinations |= {sink.health.name: sink.snapshot for sink in destinations}
        hashing = None if inputs is not None else _hash_inputs(streams, manifest.inputs)
        painters = Painters(config, detector.class_names)
        rules.changed = painters.change
        outputs = open_sinks(config, folder, detector.class_names, painters, resumption, mains)
        sinks = [*outputs, *destinations]
        watching = [*sinks, *(observe(manifest.streams) for observe in observers)]
        engine = Engine(
            streams,
            detector,
            _telling_of_unseen_rules(config, streams, rules.lane),
            _shielded(watching) if any(stream.live for stream in streams) else watching,
            batch=config.detector.batch,
            max_wait_seconds=config.detector.max_wait_ms / 1000,
            telemetry=telemetry,
            control=control,
            rules=rules,
        )
        counts = RunningCounts(folder.events, config.output.interval_seconds)
        checkpoint = Checkpoint(manifest, folder, lambda: refresh_counts(counts, rules, folder, manifest))
        try:
            engine.run()
        finally:
            checkpoint.close()
        manifest.stage_seconds = _stage_seconds(telemetry.times, sinks)
        broken = [stream.error for stream in streams if stream.error is not None]
        if control.is_stopped:
            manifest.finish(RunStatus.INTERRUPTED)
        else:
            if hashing is not None:
                hashing.join()
            manifest.finish(
                RunStatus.FAILED if broken else RunStatus.COMPLETE, "; ".join(str(error) for error in broken) or None
            )
        summary = conclude(rules.loaded, folder, manifest, rules.infos)
    return Outcome(folder, manifest, summary, broken)


def _shielded(sinks: Sequence[Sink]) -> list[Sink]:
    """All but the logs of events, without which nothing is worth anything."""
    return [sink if isinstance(sink, JsonlSink) else Shield(sink) for sink in sinks]


def read_config(path: Path) -> Loaded[RunConfig]:
    """The config in a file, checked against the weights that it names.

    Raises:
        ConfigError: With one line per problem.
        WeightsError: If the weights are all that is wrong; the message has the place in the file, too.
    """
    failures: list[WeightsError] = []

    def class_names(config: DetectorConfig, path: Path) -> tuple[str, ...]:
        try:
            return find_weights(config)[1].classes
        except WeightsError as error:
            failures.append(error)
            raise ValueError(str(error)) from error

    try:
        return load_config(path, class_names=class_names)
    except ConfigError as error:
        if failures and "\n" not in str(error):
            raise WeightsError(str(error)) from failures[0]
        raise


def open_streams(config: RunConfig) -> list[Stream]:
    """All streams, opened; their accounts name the rules that can count nothing.

    Raises:
        SourceError: If some cannot be opened: one line for each of them.
    """
    streams: list[Stream] = []
    problems: list[str] = []
    for wanted in config.streams:
        try:
            source = build_source(wanted)
        except SourceError as error:
            problems.append(f"stream {wanted.name}: {error}")
        else:
            if source.start_time is None and not source.live:
                problems += [f"stream {wanted.name}: {problem}" for problem in rules_without_clock(config, wanted.name)]
            if source.width is not None and source.height is not None:
                source.health.problems += warn_of_unseen_rules(config, wanted.name, source.width, source.height)
            record = StreamRecord(wanted.name, describe_source(wanted.source), source.health)
            reopen = partial(build_source, wanted) if source.live else None
            streams.append(Stream(source, record, build_watch(wanted), priority=wanted.priority, reopen=reopen))
    if problems:
        for stream in streams:
            stream.source.close()
        raise SourceError("\n".join(problems))
    return streams


def _telling_of_unseen_rules(
    config: RunConfig, streams: Sequence[Stream], make_lane: Callable[[Frame], Lane]
) -> Callable[[Frame], Lane]:
    """Makes lanes, and tells of rules outside the pictures of a camera, whose size is not known before the first."""
    cameras = {stream.name: stream.record for stream in streams if stream.live}

    def make(frame: Frame) -> Lane:
        name = frame.stamp.stream
        if name in cameras:
            for problem in warn_of_unseen_rules(config, name, frame.width, frame.height):
                if problem not in cameras[name].health.problems:
                    cameras[name].complain(problem)
        return make_lane(frame)

    return make


@contextmanager
def accounted(manifest: Manifest, folder: RunFolder) -> Iterator[None]:
    """Keeps run.json true: that the run is going on from the beginning, how it ended at the end, whatever happens."""
    manifest.write(folder.manifest)
    try:
        yield
        manifest.write(folder.manifest)
    except BaseException as error:
        status = RunStatus.INTERRUPTED if isinstance(error, KeyboardInterrupt) else RunStatus.FAILED
        manifest.finish(status, str(error) or type(error).__name__)
        with suppress(SinkError):  # the first error is the one to tell
            try:
                manifest.write(folder.manifest)
            except SinkError:  # the disk is full
                manifest.write_over(folder.manifest)
        raise


def _hash_inputs(streams: Sequence[Stream], hashes: dict[str, str]) -> threading.Thread:
    """Fills in the hashes of all videos and folders of pictures, beside the run: terabytes take their time."""
    inputs: dict[str, Callable[[], str]] = {}
    for stream in streams:
        if isinstance(stream.source, ImageFolderSource):
            inputs[stream.record.source] = partial(hash_files, stream.source.files)
        else:
            files = stream.source.describe().get("files", [])  # none of a camera
            inputs |= {file["path"]: partial(file_sha256, Path(file["path"])) for file in files}

    def fill_in() -> None:
        for name, hash_input in inputs.items():
            with suppress(OSError):  # a file that is gone by now has no hash; its stream tells about it
                hashes[name] = hash_input()

    thread = threading.Thread(target=fill_in, name="hash-inputs", daemon=True)
    thread.start()
    return thread


def _stage_seconds(times: StageTimes, sinks: Sequence[Sink]) -> dict[str, float]:
    for sink in sinks:
        if isinstance(sink, AnnotatedVideoSink | EvidenceSink):
            for stage, seconds in sink.stage_seconds.items():
                times.add(stage, seconds)
    return dict(times.seconds)
