"""Brokers in processes of their own, and who listens at them."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A program that listens on a port."""

    def __init__(self, command: Sequence[str], port: int) -> None:
        self._command = command
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, f"{self._command} does not start"
                assert self._process.poll() is None, f"{self._command} has ended"
                time.sleep(0.02)

    def stop(self) -> None:
        """As an administrator does: it may write down what it has."""
        self._end(subprocess.Popen.terminate)

    def kill(self) -> None:
        """As kill -9 does it."""
        self._end(subprocess.Popen.kill)

    def _end(self, how: Callable[[subprocess.Popen[bytes]], None]) -> None:
        if self._process is not None:
            how(self._process)
            self._process.wait(20)
            self._process = None


def mqtt_broker(program: str, folder: Path, *lines: str) -> Server:
    """A broker, not started yet, that keeps on the disk what nobody has fetched; `lines` of its configuration."""
    folder.mkdir()
    port = free_port()
    settings = [
        f"listener {port} 127.0.0.1",
        *(lines or ("allow_anonymous true",)),
        "persistence true",
        f"persistence_location {folder}/",
        "max_queued_messages 0",
        "user root",
    ]
    (folder / "mosquitto.conf").write_text("\n".join(settings) + "\n")
    return Server([program, "-c", str(folder / "mosquitto.conf")], port)


class Subscriber:
    """Whoever listens: a session that the broker keeps, so that nothing is missed while it is away."""

    def __init__(self, port: int, topics: str = "#") -> None:
        self.messages: list[tuple[str, str, bool]] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2, f"listener-{topics}", clean_session=False)
        self.client.on_message = self._note
        self.client.on_connect = self._subscribe
        self._topics = topics
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def _subscribe(self, client: paho.Client, *_: Any) -> None:
        client.subscribe(self._topics, qos=1)

    def _note(self, client: object, userdata: object, message: paho.MQTTMessage) -> None:
        self.messages.append((message.topic, message.payload.decode(), message.retain))

    def on(self, topic: str) -> list[str]:
        return [payload for name, payload, _ in tuple(self.messages) if name == topic]

    def tracks(self) -> list[int]:
        return [json.loads(payload)["track"] for topic, payload, _ in tuple(self.messages) if "/events/" in topic]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
