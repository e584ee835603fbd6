"""A Kafka cluster of one broker: librdkafka's mock, which speaks Kafka's protocol over TCP. Prints its address."""

from __future__ import annotations

import sys

from confluent_kafka import Producer

if __name__ == "__main__":
    producer = Producer({"bootstrap.servers": "its own", "test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = producer.list_topics(timeout=10).brokers.values()
    sys.stdout.write(f"{broker.host}:{broker.port}\n")
    sys.stdout.flush()
    sys.stdin.read()
