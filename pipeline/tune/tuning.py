"""From a config and the truth about its clip to the setting that counts it best, in a new config beside the old one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vidan.pipeline.build import rules_without_clock
from vidan.pipeline.config.load import Loaded
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.config.streams import VideoSourceConfig
from vidan.pipeline.errors import ConfigError, cannot_write
from vidan.pipeline.provenance import vidan_version
from vidan.pipeline.report.csv_table import write_csv
from vidan.pipeline.tune.clip import Clip, see_clip
from vidan.pipeline.tune.edit import with_comment, with_values
from vidan.pipeline.tune.rerun import answer
from vidan.pipeline.tune.scoring import FEW, HeldOut, Score, as_good, hold_out, ranked
from vidan.pipeline.tune.sweep import Grid, Setting, lowest_confidence, settings_of
from vidan.pipeline.tune.truth import TrueTracks, Truth, count_tracks, read_counts, read_tracks
from vidan.trackers import evaluate_tracks, require_trackeval


@dataclass(frozen=True, slots=True)
class Request:
    """What is tuned, and by what.

    Attributes:
        stream: Which of the config; None: the only one.
        counts: Table of manual counts; None: the rules count `tracks`.
        tracks: Ground truth in MOTChallenge form; None: no HOTA.
        label: Class of the boxes in `tracks`.
        first_frame: Number in `tracks` of the clip's first picture.
        tolerance: Seconds by which a single event may be off.
        grid: What is tried.
        detections: Folder for what the network sees.
    """

    stream: str | None
    counts: Path | None
    tracks: Path | None
    label: str
    first_frame: int
    tolerance: float
    grid: Grid
    detections: Path


@dataclass(frozen=True, slots=True, eq=False)
class Tuning:
    """What came out.

    Attributes:
        clip: What was counted.
        true: How many there are to be counted.
        scores: Of all settings, the best first.
        configured: Of the config as it was.
        held_out: See `hold_out`.
        as_good: How many settings can hardly be told from the best.
    """

    clip: Clip
    true: int
    scores: Sequence[Score]
    configured: Score
    held_out: HeldOut | None
    as_good: int

    @property
    def best(self) -> Score:
        return self.scores[0]

    def warnings(self) -> list[str]:
        """What speaks against trusting the choice, in sentences."""
        told = []
        if self.true < FEW:
            told.append(f"only {self.true} were to be counted: fewer than {FEW} say little; tune on a longer clip")
        if self.held_out is not None and self.held_out.chosen >= self.held_out.configured and self.best.setting.changed:
            told.append("on the half that it was not chosen by, the choice was no better than the config as it is")
        return told


def tune(
    loaded: Loaded[RunConfig],
    request: Request,
    *,
    detected: Callable[[int], None] = lambda pictures: None,
    tried: Callable[[int, int], None] = lambda done, settings: None,
) -> Tuning:
    """Tries all settings on the clip.

    Args:
        loaded: The config.
        request: What to try, and the truth.
        detected: Is told pictures as the network has seen them.
        tried: Is told how many settings of how many are done.

    Raises:
        ConfigError: If there is nothing to tune by, the grid is wrong, the truth does not fit the clip, a rule has a
            schedule and the clip no clock, or TrackEval is missing.
        SourceError: If the clip cannot be read.
        SinkError: If detections cannot be kept.
        WeightsError: If the weights cannot be used.
    """
    loaded = _of_one_stream(loaded, request.stream)
    if request.tracks is not None:
        _require_trackeval()
    settings = settings_of(loaded.config, request.grid)
    clip = see_clip(loaded, lowest_confidence(settings), request.detections, detected)
    if clip.frames[0].frame.stamp.utc is None and (problems := rules_without_clock(loaded.config, clip.name)):
        raise ConfigError("; ".join(problems))
    tracks = None
    if request.tracks is not None:
        tracks = read_tracks(request.tracks, clip, request.label, request.first_frame)
    truth = _truth(loaded.config, request, clip, tracks)
    scores: list[Score] = []
    for setting in settings:
        scores.append(_score(setting, clip, truth, tracks))
        tried(len(scores), len(settings))
    return Tuning(clip, truth.size, ranked(scores), scores[0], hold_out(scores), as_good(scores))


def write_tuned(
    tuning: Tuning, loaded: Loaded[RunConfig], target: Path, inputs: Iterable[Path], *, overwrite: bool
) -> Path:
    """Writes the best setting as a config beside the one that was tuned, and next to it the table; the table's path.

    Raises:
        ConfigError: If `target` is there already, lies elsewhere, or is the config itself; if that cannot be rewritten.
        SinkError: If something cannot be written.
    """
    check_target(loaded.path, target, inputs, overwrite=overwrite)
    table = target.with_suffix(".csv")
    values = {key: value for key, value in tuning.best.setting.values.items() if _differs(tuning, key)}
    try:
        text = with_values(loaded.path.read_text(encoding="utf-8-sig"), values, loaded.path)
        write_csv(table, *_table(tuning))
        target.write_text(with_comment(text, _comment(tuning, loaded.path, table)), encoding="utf-8")
    except OSError as error:
        raise cannot_write("the config", target, error) from error
    return table


def check_target(path: Path, target: Path, inputs: Iterable[Path], *, overwrite: bool) -> None:
    """Whether a tuned config may be written there, which is worth knowing before the work.

    Args:
        path: The config that is tuned.
        target: Where the new one is to lie; the table lies beside it.
        inputs: Files that say what is true.
        overwrite: Whether earlier results may be replaced.

    Raises:
        ConfigError: If not.
    """
    if target.absolute().parent.resolve() != path.parent.resolve():
        raise ConfigError(f"--output {target}: must lie beside {path}, for the paths in a config begin at its folder")
    if target.suffix.lower() == ".csv":
        raise ConfigError(f"--output {target}: names the config; its table gets the ending .csv")
    for file in (target, target.with_suffix(".csv")):
        if file.exists() and file.samefile(path):
            raise ConfigError(f"--output {target}: is the config that is tuned; it is never overwritten")
        if file.exists() and any(source.exists() and file.samefile(source) for source in inputs):
            raise ConfigError(f"--output {target}: would replace {file}, which says what is true; choose another name")
        if file.exists() and not overwrite:
            raise ConfigError(f"{file} is there already; give --overwrite, or another --output")


def summary(tuning: Tuning) -> list[str]:
    """What was found, in sentences."""
    best, configured = tuning.best, tuning.configured
    low, high = best.wrong_interval()
    lines = [
        f"stream {tuning.clip.name}, {tuning.clip.seconds:.1f} s: {tuning.true} to be counted, "
        f"{len(tuning.scores)} settings tried",
        f"best: {best.wrong} wrong ({100 * low:.1f} to {100 * high:.1f} % of all that is counted or missed, by the "
        f"95 % interval){_hota(best)}; as configured: {configured.wrong} wrong{_hota(configured)}",
        f"{tuning.as_good} of {len(tuning.scores)} settings lie within that interval: they can hardly be told apart",
    ]
    if (halves := tuning.held_out) is not None:
        lines.append(
            f"chosen by one half of the clip and judged on the other, both ways: {halves.chosen} wrong; "
            f"as configured: {halves.configured} wrong"
        )
    return lines + [f"caution: {warning}" for warning in tuning.warnings()]


def _of_one_stream(loaded: Loaded[RunConfig], name: str | None) -> Loaded[RunConfig]:
    """The config with the stream that is tuned alone."""
    streams = {stream.name: stream for stream in loaded.config.streams}
    if name is None and len(streams) > 1:
        raise ConfigError(f"{loaded.path} has the streams {', '.join(streams)}: choose one with --stream")
    name = name or next(iter(streams))
    if name not in streams:
        raise ConfigError(f"--stream {name}: there is none in {loaded.path}, which has {', '.join(streams)}")
    if not isinstance(streams[name].source, VideoSourceConfig):
        raise ConfigError(f"stream {name}: tuning needs a recording, of type video")
    index = list(streams).index(name)
    return replace(
        loaded,
        config=loaded.config.model_copy(update={"streams": (streams[name],)}),
        effective=loaded.effective | {"streams": [loaded.effective["streams"][index]]},
    )


def _truth(config: RunConfig, request: Request, clip: Clip, tracks: TrueTracks | None) -> Truth:
    if request.counts is not None:
        truth: Truth = read_counts(request.counts, clip, config, request.tolerance)
    elif tracks is not None:
        truth = count_tracks(tracks, clip, config, request.tolerance)
    else:
        raise ConfigError("what is true? give --counts MANUAL.csv, --tracks GT, or both")
    if not truth.size:
        raise ConfigError(f"stream {clip.name}: by the truth nothing crosses a line or enters a zone in this clip")
    return truth


def _score(setting: Setting, clip: Clip, truth: Truth, tracks: TrueTracks | None) -> Score:
    given = answer(setting.config, clip)
    verdicts = truth.judge(given.events)
    if tracks is None:
        return Score(setting, verdicts)
    try:
        name = tracks.name
        metrics = evaluate_tracks({name: tracks.rows}, {name: given.rows(clip.class_names.index(tracks.label))})
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return Score(setting, verdicts, metrics.hota, metrics.idf1)


def _require_trackeval() -> None:
    """Better before the clip is detected than behind it."""
    try:
        require_trackeval()
    except ImportError as error:
        raise ConfigError(str(error)) from error


def _differs(tuning: Tuning, key: str) -> bool:
    return tuning.best.setting.values[key] != tuning.configured.setting.values[key]


def _hota(score: Score) -> str:
    return "" if score.hota is None else f", HOTA {100 * score.hota:.1f}"


def _comment(tuning: Tuning, path: Path, table: Path) -> list[str]:
    changed = [
        f"{key} {tuning.configured.setting.values[key]:g} -> {value:g}"
        for key, value in tuning.best.setting.values.items()
        if _differs(tuning, key)
    ]
    return [
        f"Written by `vidan tune counts {path.name}` (vidan {vidan_version()}): {', '.join(changed) or 'no change'}.",
        f"The table that this rests on: {table.name}. One clip, so it may fit that clip better than the camera:",
        *(f"  {line}" for line in summary(tuning)),
    ]


def _table(tuning: Tuning) -> tuple[list[str], Iterable[Sequence[object]]]:
    """Titles and a row per setting, the best first."""
    keys = list(tuning.best.setting.values)
    titles = [*keys, "true", "right", "wrong", "wrong_share", "low_95", "high_95", "hota", "idf1", "role"]

    def row(score: Score) -> list[object]:
        low, high = score.wrong_interval()
        judged = score.right + score.wrong
        shares = [round(share, 4) for share in (score.wrong / judged if judged else 0.0, low, high)]
        metrics = ["" if value is None else round(value, 4) for value in (score.hota, score.idf1)]
        roles = [name for name, one in (("chosen", tuning.best), ("as configured", tuning.configured)) if one is score]
        values = [score.setting.values[key] for key in keys]
        return [*values, tuning.true, score.right, score.wrong, *shares, *metrics, ", ".join(roles)]

    return titles, [row(score) for score in tuning.scores]
