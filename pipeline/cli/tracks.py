"""vidan tracks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from vidan.pipeline.foreign_tracks import ForeignTracks

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Adds the commands to `vidan`; the options in `common` are those of every command."""
    tracks = commands.add_parser("tracks", help="tracks from and to MOTChallenge files")
    actions = tracks.add_subparsers(title="actions", metavar="ACTION", required=True)

    export = actions.add_parser(
        "export",
        parents=[common],
        help="the tracks of a run as MOTChallenge text",
        description="Writes one line per box: frame, id, x, y, w, h, confidence, -1, -1, -1. Pictures are numbered "
        "from 1, those that the run skipped included; a confidence of 0 stands for a box between two sightings.",
    )
    export.add_argument("run", type=Path, metavar="RUN", help="folder of the run, or a track file")
    export.add_argument("output", type=Path, metavar="OUT", help="NAME.txt for one stream, or a folder for all")
    export.add_argument("--stream", metavar="NAME", help="this one only")
    add_box_options(export)
    export.set_defaults(command=_export)

    importing = actions.add_parser(
        "import",
        parents=[common],
        help="tracks of another tracker as a run, for `vidan replay`",
        description="Writes a run folder without events from MOTChallenge text: results, or ground truth (only its "
        "evaluated pedestrians). Time is (frame - 1) / fps. Count them with `vidan replay DIR --config FILE`.",
    )
    importing.add_argument("file", type=Path, metavar="FILE", help="a text file, or a folder with gt/gt.txt")
    importing.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the run")
    importing.add_argument("--overwrite", action="store_true", help="replace an earlier run instead of going to DIR-2")
    importing.add_argument("--info", type=Path, metavar="FILE", help="seqinfo.ini with what the options below can say")
    importing.add_argument("--name", help="of the stream; from seqinfo.ini or the file by default")
    importing.add_argument("--fps", type=float, metavar="N", help="frames per second; from seqinfo.ini by default")
    importing.add_argument("--size", metavar="WxH", help="of the pictures in pixels; from seqinfo.ini by default")
    importing.add_argument(
        "--frames", type=int, metavar="N", help="how many; from seqinfo.ini, else up to the last box, by default"
    )
    importing.add_argument("--class", dest="label", default="person", metavar="NAME", help="of all boxes; person")
    importing.add_argument(
        "--smooth-seconds", type=float, default=0.4, metavar="S", help="as tracker.smooth_seconds; 0.4, 0: not"
    )
    importing.set_defaults(command=_import)


def add_box_options(parser: argparse.ArgumentParser) -> None:
    """Which boxes of a run are meant, and how its pictures are numbered."""
    parser.add_argument("--smoothed", action="store_true", help="boxes on which the rules count, not the tracker's own")
    parser.add_argument("--classes", metavar="A,B,...", help="only tracks of these classes")
    parser.add_argument(
        "--first-frame", type=int, default=1, metavar="N", help="number of a stream's first picture; 1 by default"
    )


def split_names(names: str | None) -> list[str] | None:
    """The names in a list such as "person, car"; None where there is no list."""
    return None if names is None else [name.strip() for name in names.split(",")]


def _export(options: argparse.Namespace) -> int:
    from vidan.pipeline.errors import ConfigError, cannot_write
    from vidan.pipeline.run_folder import RunFolder
    from vidan.pipeline.sinks.mot import rows_by_stream
    from vidan.pipeline.sinks.tracks import read_tracks
    from vidan.trackers import write_mot

    if not options.run.exists():
        raise ConfigError(f"{options.run} does not exist; name the folder of a run, or its track file")
    path = options.run if options.run.is_file() else RunFolder(options.run).tracks
    try:
        streams = rows_by_stream(
            read_tracks(path),
            first_frame=options.first_frame,
            smoothed=options.smoothed,
            classes=split_names(options.classes),
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
    names = list(streams)
    if options.stream is not None:
        if options.stream not in streams:
            raise ConfigError(f"there is no stream {options.stream!r} in {path}; it has {', '.join(names)}")
        names = [options.stream]
    to_file = options.output.suffix == ".txt"
    if to_file and len(names) != 1:
        raise ConfigError(f"{path} has the streams {', '.join(names)}: choose one with --stream, or name a folder")
    for name in names:
        target = options.output if to_file else options.output / f"{name}.txt"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_mot(target, streams[name].rows)
        except OSError as error:
            raise cannot_write("the tracks", target, error) from error
        sys.stdout.write(f"{target}: {len(streams[name].rows)} boxes in {len(streams[name].frames)} frames\n")
    return 0


def _import(options: argparse.Namespace) -> int:
    from vidan.pipeline.errors import ConfigError
    from vidan.pipeline.foreign_tracks import import_tracks

    if not 0 <= options.smooth_seconds < float("inf"):
        raise ConfigError(f"--smooth-seconds must not be negative, got {options.smooth_seconds:g}")
    try:
        stream = _foreign_tracks(options)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(str(error)) from error
    folder = import_tracks(
        [stream],
        options.output,
        label=options.label,
        smooth_seconds=options.smooth_seconds,
        overwrite=options.overwrite,
    )
    path = options.output.parent / folder.path.name
    boxes, tracks = len(stream.rows), len(set(stream.rows.track_id.tolist()))
    sys.stdout.write(
        f"{path}: stream {stream.name}, {stream.frame_count} frames, {boxes} boxes of {tracks} tracks\n"
        f"count them with `vidan replay {path} --config FILE`\n"
    )
    return 0


def _foreign_tracks(options: argparse.Namespace) -> ForeignTracks:
    """The tracks that the options name.

    Raises:
        OSError, ValueError: With what is wrong or missing.
    """
    from vidan.pipeline.foreign_tracks import ForeignTracks
    from vidan.trackers import SequenceInfo, read_info, read_mot, read_sequences
    from vidan.trackers.mot import PEDESTRIAN

    path: Path = options.file
    if path.is_dir() or path.name == "gt.txt":
        sequences = read_sequences(path)
        if len(sequences) > 1:
            raise ValueError(f"{path} has the sequences {', '.join(sequences)}: name the folder of one")
        (sequence,) = sequences.values()
        truth = sequence.truth
        rows, info, name = truth[(truth.class_id == PEDESTRIAN) & (truth.confidence != 0)], sequence.info, sequence.name
        path = path / "gt" / "gt.txt" if path.is_dir() else path
    else:
        rows, info, name = read_mot(path), SequenceInfo(), path.stem
    if options.info is not None:
        info = read_info(options.info)
    fps = options.fps or info.fps
    if fps is None or not 0 < fps < float("inf"):
        raise ValueError(f"{path}: how many frames are there per second? give --fps N, or --info seqinfo.ini")
    size = _size(options.size) if options.size else info.size
    if size is None:
        raise ValueError(f"{path}: how large are the pictures? give --size WxH, or --info seqinfo.ini")
    frame_count = options.frames or info.frame_count or int(rows.frame.max(initial=0))
    return ForeignTracks(options.name or info.name or name, path, rows, fps, frame_count, size)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise ValueError(f"--size {text}: expected width and height in pixels, as in 1920x1080")
    return int(width), int(height)
