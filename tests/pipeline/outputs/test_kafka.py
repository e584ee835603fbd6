"""Kafka's protocol over TCP, against the mock cluster of librdkafka: no Apache Kafka can be installed by apt or pip."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vidan.pipeline.errors import ConfigError

confluent_kafka = pytest.importorskip("confluent_kafka", reason="needs pip install 'vidan[kafka]'")


class Cluster:
    """The cluster, in a process of its own."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("kafka_cluster.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()

    def read(self, count: int, topic: str = "vidan.events") -> list[tuple[str, dict[str, Any]]]:
        """Key and value of the messages of a topic: until so many different events are there."""
        consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": self.address, "group.id": "judge", "auto.offset.reset": "earliest", "log_level": 0}
        )
        consumer.subscribe([topic])
        found: list[tuple[str, dict[str, Any]]] = []
        deadline = time.monotonic() + 20
        while len({record["id"] for _, record in found}) < count:
            assert time.monotonic() < deadline, f"only {len(found)} came"
            message = consumer.poll(0.5)
            if message is not None and message.error() is None:
                found.append((message.key().decode(), json.loads(message.value())))
        consumer.close()
        return found


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    yield made
    made.process.kill()
    made.process.communicate()


def test_each_source_arrives_in_order(cluster: Cluster, logging_run: Any, event: Any) -> None:
    run = logging_run(kafka={"brokers": [cluster.address], "timeout": 5.0})
    run.log(*(event(number, stream="ab"[number % 2]) for number in range(250)))
    told = run.end()
    assert (told["delivered"], told["error"]) == (250, None)
    lines = [json.loads(line) for line in run.folder.events.read_text().splitlines()]
    found = cluster.read(250)
    for source in "ab":
        assert [record for key, record in found if key == source] == [
            line | {"run": run.manifest.run, "number": number}
            for number, line in enumerate(lines, 1)
            if line["source"] == source
        ]


def test_a_broker_that_hangs_in_the_middle_gets_everything_in_order(
    cluster: Cluster, logging_run: Any, wait_until: Any
) -> None:
    run = logging_run(kafka={"brokers": [cluster.address], "timeout": 2.0})
    for number in range(300):
        run.write(number)
        if number == 100:
            wait_until(lambda: run.health.delivered > 0)
            cluster.process.send_signal(signal.SIGSTOP)
        if number == 200:
            wait_until(lambda: run.health.error)
            assert run.health.error.startswith(f"cannot deliver to the Kafka cluster {cluster.address}: ")
            cluster.process.send_signal(signal.SIGCONT)
        time.sleep(0.001)
    wait_until(lambda: run.health.delivered == 300)
    assert run.end()["error"] is None
    tracks = [record["track"] for _, record in cluster.read(300)]
    assert list(dict.fromkeys(tracks)) == list(range(300))


def test_a_cluster_that_is_not_there_is_told_and_can_be_served_later(
    logging_run: Any, endpoint: Any, cluster: Cluster
) -> None:
    run = logging_run(kafka={"brokers": [f"127.0.0.1:{endpoint.port}"], "timeout": 0.5})
    run.write(1, 2, 3)
    told = run.end()
    assert (told["delivered"], told["pending"]) == (0, 3)
    assert "Connection refused" in told["error"]
    again = logging_run(kafka={"brokers": [cluster.address], "timeout": 5.0})
    assert again.end()["delivered"] == 3
    assert [record["track"] for _, record in cluster.read(3)] == [1, 2, 3]


def test_a_process_killed_at_random_moments_sends_everything_in_order(
    cluster: Cluster, writer: Any, tmp_path: Path, wait_until: Any
) -> None:
    settings = {"kafka": {"brokers": [cluster.address], "timeout": 5.0}}
    cursor = tmp_path / "run" / "outbox" / "kafka.json"
    kills = 0
    for _ in range(2):
        process = writer(settings, 900)
        before = cursor.read_bytes() if cursor.exists() else b""
        wait_until(lambda b=before, p=process: (cursor.exists() and cursor.read_bytes() != b) or p.poll() is not None)
        time.sleep(0.1)
        kills += process.poll() is None
        process.kill()
        process.communicate()
    writer(settings, 900).communicate(timeout=60)
    found = cluster.read(900)
    for source, first in (("a", 2), ("b", 1)):
        tracks = [record["track"] for key, record in found if key == source]
        assert list(dict.fromkeys(tracks)) == list(range(first, 901, 2))
    assert kills == 2


@pytest.mark.parametrize("options", [{"no.such.option": "1"}, {"security.protocol": "none of these"}])
def test_options_that_librdkafka_does_not_know_are_told_before_the_run(
    logging_run: Any, options: dict[str, str]
) -> None:
    with pytest.raises(ConfigError, match=r"output\.kafka\.options: .*" + next(iter(options))):
        logging_run(kafka={"brokers": ["127.0.0.1:1"], "options": options})
