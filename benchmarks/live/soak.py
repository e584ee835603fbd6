"""Eight RTSP cameras of different sizes and rates through `vidan run`: is each served, and does anything grow?

    python benchmarks/live/soak.py --minutes 20
    python benchmarks/live/soak.py --minutes 2 --warm-up 30 --cameras 4

Prints a line per window with the median of the cameras' p95 latencies and what the process holds, and at the end the
share of each camera's pictures that was analysed, and a table of the first and the last window. All servers run on this
machine, too, and encode with its cores; together the cameras must not ask for more than is left of it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.request import urlopen

from cameras import KINDS, cameras, config_of
from prometheus_client.parser import text_string_to_metric_families

from vidan.pipeline.telemetry import BUCKETS, HistogramSnapshot


class Scrape(NamedTuple):
    """What the run says of itself and what the system says of it, at one moment."""

    analysed: dict[str, float]
    dropped: dict[str, float]
    latency: dict[str, HistogramSnapshot]
    rss_mb: float
    descriptors: int
    threads: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--image-size", type=int, default=160, help="a light detector: the demo weights at this size")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--warm-up", type=float, default=120.0, help="seconds")
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, cameras(KINDS[: options.cameras]) as servers:
        scrapes = soak([server.url for server in servers], Path(folder), options)
    figures = judge(scrapes)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def soak(urls: list[str], folder: Path, options: argparse.Namespace) -> list[Scrape]:
    """One scrape after the warm-up, and one after each window."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "soak.yaml"
    config.write_text(config_of(urls, folder / "run", image_size=options.image_size, batch=options.batch, port=port))
    run = subprocess.Popen([sys.executable, "-m", "vidan.pipeline.cli.main", "run", str(config), "--quiet"])
    try:
        wait_until_ready(port, run)
        time.sleep(options.warm_up)
        scrapes = [scrape(port, run.pid)]
        for _ in range(options.windows):
            time.sleep(options.minutes * 60 / options.windows)
            scrapes.append(scrape(port, run.pid))
            tell(scrapes[-2], scrapes[-1])
    finally:
        run.send_signal(signal.SIGTERM)
        began = time.monotonic()
        run.wait(60)
        print(f"SIGTERM to the end: {time.monotonic() - began:.1f} s, exit code {run.returncode}")
    return scrapes


def wait_until_ready(port: int, run: subprocess.Popen[bytes]) -> None:
    give_up_at = time.monotonic() + 180
    while time.monotonic() < give_up_at:
        assert run.poll() is None, "the run has ended"
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise SystemExit("not all cameras bring pictures")


def scrape(port: int, pid: int) -> Scrape:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        families = {family.name: family for family in text_string_to_metric_families(answer.read().decode())}

    def by_stream(name: str) -> dict[str, float]:
        return {sample.labels["stream"]: sample.value for sample in families[name].samples if "_total" in sample.name}

    cumulated: defaultdict[str, list[float]] = defaultdict(list)
    sums: dict[str, float] = {}
    for sample in families["vidan_latency_seconds"].samples:
        if sample.labels["stage"] == "total" and sample.name.endswith("_bucket"):
            cumulated[sample.labels["stream"]].append(sample.value)
        elif sample.labels["stage"] == "total" and sample.name.endswith("_sum"):
            sums[sample.labels["stream"]] = sample.value
    latency = {
        stream: HistogramSnapshot(
            tuple(int(n - before) for n, before in zip(counts, [0, *counts], strict=False)), sums[stream]
        )
        for stream, counts in cumulated.items()
    }
    assert all(len(histogram.counts) == len(BUCKETS) + 1 for histogram in latency.values())
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return Scrape(
        by_stream("vidan_frames_analysed"),
        by_stream("vidan_frames_dropped"),
        latency,
        int(status["VmRSS"].split()[0]) / 1024,
        len(os.listdir(f"/proc/{pid}/fd")),
        int(status["Threads"]),
    )


def shares(before: Scrape, after: Scrape) -> dict[str, float]:
    """Which part of the pictures that came was analysed, by camera."""
    analysed = {name: after.analysed[name] - before.analysed[name] for name in after.analysed}
    dropped = {name: after.dropped[name] - before.dropped[name] for name in after.dropped}
    return {name: analysed[name] / max(1.0, analysed[name] + dropped[name]) for name in analysed}


def p95(before: Scrape, after: Scrape) -> float:
    values = [after.latency[name].since(before.latency[name]).quantile(0.95) for name in after.latency]
    return median(value for value in values if value is not None)


def tell(before: Scrape, after: Scrape) -> None:
    share = shares(before, after).values()
    print(
        f"p95 {1000 * p95(before, after):4.0f} ms  analysed {min(share):.2f}..{max(share):.2f}  "
        f"RSS {after.rss_mb:6.1f} MB  descriptors {after.descriptors}  threads {after.threads}",
        flush=True,
    )


def judge(scrapes: list[Scrape]) -> dict[str, object]:
    """Prints what it came to; the same in plain values."""
    first, last = scrapes[0], scrapes[-1]
    share = shares(first, last)
    early, late = p95(scrapes[0], scrapes[1]), p95(scrapes[-2], scrapes[-1])
    print("\n| camera | size | pictures/s | analysed |\n|---|---|---|---|")
    for kind, (name, value) in zip(KINDS, share.items(), strict=False):
        print(f"| {name} | {kind.width}×{kind.height} | {kind.fps} | {100 * value:.1f} % |")
    print("\n| | first window | last window | change |\n|---|---|---|---|")
    print(f"| p95 of the latency | {1000 * early:.0f} ms | {1000 * late:.0f} ms | {100 * (late / early - 1):+.0f} % |")
    growth = 100 * (last.rss_mb / first.rss_mb - 1)
    print(f"| RSS, at its begin and at its end | {first.rss_mb:.1f} MB | {last.rss_mb:.1f} MB | {growth:+.1f} % |")
    print(
        f"| file descriptors | {first.descriptors} | {last.descriptors} | {last.descriptors - first.descriptors:+d} |"
    )
    print(f"| threads | {first.threads} | {last.threads} | {last.threads - first.threads:+d} |")
    spread = max(share.values()) / max(min(share.values()), 1e-9) - 1
    print(f"\nshares differ by {100 * spread:.1f} %")
    return {
        "share": share,
        "p95_seconds": [p95(before, after) for before, after in pairwise(scrapes)],
        "rss_mb": [scrape.rss_mb for scrape in scrapes],
        "descriptors": [scrape.descriptors for scrape in scrapes],
        "threads": [scrape.threads for scrape in scrapes],
    }


if __name__ == "__main__":
    main()
