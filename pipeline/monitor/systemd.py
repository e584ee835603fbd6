"""Words to systemd: that the service is up, how it is doing, that it is alive (sd_notify(3), its watchdog).

Datagrams to the socket that ``NOTIFY_SOCKET`` names; without it, as in a terminal, nothing is sent.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from vidan.pipeline.masking import mask_secrets
from vidan.pipeline.monitor.health import in_a_line
from vidan.pipeline.telemetry import Snapshot

STATUS_SECONDS = 10.0  # between two lines of status, where no watchdog wants to hear more often


def notify(**values: str | int) -> None:
    """Sends such as ``READY=1`` to systemd, if it listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # in the abstract namespace
        address = "\0" + address[1:]
    message = "\n".join(f"{name}={value}" for name, value in values.items())
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(message.encode(), address)


@contextmanager
def supervised(snapshot: Callable[[], Snapshot]) -> Iterator[None]:
    """Within, the service is up. As long as the run is healthy its watchdog hears of it twice in the time it allows;
    when something hangs it hears nothing more, and systemd starts the service anew.
    """
    if not os.environ.get("NOTIFY_SOCKET"):
        yield
        return
    closing = threading.Event()
    thread = threading.Thread(target=_report, args=(snapshot, closing), name="systemd", daemon=True)
    notify(READY=1)
    thread.start()
    try:
        yield
    finally:
        closing.set()
        thread.join()
        notify(STOPPING=1)


def _report(snapshot: Callable[[], Snapshot], closing: threading.Event) -> None:
    allowed = int(os.environ.get("WATCHDOG_USEC") or 0) / 1e6
    pause = min(allowed / 2, STATUS_SECONDS) if allowed else STATUS_SECONDS
    while True:
        run = snapshot()
        alive = {"WATCHDOG": 1} if run.healthy else {}
        notify(STATUS=mask_secrets(in_a_line(run)), **alive)
        if closing.wait(pause):
            return
