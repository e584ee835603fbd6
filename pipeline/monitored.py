"""Who watches over a run: the monitor's server, and systemd where it has started the run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vidan.pipeline.config.service import ServiceConfig
from vidan.pipeline.control import Control
from vidan.pipeline.monitor.metrics import RunCollector, render_metrics
from vidan.pipeline.monitor.pulse import Pulse
from vidan.pipeline.monitor.server import MonitorServer
from vidan.pipeline.monitor.systemd import supervised
from vidan.pipeline.provenance import vidan_version
from vidan.pipeline.telemetry import Telemetry

_logger = logging.getLogger(__name__)


@contextmanager
def monitored(wanted: ServiceConfig | None, telemetry: Telemetry, control: Control, folder: Path) -> Iterator[None]:
    """Within, the run can be watched.

    Args:
        wanted: Where the server should listen; None: there is no server.
        telemetry: What the run is doing.
        control: Is asked to stop or reload.
        folder: Of the run.

    Raises:
        ConfigError: If the address cannot be listened on.
    """
    snapshot = Pulse(telemetry.snapshot)
    if wanted is None:
        with supervised(snapshot):
            yield
        return
    collector = RunCollector(snapshot, version=vidan_version(), folder=folder)
    server = MonitorServer(
        wanted.host,
        wanted.port,
        token=wanted.token,
        snapshot=snapshot,
        metrics=render_metrics(collector),
        control=control,
    )
    _logger.info("the run can be watched at %s/healthz and %s/metrics", server.url, server.url)
    try:
        with supervised(snapshot):
            yield
    finally:
        server.close()
