"""KafkaDestination: events to a Kafka topic, keyed by source, so that each source stays in order in one partition."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException, Producer

from vidan.pipeline.errors import ConfigError
from vidan.pipeline.sinks.destination import Destination, LoggedEvent, message, to_json


class KafkaDestination(Destination):
    """Produces idempotently, and waits until all replicas in sync have a batch (``acks=all``).

    After an error the producer is thrown away with all that is on its way: within one producer librdkafka lets no later
    message overtake one that failed, and the next one begins again with the whole batch.

    Args:
        brokers: HOST:PORT of some brokers.
        run: Id of the run.
        topic: Where to.
        timeout: Seconds to wait for a batch to be acknowledged.
        options: More settings of librdkafka.

    Raises:
        ConfigError: If librdkafka does not know or like one of the options.
    """

    def __init__(
        self, brokers: Sequence[str], *, run: str, topic: str, timeout: float, options: Mapping[str, str]
    ) -> None:
        self.name = "kafka"
        self.to = ",".join(brokers)
        self.title = f"the Kafka cluster {self.to}"
        self._run = run
        self._topic = topic
        self._timeout = timeout
        self._options = {
            "bootstrap.servers": self.to,
            "client.id": "vidan",
            "log_level": 0,  # what matters comes as an error
            "compression.type": "lz4",
            "linger.ms": 5,
            **options,
            "acks": "all",
            "enable.idempotence": True,
            "enable.gapless.guarantee": True,
            "delivery.timeout.ms": int(timeout * 1000),
        }
        self._newest_error = ""
        self._producer: Producer | None = self._make_producer()

    def deliver(self, events: Sequence[LoggedEvent]) -> None:
        if self._producer is None:
            self._producer = self._make_producer()
        failures: list[KafkaError] = []

        def note(error: KafkaError | None, _: object) -> None:
            if error is not None:
                failures.append(error)

        self._newest_error = ""
        try:
            for event in events:
                payload = to_json(message(event, self._run))
                self._producer.produce(self._topic, payload, key=event.record["source"], on_delivery=note)
            remaining = self._producer.flush(self._timeout + 1)
        except (KafkaException, BufferError) as error:
            self._drop()
            raise self.cannot_deliver(error) from error
        if failures or remaining:
            self._drop()
            told = _in_words(failures[0]) if failures else f"no acknowledgement within {self._timeout:g} s"
            raise self.cannot_deliver(f"{told}{self._newest_error and f' ({self._newest_error})'}")

    def close(self) -> None:
        self._drop()

    def _make_producer(self) -> Producer:
        try:
            return Producer(self._options | {"error_cb": self._note_error})
        except KafkaException as error:
            raise ConfigError(f"output.kafka.options: {_in_words(error.args[0])}") from error

    def _note_error(self, error: KafkaError) -> None:
        self._newest_error = _in_words(error)

    def _drop(self) -> None:
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(0)
            self._producer = None


def _in_words(error: KafkaError) -> str:
    """Without the names of threads and the times that librdkafka puts around it."""
    text = re.sub(r"^(\S*/bootstrap|\S+:\d+/\d+): ", "", error.str())
    return re.sub(r" \(after \d+ms in state .*\)$", "", text)
