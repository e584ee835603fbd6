"""vidan check --observe: what a sample of each stream says about a config, in words, as JSON and as pictures."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidan.pipeline.observe.observation import Observation

SECONDS = 60.0


def add_options(check: argparse.ArgumentParser) -> None:
    """Adds what belongs to --observe to `vidan check`."""
    observing = check.add_argument_group(
        "observing", "Advice is no error: the exit code is 0. CONFIG may also be the folder of a finished run."
    )
    observing.add_argument(
        "--observe",
        action="store_true",
        help="detect and track a sample of each stream; say which lines and zones are badly placed, whether frames and "
        "pixels are enough, and where lines would count most",
    )
    observing.add_argument(
        "--seconds",
        type=_positive,
        default=SECONDS,
        metavar="N",
        help=f"how much of each stream, from its beginning (default: {SECONDS:g})",
    )
    observing.add_argument(
        "--output",
        type=Path,
        metavar="PNG",
        help="the picture, with several streams one each, PNG-STREAM.png (default: observe-STREAM.png here)",
    )


def observe(options: argparse.Namespace) -> int:
    """Observes the streams of a config that was checked already, or a run."""
    from vidan.pipeline.job import read_config
    from vidan.pipeline.observe.observation import observe_config, observe_run, write_picture

    if options.config.is_dir():
        observations = observe_run(options.config)
    else:
        observations = observe_config(read_config(options.config).config, options.seconds)
    pictures = [_picture_path(options.output, one.sample.stream, len(observations)) for one in observations]
    for path, observation in zip(pictures, observations, strict=True):
        write_picture(path, observation)
    if options.json:
        records = [_to_record(one, path) for one, path in zip(observations, pictures, strict=True)]
        sys.stdout.write(json.dumps({"config": str(options.config), "streams": records}, indent=2) + "\n")
    else:
        lines = [line for one, path in zip(observations, pictures, strict=True) for line in (*_tell(one, path), "")]
        sys.stdout.write("\n".join(lines))
    return 0


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return value


def _picture_path(output: Path | None, stream: str, streams: int) -> Path:
    if output is None:
        return Path(f"observe-{stream}.png")
    return output if streams == 1 else output.with_name(f"{output.stem}-{stream}.png")


def _tell(observation: Observation, picture: Path) -> Iterator[str]:
    """An observation in lines of text; findings stand below what they are about."""
    sample = observation.sample
    yield f"stream {sample.stream}: {sample.seconds:.0f} s of it"
    width = max(len(_title(verdict.type, verdict.name)) for verdict in observation.verdicts)
    for verdict in observation.verdicts:
        mark = "!" if verdict.findings else "✓"
        yield f"  {mark} {_title(verdict.type, verdict.name):<{width}}  {verdict.summary}"
        for finding in verdict.findings:
            yield f"    {'':<{width}}  → {finding.text}"
    moving = sum(trail.is_moving for trail in sample.trails)
    if any(verdict.type == "line" for verdict in observation.verdicts):
        yield f"  {observation.served} of {moving} moving tracks are counted well by a line"
    yield from _tell_suggestions(observation)
    yield f"  picture: {picture}"


def _title(type_: str, name: str) -> str:
    return name if type_ == "stream" else f"{type_} {name}"


def _tell_suggestions(observation: Observation) -> Iterator[str]:
    """Lines that can be pasted under `rules:`."""
    if not observation.suggestions:
        return
    sample = observation.sample
    yield "  suggested, to paste under `rules:`"
    for suggestion in observation.suggestions:
        points = json.dumps(suggestion.in_fractions(sample.width, sample.height))
        tracks = len(suggestion.track_ids)
        yield f"  {suggestion.name}: {{type: line, points: {points}}}  # {tracks} tracks: {suggestion.inward} in, " + (
            f"{tracks - suggestion.inward} out"
        )


def _to_record(observation: Observation, picture: Path) -> dict[str, Any]:
    """An observation as plain JSON values."""
    sample = observation.sample
    return {
        "stream": sample.stream,
        "seconds": round(sample.seconds, 3),
        "frames": sample.frames,
        "tracks": len(sample.trails),
        "moving": sum(trail.is_moving for trail in sample.trails),
        "counted_well": observation.served,
        "verdicts": [
            {
                "name": verdict.name,
                "type": verdict.type,
                "summary": verdict.summary,
                "figures": {key: _rounded(value) for key, value in verdict.figures.items()},
                "findings": [{"kind": finding.kind.value, "text": finding.text} for finding in verdict.findings],
            }
            for verdict in observation.verdicts
        ],
        "suggestions": [
            {
                "name": suggestion.name,
                "points": suggestion.in_fractions(sample.width, sample.height),
                "tracks": len(suggestion.track_ids),
                "in": suggestion.inward,
            }
            for suggestion in observation.suggestions
        ],
        "picture": str(picture),
    }


def _rounded(value: float | int | None) -> float | int | None:
    return round(value, 4) if isinstance(value, float) else value
