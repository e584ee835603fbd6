"""A run that only logs events, one every two milliseconds, and delivers them. Killed and started again, it goes on."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from vidan.pipeline.config.outputs import OutputConfig
from vidan.pipeline.delivered import delivering
from vidan.pipeline.events import EventKind, event_id
from vidan.pipeline.manifest import Manifest
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks import delivery


def go_on(folder: RunFolder, count: int, output: OutputConfig) -> None:
    whole = folder.events.read_bytes().rpartition(b"\n")[0] if folder.events.exists() else b""
    done = whole.count(b"\n") + bool(whole)
    with (
        folder.events.open("ab") as log,
        delivering(output, Manifest(config={}, run="0123456789abcdef"), folder, ()) as sinks,
    ):
        log.truncate(len(whole) + bool(whole))  # a line that was torn
        for number in range(done + 1, count + 1):
            source = "ab"[number % 2]
            record = {
                "id": event_id(source, "gate", EventKind.LINE_CROSSED, number, 1),
                "event": "line_crossed", "source": source, "rule": "gate", "track": number, "direction": "in",
            }  # fmt: skip
            log.write(json.dumps(record).encode() + b"\n")
            log.flush()
            for sink in sinks:
                sink._outbox.note_growth()
                sink._news.set()
            time.sleep(0.002)
        delivery.PATIENCE_SECONDS = 20.0


if __name__ == "__main__":
    delivery.LINGER_SECONDS, delivery.FIRST_DELAY_SECONDS, delivery.LAST_DELAY_SECONDS = 0.01, 0.05, 0.2
    path = Path(sys.argv[1])
    path.mkdir(exist_ok=True)
    settings = OutputConfig.model_validate({"folder": str(path), "database": False, **json.loads(sys.argv[3])})
    go_on(RunFolder(path), int(sys.argv[2]), settings)
