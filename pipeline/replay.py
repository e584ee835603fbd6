"""Counts again what a run has seen: its stored tracks go through rules, its own or others, without a detector.

The frames come back in the order in which the rules saw them, to the bit, so the same rules give the same event log to
the byte. Pictures do not come back: what is made of them (video, stills) is left to the run itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from vidan.detector import Detections
from vidan.pipeline.build import build_heatmaps, describe_rules
from vidan.pipeline.build_outputs import open_logs, planned_outputs
from vidan.pipeline.build_rules import RuleBuilder
from vidan.pipeline.conclusion import conclude
from vidan.pipeline.config.load import Loaded, load_config
from vidan.pipeline.config.outputs import NO_SERVERS
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.coverage import DropLedger
from vidan.pipeline.delivered import delivering
from vidan.pipeline.engine.judge import count
from vidan.pipeline.errors import ConfigError, SinkError, SourceError
from vidan.pipeline.frame import Frame, FrameResult, Stamp
from vidan.pipeline.job import MakeObserver, Outcome, accounted
from vidan.pipeline.manifest import Manifest, RunStatus
from vidan.pipeline.masking import MASK
from vidan.pipeline.past_run import PastRun
from vidan.pipeline.provenance import SEMANTICS_VERSION
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks.track_rows import StoredFrame
from vidan.pipeline.sinks.tracks import StoredTracks, hash_tracks, read_tracks
from vidan.pipeline.stages import Rule, Sink
from vidan.pipeline.stream_record import StreamRecord
from vidan.pipeline.telemetry import StageTimes

_logger = logging.getLogger(__name__)
_GREY = 96


def replay_run(
    path: Path,
    config: Path | None = None,
    *,
    output: Path | None = None,
    overwrite: bool = False,
    observers: Sequence[MakeObserver] = (),
    stopped: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Counts a run again.

    Args:
        path: Folder of the run.
        config: The file whose rules and output settings are used; None: those of the run.
        output: Folder of the replay; None: that of the run with "-replay" behind it.
        overwrite: Replace an earlier run in the same folder, instead of going to a new folder beside it.
        observers: Each gives one more sink, from the accounts of the streams.
        stopped: Says whether a stop was asked for; everything up to then is saved.

    Raises:
        SourceError: If the run or its tracks cannot be read.
        ConfigError: If the config is wrong, or names what the run does not have.
        SinkError: If an output cannot be written.
    """
    run = PastRun.open(path)
    stored = _tracks_of(run)
    loaded = _without_pictures(
        _own_config(run) if config is None else _other_config(config, run, stored.class_names), run, output
    )
    records = _accounts(run, loaded.config)
    folder = _create_folder(run, loaded, overwrite=overwrite)
    manifest = Manifest(
        config=loaded.effective,
        config_sha256=loaded.sha256,
        detector=run.record["detector"],
        inputs=dict(run.record["inputs"]),
        streams=list(records.values()),
        outputs=planned_outputs(loaded.config, folder),
        replayed_from={
            "run": run.id,
            "folder": str(run.folder.path),
            "vidan": stored.version,
            "semantics": stored.semantics,
            "tracks": stored.path.name,
            "tracks_sha256": hash_tracks(stored.path),
        },
    )
    with delivering(loaded.config.output, manifest, folder, rules=()) as destinations, accounted(manifest, folder):
        times = StageTimes()
        replay = _Replay(loaded.config, stored.class_names, records, _Scenes(run.folder), times)
        with ExitStack() as closing:
            sinks: list[Sink] = [
                *open_logs(folder),
                *build_heatmaps(loaded.config, stored.class_names, folder),
                *destinations,
                *(observe(manifest.streams) for observe in observers),
            ]
            for sink in sinks:
                closing.callback(sink.close)
            was_stopped = replay.run(stored, sinks, stopped)
        if was_stopped or run.was_cut_off or not stored.is_complete:
            replay.cover_only_what_was_counted("the replay was stopped" if was_stopped else "the run was cut off")
        manifest.stage_seconds = {"rules": times.seconds["rules"]}
        manifest.finish(RunStatus.INTERRUPTED if was_stopped else RunStatus.COMPLETE)
        summary = conclude(loaded, folder, manifest, describe_rules(loaded.config, stored.class_names))
    return Outcome(folder, manifest, summary, [])


@dataclass(slots=True)
class _Seen:
    """What the tracks of one stream cover."""

    first: Stamp
    last: Stamp
    end_seconds: float
    frames: int = 0


class _Scenes:
    """Frames of stored tracks: whoever asks for their picture gets the one that the run kept of the stream."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def frame(self, stamp: Stamp, height: int, width: int) -> Frame:
        return Frame(stamp, height, width, lambda: self._picture(stamp.stream, height, width))

    def _picture(self, stream: str, height: int, width: int) -> NDArray[np.uint8]:
        """(height, width, 3) uint8 RGB; plain grey where the run kept none."""
        path = self._folder.scene(stream)
        if not path.is_file():
            return np.full((height, width, 3), _GREY, np.uint8)
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB").resize((width, height)))


class _Replay:
    """The rules of all streams, on their way through the stored frames."""

    def __init__(
        self,
        config: RunConfig,
        class_names: Sequence[str],
        records: Mapping[str, StreamRecord],
        scenes: _Scenes,
        times: StageTimes,
    ) -> None:
        self._config = config
        self._class_names = class_names
        self._records = records
        self._scenes = scenes
        self._times = times
        self._rules: dict[str, list[Rule]] = {}
        self._seen: dict[str, _Seen] = {}

    def run(self, stored: StoredTracks, sinks: Sequence[Sink], stopped: Callable[[], bool]) -> bool:
        """Shows every frame to the rules of its stream, and what they say to the sinks. True if it was stopped."""
        for frame in stored:
            if stopped():
                return True
            if frame.counted.stamp.stream in self._records:
                result = self._count(frame)
                for sink in sinks:
                    sink.write(result)
        return False

    def _count(self, stored: StoredFrame) -> FrameResult:
        counted, stamp = stored.counted, stored.counted.stamp
        record = self._records[stamp.stream]
        frame = self._scenes.frame(stamp, stored.height, stored.width)
        seen = self._seen.get(stamp.stream)
        if seen is None:
            seen = self._seen[stamp.stream] = _Seen(stamp, stamp, stamp.pts_seconds)
            width, height = record.width or stored.width, record.height or stored.height
            self._rules[stamp.stream] = RuleBuilder(
                self._config, self._class_names, stamp.stream, width, height
            ).build()
        # As in a run, the end of a frame is as long after it as it came after the one before.
        seen.end_seconds = 2 * stamp.pts_seconds - seen.last.pts_seconds
        seen.last, seen.frames = stamp, seen.frames + 1
        with self._times.busy("rules"):
            return count(
                self._rules[stamp.stream],
                (counted,),
                FrameResult(frame, Detections.empty(), counted.tracks, counted=(), events=()),
            )

    def cover_only_what_was_counted(self, why: str) -> None:
        """Makes the accounts of the streams say what was counted here, not what the run has seen."""
        for name, record in self._records.items():
            seen = self._seen.get(name)
            end = 0.0 if seen is None else seen.end_seconds
            told = "" if not record.seconds else f" of {record.seconds:.1f} s"
            record.health.problems.append(f"only the first {end:.1f} s{told} were counted: {why}")
            _logger.warning("stream %s: %s", name, record.health.problems[-1])
            record.health.duration_seconds = max(record.health.duration_seconds or 0.0, record.seconds, end)
            record.seconds = end
            record.health.gaps = [gap for gap in record.health.gaps if gap[0] < end]
            record.idle = tuple(gap for gap in record.idle if gap.start < end)
            record.drops = DropLedger(
                (drops for drops in record.drops.drops if drops.start < end),
                (gap for gap in record.drops.gaps if gap.start < end),
            )
            if seen is not None:
                record.analysed = seen.frames
                record.start_utc = seen.first.utc and seen.first.utc - timedelta(seconds=seen.first.pts_seconds)


def _tracks_of(run: PastRun) -> StoredTracks:
    origin = run.record["replayed_from"]
    if origin is not None:
        raise SourceError(f"{run.folder.path} is itself a replay, without tracks: replay {origin['folder']}")
    if not run.record["config"].get("output", {}).get("tracks", True):
        raise SourceError(f"{run.folder.path} was run with `output.tracks: false`, so there is nothing to count again")
    stored = read_tracks(run.folder.tracks)
    if stored.semantics != SEMANTICS_VERSION:
        _logger.warning(
            "%s was counted by version %s of the counting rules, this vidan counts by version %s: "
            "the same rules may give other numbers",
            run.folder.path, stored.semantics, SEMANTICS_VERSION,
        )  # fmt: skip
    return stored


def _own_config(run: PastRun) -> Loaded[RunConfig]:
    """The config that stands in run.json, less what only a detector and its sources need.

    Raises:
        ConfigError: If secrets are masked where rules need them, or this vidan knows another language.
    """
    kept = {key: run.record["config"].get(key, {}) for key in ("class_groups", "rules", "output")}
    streams = [
        {key: stream.get(key) for key in ("name", "rules", "calibration")} | {"source": "unused"}
        for stream in run.record["config"]["streams"]
    ]
    kept["output"] = {key: value for key, value in kept["output"].items() if key not in {"database", *NO_SERVERS}}
    if _holds_mask([kept["class_groups"], kept["rules"], streams]):
        raise ConfigError(
            f"the rules in {run.folder.manifest} took values from the environment, which are not written down: "
            "name the config file with --config"
        )
    try:
        config = RunConfig.model_validate(kept | {"streams": streams})
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise ConfigError(
            f"{run.folder.manifest}: its config is that of another vidan ({place}: {problem['msg']}): "
            "name a config file with --config"
        ) from error
    return Loaded(config, run.folder.path, run.record["config_sha256"], dict(run.record["config"]))


def _other_config(path: Path, run: PastRun, class_names: tuple[str, ...]) -> Loaded[RunConfig]:
    """The config in a file, checked against what the run has: its streams, the classes of its tracks.

    Raises:
        ConfigError: With one line per problem.
    """
    loaded = load_config(path, class_names=lambda detector, path: class_names)
    there = [stream["name"] for stream in run.record["streams"]]
    wanted = [stream.name for stream in loaded.config.streams]
    if missing := [name for name in wanted if name not in there]:
        raise ConfigError(
            f"{path}: there is no stream {' or '.join(missing)} in {run.folder.path}, which has {', '.join(there)}"
        )
    if unnamed := [name for name in there if name not in wanted]:
        _logger.warning("%s does not name the stream %s, which is left out", path, ", ".join(unnamed))
    ignored = [
        f"{section}.{key}"
        for section in ("detector", "tracker")
        for key, value in loaded.effective[section].items()
        if value != run.record["config"].get(section, {}).get(key)
    ]
    if ignored:
        _logger.warning("the tracks are those of the run: other settings of %s change nothing", ", ".join(ignored))
    return loaded


def _without_pictures(loaded: Loaded[RunConfig], run: PastRun, output: Path | None) -> Loaded[RunConfig]:
    """The config as it is in effect here: no outputs that need pictures, no second copy of the tracks.

    Servers get nothing, either: what is only tried out does not belong among the numbers of an installation.
    """
    config, settings = loaded.config, loaded.config.output
    path = run.folder.path
    changes: dict[str, Any] = {
        "folder": str((output or path.with_name(f"{path.name}-replay")).absolute()), "video": None, "evidence": None,
        "tracks": None, **NO_SERVERS,
    }  # fmt: skip
    if settings.database is not None and settings.database.url is not None:
        _logger.warning("a replay is not sent to output.database.url; `vidan db load` does it, if it is to stay")
        changes["database"] = None
    detector = config.detector.model_copy(update={"classes": run.record["detector"].get("kept_classes")})
    return replace(
        loaded,
        config=config.model_copy(update={"detector": detector, "output": settings.model_copy(update=changes)}),
        effective=loaded.effective | {"output": loaded.effective["output"] | changes},
    )


def _accounts(run: PastRun, config: RunConfig) -> dict[str, StreamRecord]:
    """The accounts of the streams that are counted, in the order of the config, which is that of the report."""
    records = {record.name: record for record in run.streams()}
    return {stream.name: records[stream.name] for stream in config.streams}


def _create_folder(run: PastRun, loaded: Loaded[RunConfig], *, overwrite: bool) -> RunFolder:
    wanted = Path(loaded.config.output.folder)
    if overwrite and wanted.exists() and wanted.samefile(run.folder.path):
        raise SinkError(f"{wanted} is the run that is counted again; it is not overwritten: choose another --output")
    return RunFolder.create(wanted, overwrite=overwrite)


def _holds_mask(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_mask, value.values()))
    if isinstance(value, list):
        return any(map(_holds_mask, value))
    return isinstance(value, str) and MASK in value
