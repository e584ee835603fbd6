"""Everything at once, for a minute: a run that is killed twenty times, and its brokers in between."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
import redis

COUNT = 6000


@pytest.mark.slow
@pytest.mark.needs_brokers
def test_twenty_kills_lose_nothing_and_change_no_order(
    mosquitto: Any, redis_server: Any, endpoint: Any, writer: Any, listen: Any, wait_until: Any
) -> None:
    broker = mosquitto()
    broker.start()
    redis_server.start()
    endpoint.start()
    subscriber = listen(broker.port)
    output = {
        "mqtt": {"url": f"mqtt://127.0.0.1:{broker.port}", "timeout": 2.0},
        "webhooks": [{"url": endpoint.url, "timeout": 2.0}],
        "redis": {"url": f"redis://127.0.0.1:{redis_server.port}", "timeout": 2.0},
    }
    draw = random.Random(20)
    kills = 0
    for life in range(20):
        process = writer(output, COUNT)
        before = len(endpoint.requests)
        wait_until(lambda p=process, b=before: len(endpoint.requests) > b or p.poll() is not None)
        if life % 4 == 1:
            redis_server.kill()
            broker.stop()
        endpoint.answer = (503, {}) if life % 4 == 2 else (204, {})
        time.sleep(draw.uniform(0.0, 0.5))
        kills += process.poll() is None
        process.kill()
        process.communicate()
        if life % 4 == 1:
            redis_server.start()
            broker.start()
        endpoint.answer = (204, {})
    writer(output, COUNT).communicate(timeout=120)
    wait_until(lambda: subscriber.tracks()[-1] == COUNT)
    with redis.Redis(port=redis_server.port, decode_responses=True) as client:
        found: Any = {source: client.xrange(f"vidan:{source}") for source in "ab"}
    arrived = {
        "mqtt": subscriber.tracks(),
        "webhook": endpoint.tracks(),
        "redis a": [json.loads(fields["event"])["track"] for _, fields in found["a"]],
        "redis b": [json.loads(fields["event"])["track"] for _, fields in found["b"]],
    }
    for name, tracks in arrived.items():
        for rest in {"redis a": (0,), "redis b": (1,)}.get(name, (0, 1)):
            first_times = list(dict.fromkeys(track for track in tracks if track % 2 == rest))
            assert first_times == list(range(2 - rest, COUNT + 1, 2)), name
        print(f"{name}: {len(tracks)} arrived, {len(tracks) - len(set(tracks))} of them once more")
    assert kills >= 15
