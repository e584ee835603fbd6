"""Redis streams against a real server that is killed and restarted."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import redis

pytestmark = pytest.mark.needs_brokers


def settings(port: int, **more: Any) -> dict[str, Any]:
    return {"redis": {"url": f"redis://127.0.0.1:{port}/0", "timeout": 1.0, **more}}


def entries(port: int, key: str) -> list[dict[str, Any]]:
    with redis.Redis(port=port, decode_responses=True) as client:
        found: Any = client.xrange(key)
        return [json.loads(fields["event"]) for _, fields in found]


def test_each_source_has_a_stream_with_its_events(redis_server: Any, logging_run: Any, event: Any) -> None:
    redis_server.start()
    run = logging_run(**settings(redis_server.port))
    run.log(*(event(number, stream="ab"[number % 2]) for number in range(100)))
    assert run.end()["delivered"] == 100
    lines = [json.loads(line) for line in run.folder.events.read_text().splitlines()]
    for source in "ab":
        expected = [
            line | {"run": run.manifest.run, "number": number}
            for number, line in enumerate(lines, 1)
            if line["source"] == source
        ]
        assert entries(redis_server.port, f"vidan:{source}") == expected


def test_a_stream_is_trimmed_to_its_length(redis_server: Any, logging_run: Any) -> None:
    redis_server.start()
    run = logging_run(**settings(redis_server.port, key="counts", max_length=100))
    run.write(*range(1000))
    run.end()
    kept = [entry["track"] for entry in entries(redis_server.port, "counts")]
    assert 100 <= len(kept) <= 300
    assert kept[-1] == 999


def test_a_server_killed_and_restarted_has_everything_in_order(
    redis_server: Any, logging_run: Any, wait_until: Any
) -> None:
    run = logging_run(**settings(redis_server.port))
    run.write(0)
    wait_until(lambda: run.health.error)
    assert "refused" in run.health.error
    redis_server.start()
    for number in range(1, 501):
        run.write(number)
        if number == 200:
            redis_server.kill()
        if number == 300:
            wait_until(lambda: run.health.error)
            redis_server.start()
        time.sleep(0.001)
    wait_until(lambda: run.health.delivered == 501)
    assert run.end()["error"] is None
    tracks = [entry["track"] for entry in entries(redis_server.port, "vidan:door")]
    assert list(dict.fromkeys(tracks)) == list(range(501))


def test_a_wrong_password_is_told_and_not_shown(redis_server: Any, logging_run: Any, wait_until: Any) -> None:
    redis_server.start()
    run = logging_run(redis={"url": f"redis://me:s3cret@127.0.0.1:{redis_server.port}", "timeout": 1.0})
    run.write(1)
    wait_until(lambda: run.health.error)
    run.end()
    assert "invalid username-password pair" in run.health.error
    assert "s3cret" not in run.health.error + run.folder.manifest.read_text()


def test_processes_and_servers_killed_in_turn_lose_nothing(redis_server: Any, writer: Any, wait_until: Any) -> None:
    redis_server.start()

    def number() -> int:
        with redis.Redis(port=redis_server.port) as client:
            return client.xlen("vidan:a")

    kills = 0
    for life in range(3):
        process = writer(settings(redis_server.port), 900)
        before = number()
        wait_until(lambda p=process, b=before: number() > b + 20 or p.poll() is not None)
        if life == 1:
            redis_server.kill()
        time.sleep(0.1)
        kills += process.poll() is None
        process.kill()
        process.communicate()
        if life == 1:
            redis_server.start()
    writer(settings(redis_server.port), 900).communicate(timeout=60)
    for source, first in (("a", 2), ("b", 1)):
        tracks = [entry["track"] for entry in entries(redis_server.port, f"vidan:{source}")]
        assert list(dict.fromkeys(tracks)) == list(range(first, 901, 2))
    assert kills >= 2
