"""Where events go besides the log: opened with a run, told with it, and accounted for in its manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from typing import Any

from pydantic import ValidationError

from vidan.pipeline.config.destinations import DestinationConfig, KafkaConfig, MqttConfig, RedisConfig, WebhookConfig
from vidan.pipeline.config.outputs import DatabaseOutputConfig, OutputConfig
from vidan.pipeline.errors import ConfigError, SinkError
from vidan.pipeline.manifest import Manifest
from vidan.pipeline.masking import mask_url_password
from vidan.pipeline.report.rule_info import RuleInfo
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.sinks.delivery import DeliverySink, deliver_log
from vidan.pipeline.sinks.destination import Destination
from vidan.pipeline.sinks.outbox import Outbox
from vidan.pipeline.stages import DeliveryHealth


def require_drivers(output: OutputConfig) -> None:
    """Says before a run what would keep all of its events from a destination.

    Raises:
        ConfigError: If a package is not installed.
    """
    needed = {
        "database.url: PostgreSQL": (_is_postgresql(output.database), "psycopg", "postgres"),
        "redis: Redis": (output.redis is not None, "redis", "redis"),
        "kafka: Kafka": (output.kafka is not None, "confluent_kafka", "kafka"),
    }
    for what, (is_wanted, package, extra) in needed.items():
        if is_wanted and find_spec(package) is None:
            raise ConfigError(f"output.{what} needs a driver that is not installed: pip install 'vidan[{extra}]'")


def check_database_url(url: str) -> str:
    """The URL of a database as configs may have it, relative to where the user is.

    Raises:
        ConfigError: If it is none, or the driver is not installed.
    """
    try:
        wanted = DatabaseOutputConfig.model_validate({"url": url})
    except ValidationError as error:
        raise ConfigError(
            f"{mask_url_password(url)}: {error.errors()[0]['msg'].removeprefix('Value error, ')}"
        ) from error
    require_drivers(OutputConfig(database=wanted))
    return url


@contextmanager
def delivering(
    output: OutputConfig, manifest: Manifest, folder: RunFolder, rules: Sequence[RuleInfo]
) -> Iterator[list[DeliverySink]]:
    """Within, a sink for each destination of the events; they stand behind that of the event log.

    At the end, whatever happened, the destinations learn how the run ended, and run.json how they did.

    Raises:
        ConfigError: If a destination cannot be used as configured.
        SinkError: If run.json cannot be written. What is wrong with a destination stands in it, and stops nothing.
    """
    sinks: list[DeliverySink] = []
    for destination, wanted in [*_database(output, manifest.run, folder), *_brokers(output, manifest.run, rules)]:
        outbox = _outbox(destination, wanted, manifest.run, folder)
        sinks.append(DeliverySink(destination, outbox, manifest.to_record()))
        manifest.destinations.append(outbox.health)

    def conclude() -> None:
        for sink in sinks:  # all at once, so that the one that takes longest says how long it takes
            sink.close()
        with ExitStack() as closing:  # a bug in one of them keeps no other from its end
            closing.callback(manifest.write, folder.manifest)
            for sink in sinks:
                closing.callback(sink.conclude, manifest.to_record())

    try:
        yield sinks
    except BaseException:
        with suppress(SinkError):  # the first error is the one to tell
            conclude()
        raise
    conclude()


def deliver_pending(output: OutputConfig, record: Mapping[str, Any], folder: RunFolder) -> list[DeliveryHealth]:
    """Sends what is pending of a run that is over to the brokers and webhooks of a config; how that went.

    Raises:
        ConfigError: If a destination cannot be used as configured.
        SinkError: If another process delivers from the same log.
        SourceError: If the log cannot be read.
    """
    told: list[DeliveryHealth] = []
    run = record["run"]
    for destination, wanted in _brokers(output, run, rules=None):
        outbox = _outbox(destination, wanted, run, folder)
        told.append(outbox.health)
        try:
            deliver_log(destination, outbox, record, folder.events)
        except SinkError as error:
            outbox.health.error = str(error)
        finally:
            destination.close()
            outbox.close()
    return told


def _is_postgresql(wanted: DatabaseOutputConfig | None) -> bool:
    return wanted is not None and wanted.url is not None and wanted.url.startswith("postgresql")


def _outbox(destination: Destination, wanted: DestinationConfig | None, run: str, folder: RunFolder) -> Outbox:
    """The outbox of a destination; without settings it is a database, which keeps its own account."""
    health = DeliveryHealth(destination.name, destination.to)
    if wanted is None:
        return Outbox(folder.events, run, health)
    cursor = folder.cursor(destination.name)
    return Outbox(folder.events, run, health, cursor=cursor, keep=wanted.keep, is_wanted=_filter(wanted))


def _filter(wanted: DestinationConfig) -> Callable[[Mapping[str, Any]], bool]:
    def is_wanted(record: Mapping[str, Any]) -> bool:
        return (wanted.events is None or record["event"] in wanted.events) and (
            wanted.rules is None or record["rule"] in wanted.rules
        )

    return is_wanted


def _database(output: OutputConfig, run: str, folder: RunFolder) -> Iterator[tuple[Destination, None]]:
    if output.database is not None:
        from vidan.pipeline.sinks.database import Database, DatabaseDestination, sqlite_url

        database = Database(output.database.url or sqlite_url(folder.database))
        yield DatabaseDestination(database, run, folder.path), None


def _brokers(
    output: OutputConfig, run: str, rules: Sequence[RuleInfo] | None
) -> Iterator[tuple[Destination, DestinationConfig]]:
    """The brokers and webhooks of a config, each with its settings; without rules for a run that is over."""
    if output.mqtt is not None:
        yield _mqtt(output.mqtt, run, rules), output.mqtt
    for webhook in output.webhooks:
        yield _webhook(webhook, run), webhook
    if output.redis is not None:
        yield _redis(output.redis, run), output.redis
    if output.kafka is not None:
        yield _kafka(output.kafka, run), output.kafka


def _mqtt(wanted: MqttConfig, run: str, rules: Sequence[RuleInfo] | None) -> Destination:
    from vidan.pipeline.sinks.mqtt import MqttDestination
    from vidan.pipeline.sinks.tls import tls_context
    from vidan.pipeline.sinks.totals import CountedRule, Totals

    is_secure = wanted.url.startswith("mqtts:")
    counted = [
        CountedRule(rule.stream, rule.name, rule.type, rule.directions)
        for rule in rules or ()
        if wanted.rules is None or rule.name in wanted.rules
    ]
    return MqttDestination(
        wanted.url,
        run=run,
        topic=wanted.topic,
        timeout=wanted.timeout,
        tls=tls_context(wanted.ca_file, wanted.certificate, wanted.key) if is_secure else None,
        totals=None if rules is None else Totals(counted),
        discovery_prefix=wanted.home_assistant and wanted.home_assistant.prefix,
    )


def _webhook(wanted: WebhookConfig, run: str) -> Destination:
    from vidan.pipeline.sinks.tls import tls_context
    from vidan.pipeline.sinks.webhook import WebhookDestination

    return WebhookDestination(
        wanted.url,
        name=wanted.name,
        run=run,
        key=wanted.signing_key,
        headers={name: value.get_secret_value() for name, value in wanted.headers.items()},
        timeout=wanted.timeout,
        batch_events=wanted.batch,
        tls=tls_context(wanted.ca_file),
    )


def _redis(wanted: RedisConfig, run: str) -> Destination:
    from vidan.pipeline.sinks.redis import RedisDestination

    return RedisDestination(
        wanted.url,
        run=run,
        key=wanted.key,
        max_length=wanted.max_length,
        timeout=wanted.timeout,
        ca_file=wanted.ca_file,
    )


def _kafka(wanted: KafkaConfig, run: str) -> Destination:
    from vidan.pipeline.sinks.kafka import KafkaDestination

    return KafkaDestination(wanted.brokers, run=run, topic=wanted.topic, timeout=wanted.timeout, options=wanted.options)
