"""Metrics as Prometheus reads them: its own parser is the judge."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from vidan.pipeline.monitor.metrics import RunCollector, render_metrics
from vidan.pipeline.telemetry import BUCKETS, Telemetry

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(telemetry: Telemetry, folder: Path) -> Samples:
    text = render_metrics(RunCollector(telemetry.snapshot, version="1.2", folder=folder))().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("vidan_info", {"version": "1.2"}, 1),
        ("vidan_healthy", {}, 1),
        ("vidan_ready", {}, 0),
        ("vidan_batches_total", {}, 60),
        ("vidan_frames_decoded_total", {"stream": "north"}, 110),
        ("vidan_frames_analysed_total", {"stream": "north"}, 100),
        ("vidan_frames_dropped_total", {"stream": "north"}, 5),
        ("vidan_stream_reconnects_total", {"stream": "north"}, 2),
        ("vidan_stream_up", {"stream": "north"}, 1),
        ("vidan_stream_up", {"stream": "south"}, 0),
        ("vidan_stream_state", {"stream": "south", "state": "waiting"}, 1),
        ("vidan_stream_state", {"stream": "south", "state": "playing"}, 0),
        ("vidan_stream_gap_seconds", {"stream": "north"}, 3.5),
        ("vidan_events_total", {"stream": "north", "rule": "gate", "kind": "line_crossed"}, 7),
        ("vidan_destination_up", {"destination": "mqtt"}, 0),
        ("vidan_destination_pending", {"destination": "mqtt"}, 6),
        ("vidan_destination_skipped_total", {"destination": "mqtt"}, 1),
        ("vidan_stage_busy_seconds_total", {"stage": "detect"}, 2.5),
    ],
)
def test_the_numbers_of_a_run_are_told(
    telemetry: Telemetry, tmp_path: Path, name: str, labels: dict[str, str], expected: float
) -> None:
    assert value(scrape(telemetry, tmp_path), name, **labels) == expected


def test_latencies_are_a_cumulated_histogram(telemetry: Telemetry, tmp_path: Path) -> None:
    samples = scrape(telemetry, tmp_path)
    north = {"stream": "north", "stage": "total"}
    buckets = [value(samples, "vidan_latency_seconds_bucket", **north, le=str(bound)) for bound in BUCKETS]
    assert buckets == sorted(buckets)
    assert value(samples, "vidan_latency_seconds_bucket", **north, le="0.005") == 2
    assert value(samples, "vidan_latency_seconds_bucket", **north, le="0.05") == 4
    assert value(samples, "vidan_latency_seconds_bucket", **north, le="30.0") == 4
    assert value(samples, "vidan_latency_seconds_bucket", **north, le="+Inf") == 5
    assert value(samples, "vidan_latency_seconds_count", **north) == 5
    assert value(samples, "vidan_latency_seconds_sum", **north) == pytest.approx(45.0845)


def test_a_stream_without_a_frame_has_no_age(telemetry: Telemetry, tmp_path: Path) -> None:
    samples = scrape(telemetry, tmp_path)
    assert value(samples, "vidan_stream_frame_age_seconds", stream="north") < 60
    assert ("vidan_stream_frame_age_seconds", frozenset({("stream", "south")})) not in samples


def test_the_process_and_its_disk_are_told_also_when_the_folder_is_gone(telemetry: Telemetry, tmp_path: Path) -> None:
    samples = scrape(telemetry, tmp_path)
    assert value(samples, "process_resident_memory_bytes") > 1e6
    assert value(samples, "process_open_fds") > 0
    assert value(samples, "vidan_threads") >= 1
    assert value(samples, "vidan_disk_free_bytes") > 0
    assert ("vidan_disk_free_bytes", frozenset()) not in scrape(telemetry, tmp_path / "gone")


def test_names_of_rules_may_be_any_text(telemetry: Telemetry, tmp_path: Path) -> None:
    kind = next(iter(telemetry.stream("north").events))[1]
    telemetry.stream("north").events[('Tür "A"\\', kind)] = 4
    assert value(scrape(telemetry, tmp_path), "vidan_events_total", stream="north", rule='Tür "A"\\', kind=kind) == 4


def test_gpu_memory_is_told_where_torch_uses_one(
    telemetry: Telemetry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = SimpleNamespace(is_initialized=lambda: True, device_count=lambda: 1, memory_reserved=lambda index: 5 << 20)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert value(scrape(telemetry, tmp_path), "vidan_gpu_memory_bytes", device="cuda:0") == 5 << 20
    monkeypatch.delitem(sys.modules, "torch")
    assert ("vidan_gpu_memory_bytes", frozenset({("device", "cuda:0")})) not in scrape(telemetry, tmp_path)
