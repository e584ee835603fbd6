"""What a run is doing at this moment, in plain numbers by stream and stage; and how long each stage was busy in all.

The threads of a run write here, each number by one thread. Whoever wants to know, on any thread and at any time, takes
a `Telemetry.snapshot`, which holds nothing but plain values.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.stages import SourceHealth

STAGES = ("decode", "detect", "watch", "track", "rules", "draw", "encode", "evidence")
"""Stages whose busy seconds are added up over a run."""

LATENCIES = ("queue", "detect", "track", "rules", "sinks", "total")
"""What a frame spends its time with: it waits from its arrival until its batch is complete, it is detected (with its
batch, the wait for the batch before included), tracked, seen by the rules, told to the sinks; and all that together,
from its arrival to the end of the sinks' write."""

BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""Upper bounds of a histogram's buckets, in seconds; the last bucket, for what is longer, has none."""


class StageTimes:
    """Adds up how long each stage was busy. Threads may share it as long as each stage is measured by one of them."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)

    @property
    def seconds(self) -> Mapping[str, float]:
        """Busy seconds so far, in the order of `STAGES`."""
        return dict(self._seconds)

    def add(self, stage: str, seconds: float) -> None:
        self._seconds[stage] += seconds

    @contextmanager
    def busy(self, stage: str, clock: Callable[[], float] = time.thread_time) -> Iterator[None]:
        """Adds the time in the block; by default only what the calling thread computes itself."""
        began = clock()
        try:
            yield
        finally:
            self.add(stage, clock() - began)


@dataclass(frozen=True, slots=True)
class HistogramSnapshot:
    """How often something took how long.

    Attributes:
        counts: Per bucket of `BUCKETS`, and one more for what took longer; not cumulated.
        sum_seconds: Of all values.
    """

    counts: tuple[int, ...] = (0,) * (len(BUCKETS) + 1)
    sum_seconds: float = 0.0

    @property
    def count(self) -> int:
        return sum(self.counts)

    def since(self, earlier: HistogramSnapshot) -> HistogramSnapshot:
        """What came after an earlier snapshot of the same histogram."""
        counts = tuple(now - before for now, before in zip(self.counts, earlier.counts, strict=True))
        return HistogramSnapshot(counts, self.sum_seconds - earlier.sum_seconds)

    def quantile(self, share: float) -> float | None:
        """The seconds below which this share (0..1) of the values lies, straight within a bucket; None without values.

        What lies above the last bound is told as that bound.
        """
        rank, below, lower = share * self.count, 0, 0.0
        if not self.count:
            return None
        for count, upper in zip(self.counts, BUCKETS, strict=False):
            if count and below + count >= rank:
                return lower + (upper - lower) * max(0.0, rank - below) / count
            below, lower = below + count, upper
        return BUCKETS[-1]


class Histogram:
    """Counts durations by bucket; written by one thread."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self._sum_seconds = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self._sum_seconds += seconds

    def snapshot(self) -> HistogramSnapshot:
        return HistogramSnapshot(tuple(self._counts), self._sum_seconds)


@dataclass(frozen=True, slots=True)
class StreamSnapshot:
    """One stream at one moment; numbers are since the start of the run unless they are about this moment.

    Attributes:
        name: Of the stream.
        live: True for cameras.
        state: Of the source: connecting, playing, waiting (for the next attempt), ended.
        decoded: Pictures decoded.
        delivered: Pictures handed out by the source.
        corrupt: Packets or pictures that could not be decoded.
        analysed: Frames that went through detector, tracker and rules.
        dropped: Frames that came and were not analysed.
        reconnects: Connections after the first one.
        discontinuities: Jumps of the source's clock.
        gaps: Times without pictures.
        gap_seconds: Their sum.
        queue_length: Frames that wait at this moment.
        restarts: New lanes after a failure of the stream's tracker or rules, and new readers after a stuck one.
        last_error: The newest thing that went wrong, without passwords; it may be over.
        seconds_since_frame: Since the last frame came; None before the first.
        events: How many, by rule and kind.
        latency: By the names in `LATENCIES`.
    """

    name: str
    live: bool
    state: str
    decoded: int
    delivered: int
    corrupt: int
    analysed: int
    dropped: int
    reconnects: int
    discontinuities: int
    gaps: int
    gap_seconds: float
    queue_length: int
    restarts: int
    last_error: str | None
    seconds_since_frame: float | None
    events: Mapping[tuple[str, EventKind], int]
    latency: Mapping[str, HistogramSnapshot]


@dataclass(frozen=True, slots=True)
class DestinationSnapshot:
    """Where events go besides the log (a database, a broker), at one moment.

    Attributes:
        state: connecting, delivering, retrying, closed.
        delivered: Events that it has taken.
        pending: Events in the log that it has not taken yet.
        skipped: Events that were given up, as its policy says.
        last_error: The newest thing that went wrong, without passwords; it may be over.
    """

    state: str
    delivered: int = 0
    pending: int = 0
    skipped: int = 0
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment.

    Attributes:
        uptime_seconds: Since the start of the run (of its newest session, where it was resumed).
        batches: Calls of the detector.
        batch_frames: Frames in all of them.
        stage_seconds: CPU or device seconds per stage so far, by the names in `STAGES`.
        reloads: How often the rules were read again.
        reload_error: Why the newest attempt to do so changed nothing; None when it worked.
        stalled: What hangs at this moment, a sentence each; empty while all is well.
        streams: In the order of the config.
        destinations: By name.
    """

    uptime_seconds: float
    batches: int
    batch_frames: int
    stage_seconds: Mapping[str, float]
    reloads: int
    reload_error: str | None
    stalled: tuple[str, ...]
    streams: tuple[StreamSnapshot, ...]
    destinations: Mapping[str, DestinationSnapshot]

    @property
    def healthy(self) -> bool:
        """True while nothing hangs; a camera that is away does not make a run ill."""
        return not self.stalled

    @property
    def ready(self) -> bool:
        """True once every stream has brought a frame or has ended."""
        return all(stream.seconds_since_frame is not None or stream.state == "ended" for stream in self.streams)


@dataclass(slots=True)
class StreamTelemetry:
    """One stream's numbers, as the engine writes them; see `StreamSnapshot` for what they mean."""

    name: str
    live: bool = False
    health: SourceHealth = field(default_factory=SourceHealth)
    times: StageTimes = field(default_factory=StageTimes)
    analysed: int = 0
    dropped: int = 0
    queue_length: int = 0
    restarts: int = 0
    last_error: str | None = None
    last_frame_at: float | None = None  # monotonic
    events: dict[tuple[str, EventKind], int] = field(default_factory=dict)
    latency: dict[str, Histogram] = field(default_factory=lambda: {name: Histogram() for name in LATENCIES})

    @contextmanager
    def busy(self, stage: str) -> Iterator[None]:
        """Adds the CPU time in the block to the run's stage, and its duration to the stream's histogram."""
        began = time.monotonic()
        try:
            with self.times.busy(stage):
                yield
        finally:
            self.latency[stage].observe(time.monotonic() - began)

    def count(self, events: Iterable[Event]) -> None:
        for event in events:
            key = (event.rule, event.kind)
            self.events[key] = self.events.get(key, 0) + 1

    def snapshot(self) -> StreamSnapshot:
        health = self.health
        gaps = tuple(health.gaps)
        return StreamSnapshot(
            name=self.name,
            live=self.live,
            state=health.state,
            decoded=health.decoded,
            delivered=health.delivered,
            corrupt=health.corrupt,
            analysed=self.analysed,
            dropped=self.dropped,
            reconnects=health.reconnects,
            discontinuities=health.discontinuities,
            gaps=len(gaps),
            gap_seconds=sum(end - start for start, end in gaps),
            queue_length=self.queue_length,
            restarts=self.restarts,
            last_error=self.last_error or health.last_error,
            seconds_since_frame=None if self.last_frame_at is None else time.monotonic() - self.last_frame_at,
            events=dict(self.events),
            latency={name: histogram.snapshot() for name, histogram in self.latency.items()},
        )


class Telemetry:
    """One run's numbers.

    Args:
        times: Where busy seconds are added up; None: anew.

    Attributes:
        times: Busy seconds per stage.
        batches, batch_frames, reloads, reload_error, stalled: See `Snapshot`; written by the engine.
        destinations: By name, what tells how it is doing; filled before the run starts, by those who deliver.
    """

    def __init__(self, times: StageTimes | None = None) -> None:
        self.times = times or StageTimes()
        self.batches = 0
        self.batch_frames = 0
        self.reloads = 0
        self.reload_error: str | None = None
        self.stalled: tuple[str, ...] = ()
        self.destinations: dict[str, Callable[[], DestinationSnapshot]] = {}
        self._streams: dict[str, StreamTelemetry] = {}
        self._began = time.monotonic()

    def stream(self, name: str) -> StreamTelemetry:
        """The numbers of a stream; asked for the first time, all of them are zero."""
        if name not in self._streams:
            self._streams[name] = StreamTelemetry(name, times=self.times)
        return self._streams[name]

    def snapshot(self) -> Snapshot:
        return Snapshot(
            uptime_seconds=time.monotonic() - self._began,
            batches=self.batches,
            batch_frames=self.batch_frames,
            stage_seconds=self.times.seconds,
            reloads=self.reloads,
            reload_error=self.reload_error,
            stalled=self.stalled,
            streams=tuple(stream.snapshot() for stream in tuple(self._streams.values())),
            destinations={name: tell() for name, tell in tuple(self.destinations.items())},
        )
