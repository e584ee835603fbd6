"""What a run writes, and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, field_validator

from vidan.pipeline.config.destinations import KafkaConfig, MqttConfig, RedisConfig, WebhookConfig
from vidan.pipeline.config.model import Model, blame, off_or_settings
from vidan.pipeline.config.values import (
    DatabaseUrl,
    Number,
    PositiveSeconds,
    RunFolder,
    Seconds,
    Switch,
    UniqueLabels,
    Whole,
)


class VideoOutputConfig(Model):
    """The annotated video of each stream."""

    codec: Literal["h264"] = "h264"
    """Video codec; every browser plays h264."""

    crf: Annotated[Whole, Field(ge=0, le=51)] = 26
    """Constant rate factor, 0 (lossless) to 51; six more halve the file, about."""

    trail_seconds: Seconds = 2.0
    """Seconds of its past that are drawn behind an object."""

    segment_seconds: Annotated[Number, Field(ge=2)] | None = None
    """Length of the files of a row, video/NAME/START.mp4; null: 600 for cameras, and one file for recorded footage."""

    keep_hours: Annotated[Number, Field(gt=0)] | None = None
    """Hours after which a segment is removed; null: it may grow as old as it likes."""

    keep_gigabytes: Annotated[Number, Field(gt=0)] | None = None
    """Size of all segments of the run together, 10^9 bytes; the oldest are removed beyond it; null: no limit."""

    reserve_gigabytes: Annotated[Number, Field(ge=0)] = 1.0
    """Free space, 10^9 bytes, that segments leave to the event log: beneath it the oldest go, then video pauses."""


class TracksOutputConfig(Model):
    """Every track in every frame, from which changed rules can be counted again."""

    partitioned: Switch = False
    """A folder of files by stream and day (UTC), tracks/source=NAME/day=DATE/, instead of the one tracks.parquet."""


class DatabaseOutputConfig(Model):
    """Where events go besides the log; docs/database.md describes the tables."""

    url: DatabaseUrl | None = None
    """`postgresql://USER:PASSWORD@HOST/NAME`, or `sqlite:///FILE` for several runs in one file; null: events.sqlite."""


class ClipsConfig(Model):
    """A short video of each event."""

    seconds: PositiveSeconds = 3.0
    """Seconds before and after the event."""


class EvidenceConfig(Model):
    """What shows that an event happened: `evidence/EVENT.jpg`, and `evidence/EVENT.mp4` if asked."""

    stills: Switch = True
    """Whether a picture of each event is written, of those that become known while the last seconds are remembered."""

    clips: Annotated[
        ClipsConfig | None,
        BeforeValidator(off_or_settings, json_schema_input_type=bool | ClipsConfig | None),
    ] = None
    """Settings of a short video of each event, or false for none."""

    limit: Annotated[Whole, Field(ge=1)] = 1000
    """Events with evidence, at most: first those not plainly `seen`, then a sample of the others drawn by event id."""

    rules: UniqueLabels | None = None
    """Only events of these rules; null means of all."""


NO_SERVERS: Mapping[str, Any] = {"mqtt": None, "webhooks": (), "redis": None, "kafka": None}
"""What keeps events on this machine, as an update of an `OutputConfig`."""


class OutputConfig(Model):
    """What a run writes, and where."""

    model_config = ConfigDict(revalidate_instances="always")  # so that the default learns the config's path, too

    folder: RunFolder = Field(default="runs/{config}", validate_default=True)
    """Folder of the run; `{config}` is the name of the config file without its ending."""

    interval_seconds: Annotated[Number, Field(ge=0.001, le=31_536_000)] = 60.0
    """Length of the intervals of counts.csv, seconds."""

    video: Annotated[
        VideoOutputConfig | None,
        BeforeValidator(off_or_settings, json_schema_input_type=bool | VideoOutputConfig | None),
    ] = Field(default_factory=VideoOutputConfig)
    """Settings of the annotated video, or false for none."""

    evidence: Annotated[
        EvidenceConfig | None,
        BeforeValidator(off_or_settings, json_schema_input_type=bool | EvidenceConfig | None),
    ] = Field(default_factory=EvidenceConfig)
    """Settings of pictures and clips that show the events, or false for none."""

    tracks: Annotated[
        TracksOutputConfig | None,
        BeforeValidator(off_or_settings, json_schema_input_type=bool | TracksOutputConfig | None),
    ] = Field(default_factory=TracksOutputConfig)
    """Settings of the stored tracks, from which changed rules can be counted again, or false for none."""

    report: Switch = True
    """Whether report.html is written."""

    database: Annotated[
        DatabaseOutputConfig | None,
        BeforeValidator(off_or_settings, json_schema_input_type=bool | DatabaseOutputConfig | None),
    ] = Field(default_factory=DatabaseOutputConfig)
    """The database that gets the events, too: by default a SQLite file in the folder of the run; false: none."""

    mqtt: MqttConfig | None = None
    """An MQTT broker that is sent the events while the run goes on."""

    webhooks: tuple[WebhookConfig, ...] = ()
    """HTTP endpoints that are sent the events while the run goes on."""

    redis: RedisConfig | None = None
    """A Redis server that is sent the events while the run goes on."""

    kafka: KafkaConfig | None = None
    """A Kafka cluster that is sent the events while the run goes on."""

    @field_validator("webhooks")
    @classmethod
    def _check_webhook_names(cls, webhooks: tuple[WebhookConfig, ...]) -> tuple[WebhookConfig, ...]:
        names = {"mqtt", "redis", "kafka", "database"}
        for index, webhook in enumerate(webhooks):
            if webhook.name.casefold() in names:
                raise blame(index, "name", message=f"'{webhook.name}' is the name of another destination already")
            names.add(webhook.name.casefold())
        return webhooks
