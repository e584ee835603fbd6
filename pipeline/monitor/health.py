"""How a run is doing, for probes and for people with `curl`."""

from __future__ import annotations

from typing import Any

from vidan.pipeline.telemetry import Snapshot


def describe(run: Snapshot) -> dict[str, Any]:
    """Plain JSON values: whether it is healthy and ready, what hangs, and the state of each stream and destination."""
    return {
        "healthy": run.healthy,
        "ready": run.ready,
        "stalled": list(run.stalled),
        "uptime_seconds": round(run.uptime_seconds, 1),
        "reload_error": run.reload_error,
        "streams": {
            stream.name: {
                "state": stream.state,
                "seconds_since_frame": stream.seconds_since_frame and round(stream.seconds_since_frame, 3),
                "analysed": stream.analysed,
                "dropped": stream.dropped,
                "events": sum(stream.events.values()),
                "last_error": stream.last_error,
            }
            for stream in run.streams
        },
        "destinations": {
            name: {"state": each.state, "pending": each.pending, "last_error": each.last_error}
            for name, each in run.destinations.items()
        },
    }


def in_a_line(run: Snapshot) -> str:
    """Such as ``7 of 8 streams playing, 1203 events; stalled: the reader of north``."""
    playing = sum(stream.state == "playing" for stream in run.streams)
    events = sum(number for stream in run.streams for number in stream.events.values())
    stalled = f"; stalled: {'; '.join(run.stalled)}" if run.stalled else ""
    return f"{playing} of {len(run.streams)} streams playing, {events} events{stalled}"
