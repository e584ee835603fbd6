"""A snapshot of a run as Prometheus metrics; README of what they mean: docs/live.md.

Names follow https://prometheus.io/docs/practices/naming/: base units, ``_total`` for what only grows.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from vidan.detector import gpu_memory
from vidan.pipeline.telemetry import BUCKETS, HistogramSnapshot, Snapshot, StreamSnapshot

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily

STATES = ("connecting", "playing", "waiting", "ended")

_STREAM_COUNTERS: dict[str, tuple[str, Callable[[StreamSnapshot], float]]] = {
    "vidan_frames_decoded": ("Pictures decoded.", lambda stream: stream.decoded),
    "vidan_frames_delivered": ("Pictures handed out by the source.", lambda stream: stream.delivered),
    "vidan_frames_analysed": ("Frames that went through detector, tracker and rules.", lambda stream: stream.analysed),
    "vidan_frames_dropped": ("Frames that came and were not analysed.", lambda stream: stream.dropped),
    "vidan_frames_corrupt": ("Packets or pictures that could not be decoded.", lambda stream: stream.corrupt),
    "vidan_stream_reconnects": ("Connections after the first one.", lambda stream: stream.reconnects),
    "vidan_stream_discontinuities": ("Jumps of the source's clock.", lambda stream: stream.discontinuities),
    "vidan_stream_restarts": (
        "New trackers and rules after a failure of theirs, and new readers after one that hung.",
        lambda stream: stream.restarts,
    ),
}
_STREAM_GAUGES: dict[str, tuple[str, Callable[[StreamSnapshot], float | None]]] = {
    "vidan_stream_up": ("1 while pictures come.", lambda stream: stream.state == "playing"),
    "vidan_stream_queue_length": ("Frames that wait for the detector.", lambda stream: stream.queue_length),
    "vidan_stream_gaps": ("Times without pictures.", lambda stream: stream.gaps),
    "vidan_stream_gap_seconds": ("Seconds without pictures, all together.", lambda stream: stream.gap_seconds),
    "vidan_stream_frame_age_seconds": (
        "Seconds since the newest frame; missing before the first.",
        lambda stream: stream.seconds_since_frame,
    ),
}


class RunCollector(Collector):
    """Asks for a snapshot at each scrape and tells it.

    Args:
        snapshot: Gives the run at this moment.
        version: Of vidan.
        folder: Of the run; the free space of its disk is told.
    """

    def __init__(self, snapshot: Callable[[], Snapshot], *, version: str, folder: Path) -> None:
        self._snapshot = snapshot
        self._version = version
        self._folder = folder

    def collect(self) -> Iterator[Family]:
        run = self._snapshot()
        yield _gauge("vidan_info", "1; the version is a label.", {("version",): {(self._version,): 1}})
        yield from self._run(run)
        yield from _machine(self._folder)
        yield from _streams(run.streams)
        yield _events(run.streams)
        yield _latencies(run.streams)
        yield from _destinations(run)

    def _run(self, run: Snapshot) -> Iterator[Family]:
        yield GaugeMetricFamily("vidan_uptime_seconds", "Seconds since the start of the run.", run.uptime_seconds)
        yield GaugeMetricFamily("vidan_healthy", "1 while nothing hangs.", run.healthy)
        yield GaugeMetricFamily("vidan_ready", "1 once every stream has brought a frame or has ended.", run.ready)
        yield CounterMetricFamily("vidan_batches", "Calls of the detector.", run.batches)
        yield CounterMetricFamily("vidan_batch_frames", "Frames in all calls of the detector.", run.batch_frames)
        yield CounterMetricFamily("vidan_rule_reloads", "How often the rules were read again.", run.reloads)
        failed = run.reload_error is not None
        yield GaugeMetricFamily("vidan_rule_reload_failed", "1 if the newest reload changed nothing.", failed)
        busy = CounterMetricFamily("vidan_stage_busy_seconds", "CPU or device seconds per stage.", labels=["stage"])
        for stage, seconds in run.stage_seconds.items():
            if seconds:  # some are known only when the run has ended
                busy.add_metric([stage], seconds)
        yield busy


def render_metrics(collector: RunCollector) -> Callable[[], bytes]:
    """What writes all metrics of a run and of this process in the text format 0.0.4 of Prometheus."""
    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)
    return lambda: generate_latest(registry)


def _gauge(name: str, text: str, values: dict[tuple[str, ...], dict[tuple[str, ...], float]]) -> GaugeMetricFamily:
    ((labels, samples),) = values.items()
    family = GaugeMetricFamily(name, text, labels=labels)
    for label_values, value in samples.items():
        family.add_metric(label_values, value)
    return family


def _machine(folder: Path) -> Iterator[Family]:
    yield GaugeMetricFamily("vidan_threads", "Threads of this process.", threading.active_count())
    with suppress(OSError):  # the disk is gone
        free = shutil.disk_usage(folder).free
        yield GaugeMetricFamily("vidan_disk_free_bytes", "Free space where the run writes.", free)
    used = GaugeMetricFamily("vidan_gpu_memory_bytes", "GPU memory that this process holds.", labels=["device"])
    for device, size in gpu_memory().items():
        used.add_metric([device], size)
    yield used


def _streams(streams: tuple[StreamSnapshot, ...]) -> Iterator[Family]:
    for name, (text, value) in _STREAM_COUNTERS.items():
        counter = CounterMetricFamily(name, text, labels=["stream"])
        for stream in streams:
            counter.add_metric([stream.name], value(stream))
        yield counter
    for name, (text, measure) in _STREAM_GAUGES.items():
        gauge = GaugeMetricFamily(name, text, labels=["stream"])
        for stream in streams:
            if (measured := measure(stream)) is not None:
                gauge.add_metric([stream.name], measured)
        yield gauge
    state = GaugeMetricFamily("vidan_stream_state", "1 at the state of a stream.", labels=["stream", "state"])
    for stream in streams:
        for each in STATES:
            state.add_metric([stream.name, each], stream.state == each)
    yield state


def _events(streams: tuple[StreamSnapshot, ...]) -> Family:
    events = CounterMetricFamily("vidan_events", "Events in the log.", labels=["stream", "rule", "kind"])
    for stream in streams:
        for (rule, kind), number in stream.events.items():
            events.add_metric([stream.name, rule, kind.value], number)
    return events


def _latencies(streams: tuple[StreamSnapshot, ...]) -> Family:
    latency = HistogramMetricFamily(
        "vidan_latency_seconds", "Seconds that frames spend in a stage; total: from arrival to the last sink.",
        labels=["stream", "stage"],
    )  # fmt: skip
    for stream in streams:
        for stage, histogram in stream.latency.items():
            latency.add_metric([stream.name, stage], _cumulated(histogram), histogram.sum_seconds)
    return latency


def _cumulated(histogram: HistogramSnapshot) -> list[Any]:
    """Pairs of upper bound and number of values up to it, as Prometheus has buckets."""
    total, buckets = 0, []
    for bound, count in zip((*map(str, BUCKETS), "+Inf"), histogram.counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets


def _destinations(run: Snapshot) -> Iterator[Family]:
    told = run.destinations
    up = GaugeMetricFamily("vidan_destination_up", "1 while it takes events.", labels=["destination"])
    pending = GaugeMetricFamily("vidan_destination_pending", "Events that it lacks.", labels=["destination"])
    delivered = CounterMetricFamily("vidan_destination_delivered", "Events it has taken.", labels=["destination"])
    skipped = CounterMetricFamily("vidan_destination_skipped", "Events given up.", labels=["destination"])
    for name, destination in told.items():
        up.add_metric([name], destination.state == "delivering")
        pending.add_metric([name], destination.pending)
        delivered.add_metric([name], destination.delivered)
        skipped.add_metric([name], destination.skipped)
    yield from (up, pending, delivered, skipped)
