"""What a run writes: the sinks that its config asks for, and the names of their files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from operator import attrgetter

from vidan.pipeline.build import build_heatmaps, heatmap_names, late_seconds
from vidan.pipeline.build_painters import Painters
from vidan.pipeline.build_videos import build_videos, video_outputs
from vidan.pipeline.config.schema import RunConfig
from vidan.pipeline.config.streams import is_live
from vidan.pipeline.resume import Resumption
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks.evidence import EvidenceSink
from vidan.pipeline.sinks.files import JsonlSink
from vidan.pipeline.sinks.scene import SceneSink
from vidan.pipeline.sinks.tracks import TrackStore
from vidan.pipeline.sources.main_pictures import MainPictures
from vidan.pipeline.stages import Sink


def open_logs(folder: RunFolder, known: Collection[str] | None = None, *, waits: bool = False) -> list[JsonlSink]:
    """The sinks of what the rules say: they come first, for others read what they write.

    Args:
        folder: Of the run.
        known: Ids of events that stand in logs which go on; None: they begin anew.
        waits: Whether events wait in memory for a disk that is full.
    """
    return [
        JsonlSink(folder.events, known=known, waits=waits),
        JsonlSink(folder.near_misses, attrgetter("near_misses"), known=known, waits=waits),
    ]


def open_sinks(
    config: RunConfig,
    folder: RunFolder,
    class_names: Sequence[str],
    painters: Painters,
    resumption: Resumption | None,
    mains: Mapping[str, MainPictures],
) -> list[Sink]:
    """All sinks of a run, the logs first.

    Raises:
        SinkError: If an output cannot be written.
    """
    output = config.output
    waits = any(is_live(stream.source) for stream in config.streams)
    logs = open_logs(folder, None if resumption is None else resumption.known, waits=waits)
    goes_on = () if resumption is None else resumption.streams.keys()
    sinks: list[Sink] = [*logs, *build_heatmaps(config, class_names, folder, goes_on)]
    if output.tracks is not None:
        partitions = folder.track_partitions if output.tracks.partitioned else None
        tracks = TrackStore(folder.path / "tracks.parquet", class_names, partitions=partitions, keep=goes_on)
        sinks.append(tracks)
        if resumption is not None:
            resumption.reach(tracks.reached)
    if resumption is not None:
        logs[0].append(resumption.begin())
    sinks += build_videos(config, folder, painters, mains)
    if output.report:
        sinks.append(SceneSink(folder.scene))
    if output.evidence is not None:
        evidence = output.evidence
        sinks.append(
            EvidenceSink(
                folder.evidence,
                painters={stream.name: partial(painters.still_painter, stream.name) for stream in config.streams},
                rules=evidence.rules,
                limit=evidence.limit,
                late_seconds=late_seconds(config),
                stills=evidence.stills,
                clip_seconds=evidence.clips and evidence.clips.seconds,
                kept=() if resumption is None else resumption.pictured,
                enlarge={name: pictures.enlarge for name, pictures in mains.items()},
            )
        )
    return sinks


def planned_outputs(config: RunConfig, folder: RunFolder) -> list[str]:
    """Names of the files that a run or a replay will write, the most telling first."""
    output = config.output
    types = {rule.type for rule in config.rules.values()}
    numbers = [folder.heatmap(stream, name) for (stream, _), name in heatmap_names(config).items()]
    heatmaps = [path.with_suffix(suffix) for path in numbers for suffix in (".png", ".npz")]
    planned = {
        **dict.fromkeys(video_outputs(config, folder), True),
        folder.report: output.report,
        folder.counts: True,
        folder.occupancy: "zone" in types,
        folder.flows: "flow" in types,
        folder.queue: "queue" in types,
        **dict.fromkeys(heatmaps, True),
        folder.events: True,
        folder.near_misses: True,
        folder.tracks: output.tracks is not None and not output.tracks.partitioned,
        folder.track_partitions: output.tracks is not None and output.tracks.partitioned,
        folder.database: output.database is not None and output.database.url is None,
        folder.evidence: output.evidence is not None,
        folder.outbox: any((output.mqtt, output.webhooks, output.redis, output.kafka)),
    }
    return [path.name for path, is_wanted in planned.items() if is_wanted]


def scene_names(config: RunConfig, folder: RunFolder) -> list[str]:
    """Names of the pictures over which the report draws."""
    return [folder.scene(stream.name).name for stream in config.streams if config.output.report]
