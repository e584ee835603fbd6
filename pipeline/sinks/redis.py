"""RedisDestination: events appended to Redis streams (XADD)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from vidan.pipeline.masking import mask_url_password
from vidan.pipeline.sinks.destination import Destination, LoggedEvent, message, to_json


class RedisDestination(Destination):
    """Appends a batch with one round trip; each entry has the fields ``id`` and ``event``, the JSON.

    Args:
        url: ``redis[s]://USER:PASSWORD@HOST:PORT/DB``.
        run: Id of the run.
        key: Of the stream, with ``{source}`` for the name of the camera.
        max_length: Entries that a stream keeps, about; None: all.
        timeout: Seconds to wait for a connection or an answer.
        ca_file: Whom to trust (PEM) with rediss; None: whom the system trusts.
    """

    def __init__(
        self, url: str, *, run: str, key: str, max_length: int | None, timeout: float, ca_file: str | None = None
    ) -> None:
        self.name = "redis"
        self.to = mask_url_password(url)
        self.title = f"the Redis server {self.to}"
        self._run = run
        self._key = key
        self._max_length = max_length
        tls = {"ssl_ca_certs": ca_file, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
        self._client = redis.Redis.from_url(
            url,
            socket_connect_timeout=timeout,
            socket_timeout=timeout,
            retry=Retry(NoBackoff(), 0),  # the outbox tries again
            client_name="vidan",
            **(tls if url.startswith("rediss:") else {}),
        )

    def deliver(self, events: Sequence[LoggedEvent]) -> None:
        try:
            with self._client.pipeline(transaction=False) as pipeline:
                for event in events:
                    fields: dict[Any, Any] = {"id": event.record["id"], "event": to_json(message(event, self._run))}
                    key = self._key.replace("{source}", event.record["source"])
                    pipeline.xadd(key, fields, maxlen=self._max_length, approximate=True)
                pipeline.execute()
        except (RedisError, OSError) as error:
            raise self.cannot_deliver(str(error).removesuffix(".")) from error

    def close(self) -> None:
        self._client.close()
