"""Where events are sent while a run goes on: brokers and HTTP endpoints. docs/outputs.md tells what arrives there."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from vidan.pipeline.config.model import Model, blame, off_or_settings
from vidan.pipeline.config.values import (
    DestinationName,
    FilePath,
    HttpUrl,
    KafkaTopic,
    MqttTopic,
    MqttUrl,
    PositiveSeconds,
    RedisKey,
    RedisUrl,
    Secret,
    UniqueLabels,
    Whole,
)

EventName: TypeAlias = Literal[
    "line_crossed", "zone_entered", "zone_left", "zone_appeared", "zone_vanished", "loitering", "capacity_exceeded",
    "capacity_cleared", "speed_measured", "speeding", "flow_completed", "queue_changed", "queue_served",
    "queue_abandoned",
]  # fmt: skip


class DestinationConfig(Model):
    """What all destinations have in common."""

    events: Annotated[tuple[EventName, ...], Field(min_length=1)] | None = None
    """Kinds of events that are sent; null: all."""

    rules: UniqueLabels | None = None
    """Only events of these rules; null means of all."""

    keep: Annotated[Whole, Field(ge=1)] | None = 100_000
    """Events that may be pending; beyond that the oldest are skipped, counted and told; null: no limit."""

    timeout: Annotated[PositiveSeconds, Field(le=60)] = 10.0
    """Seconds after which a connection or an answer is given up, and tried again."""


class HomeAssistantConfig(Model):
    """Sensors that Home Assistant finds by itself: totals of lines, entries and occupancy of zones."""

    prefix: MqttTopic = "homeassistant"
    """Its discovery prefix."""


class MqttConfig(DestinationConfig):
    """An MQTT 5 broker: each event once or more (QoS 1), running totals and whether vidan is online (both retained)."""

    url: MqttUrl
    """`mqtt://USER:PASSWORD@HOST:1883`, or `mqtts://...` for TLS (port 8883)."""

    topic: MqttTopic = "vidan"
    """What all topics begin with; give each of several vidans at one broker its own."""

    ca_file: FilePath | None = None
    """Certificates (PEM) of whom to trust for TLS; null: whom the system trusts."""

    certificate: FilePath | None = None
    """Client certificate (PEM), where the broker asks for one."""

    key: FilePath | None = None
    """Private key (PEM) of the client certificate, if it is not in the same file."""

    home_assistant: Annotated[
        HomeAssistantConfig | None,
        BeforeValidator(off_or_settings, json_schema_input_type=bool | HomeAssistantConfig | None),
    ] = None
    """True or settings: announces sensors to Home Assistant."""

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if self.url.startswith("mqtt:"):
            for name in ("ca_file", "certificate", "key"):
                if getattr(self, name) is not None:
                    raise blame(name, message="is for TLS: begin the url with mqtts://")
        if self.key is not None and self.certificate is None:
            raise blame("key", message="belongs to a certificate, which is missing")
        return self


class WebhookConfig(DestinationConfig):
    """An HTTP endpoint that is sent events in batches, signed (HMAC-SHA256, the scheme of standardwebhooks.com)."""

    name: DestinationName = "webhook"
    """Tells several webhooks apart, in messages and on the disk."""

    url: HttpUrl
    """`https://HOST/PATH`; it answers 2xx for what it has taken."""

    secret: Secret | None = None
    """What requests are signed with: any text of 16 characters or more, or `whsec_` and base64; null: no signature."""

    headers: Mapping[str, Secret] = Field(default_factory=dict)
    """More headers, such as `Authorization`."""

    ca_file: FilePath | None = None
    """Certificates (PEM) of whom to trust for TLS; null: whom the system trusts."""

    batch: Annotated[Whole, Field(ge=1, le=1000)] = 100
    """Events per request, at most."""

    @property
    def signing_key(self) -> bytes | None:
        """What the secret stands for: the bytes in base64 behind ``whsec_``, else the text itself."""
        if self.secret is None:
            return None
        text = self.secret.get_secret_value()
        return b64decode(text.removeprefix("whsec_"), validate=True) if text.startswith("whsec_") else text.encode()

    @model_validator(mode="after")
    def _check_secret(self) -> Self:
        try:
            key = self.signing_key
        except ValueError as error:
            raise blame("secret", message="should have base64 behind whsec_") from error
        if key is not None and len(key) < 16:
            raise blame("secret", message="is too short to sign with: take 16 characters or more")
        return self

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, headers: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        for name, value in headers.items():
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
                raise blame(name, message="is no name of a header")
            if not re.fullmatch(r"[\t -~]*", value.get_secret_value()):
                raise blame(name, message="should be printable ASCII, in one line")
        return headers


class RedisConfig(DestinationConfig):
    """A Redis server that appends events to streams (XADD). Needs `pip install 'vidan[redis]'`."""

    url: RedisUrl
    """`redis://USER:PASSWORD@HOST:6379/DB`, or `rediss://...` for TLS."""

    key: RedisKey = "vidan:{source}"
    """Name of the Redis stream; `{source}` is the name of the camera or file."""

    max_length: Annotated[Whole, Field(ge=1)] | None = 100_000
    """Entries that a Redis stream keeps, about; older ones are trimmed; null: all, until its memory is full."""

    ca_file: FilePath | None = None
    """Certificates (PEM) of whom to trust for TLS; null: whom the system trusts."""


class KafkaConfig(DestinationConfig):
    """A Kafka cluster; the source is the key of each message. Needs `pip install 'vidan[kafka]'`."""

    brokers: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    """`HOST:PORT` of some of its brokers."""

    topic: KafkaTopic = "vidan.events"
    """Where to."""

    options: Mapping[str, str] = Field(default_factory=dict)
    """More settings of librdkafka, such as `security.protocol`, `sasl.username` and `sasl.password`."""
