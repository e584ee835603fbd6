"""What a run left behind that was stopped, or killed, and goes on now in the same folder.

Committed is what stands in the event log: all of it stays, and nothing of it is said again. A camera's stream goes on
where it was broken off; the time between is a gap. Its tracks and the ids of its events are numbered on, and whatever
its events left open is closed, as of the last moment that is known of. A recording is played from its beginning, for
nobody has to be content with half of it: what comes out is the same, and what stands in the log already is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from vidan.pipeline.coverage import GapReason
from vidan.pipeline.engine.stream import Stream
from vidan.pipeline.errors import ConfigError, SourceError
from vidan.pipeline.events import Event
from vidan.pipeline.manifest import Manifest, RunStatus, Session
from vidan.pipeline.past_run import PastRun
from vidan.pipeline.provenance import SEMANTICS_VERSION
from vidan.pipeline.report.recorded import rules_of_record
from vidan.pipeline.report.rule_info import RuleInfo
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks.files import read_events
from vidan.pipeline.sinks.tracks import Reached
from vidan.pipeline.stream_record import StreamRecord


@dataclass(slots=True)
class Resumption:
    """An earlier session, and how the streams of this one follow it.

    Attributes:
        run: As its folder has it.
        streams: Those of this session that go on.
        known: Ids of the events in the logs of all others, which begin anew.
        rules: That were counted by.
        pictured: Events of the streams that go on, of which there is evidence.
    """

    run: PastRun
    streams: dict[str, Stream] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    rules: list[RuleInfo] = field(default_factory=list)
    pictured: list[Event] = field(default_factory=list)

    @classmethod
    def open(cls, folder: RunFolder, streams: Sequence[Stream]) -> Resumption:
        """Reads what is there, and has the streams go on.

        Raises:
            SourceError: If a file of the run cannot be read.
            ConfigError: If the run is complete, or has counted by other rules of counting.
        """
        run = PastRun.open(folder.path)
        if run.record["status"] == RunStatus.COMPLETE:
            raise ConfigError(f"{folder.path} holds a complete run: there is nothing to resume")
        if run.record.get("semantics") != SEMANTICS_VERSION:
            raise ConfigError(
                f"{folder.path} was counted with other rules of counting, which must not be mixed: "
                "choose another output.folder"
            )
        try:
            resumption = cls(run, rules=rules_of_record(run.record))
        except (KeyError, TypeError, ValueError) as error:
            raise SourceError(f"{folder.manifest} is of another vidan, or damaged ({error!r})") from error
        records = {record.name: record for record in run.streams()}
        for stream in streams:
            if stream.live and (record := records.get(stream.name)) is not None:
                resumption._follow(stream, record)
        resumption._read_logs()
        return resumption

    def manifest(self, manifest: Manifest) -> Manifest:
        """The manifest of this session as that of the whole run."""
        record = self.run.record
        sessions = [Session.from_record(session) for session in record["sessions"]]
        if sessions[-1].ended is None:  # it was killed
            sessions[-1].ended = datetime.fromisoformat(record["written"])
            sessions[-1].status = RunStatus.FAILED
        manifest.run = record["run"]
        manifest.started = sessions[0].started
        manifest.sessions = [*sessions, *manifest.sessions]
        manifest.outputs = list(dict.fromkeys((*manifest.outputs, *record["outputs"])))
        manifest.inputs.update(record["inputs"])
        return manifest

    def reach(self, reached: dict[str, Reached]) -> None:
        """The stored tracks of the streams go so far."""
        for name, mark in reached.items():
            stream = self.streams[name]
            stream.numbering.last_track = max(stream.numbering.last_track, mark.track)
            self._advance(stream, mark.frame, mark.seconds)

    def begin(self) -> list[Event]:
        """Sets the streams on their way; what closes all that their events left open."""
        events = []
        for stream in self.streams.values():
            events += stream.open_ends.close(stream.record.seconds, max(0, stream.next_index - 1), stream.numbering)
            stream.follow_on(GapReason.STOPPED)
        return events

    def _follow(self, stream: Stream, record: StreamRecord) -> None:
        record.source = stream.record.source
        stream.next_index = record.health.decoded
        record.health.duration_seconds = None
        record.go_on(stream.source.health)
        stream.record = record
        self.streams[stream.name] = stream

    def _read_logs(self) -> None:
        folder = self.run.folder
        pictured = {path.stem for path in folder.evidence.glob("*") if path.suffix in (".jpg", ".mp4")}
        for path in (folder.events, folder.near_misses):
            for event in read_events(path) if path.exists() else ():
                stream = self.streams.get(event.stream)
                if stream is None:
                    self.known.add(event.id)
                    continue
                stream.numbering.note(event)
                if path == folder.events:
                    stream.open_ends.note(event)
                    if event.id in pictured:
                        self.pictured.append(event)
                if stream.record.start_utc is None and event.utc is not None:  # run.json was not written since then
                    stream.record.start_utc = event.utc - timedelta(seconds=event.pts_seconds)
                self._advance(stream, event.frame, event.pts_seconds)

    def _advance(self, stream: Stream, frame: int, seconds: float) -> None:
        stream.next_index = max(stream.next_index, frame + 1)
        stream.record.seconds = max(stream.record.seconds, seconds)
