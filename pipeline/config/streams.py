"""What is watched."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from vidan.pipeline.config.cameras import (
    CameraConfig,
    DeviceSourceConfig,
    HttpSourceConfig,
    RtspSourceConfig,
    ThinnedConfig,
    UdpSourceConfig,
)
from vidan.pipeline.config.ground import CalibrationConfig
from vidan.pipeline.config.model import Model, blame, off_or_settings
from vidan.pipeline.config.values import (
    FilePath,
    FilePaths,
    Number,
    PositiveSeconds,
    StreamName,
    Switch,
    UniqueLabels,
    UtcTime,
)


class _RecordedConfig(ThinnedConfig):
    """What all recorded sources have in common."""

    start_time: UtcTime | None = None
    """When the first picture was taken, ISO 8601 with Z or an offset; null: as the file says, if it does."""


class VideoSourceConfig(_RecordedConfig):
    """Video files."""

    type: Literal["video"]
    """Which kind of source."""

    path: FilePaths
    """A file, a pattern such as `*.mp4`, or a list of them, played one after another as one stream."""

    live: Switch = False
    """Play it like a camera, at the pace of its times and now: what is not analysed in time is dropped."""

    loop: Switch = False
    """Begin again at its end, for ever; with `live` alone."""

    @model_validator(mode="after")
    def _check_live(self) -> Self:
        if self.loop and not self.live:
            raise blame("loop", message="needs `live: true`; a recording that never ends is never counted")
        if self.live and self.start_time is not None:
            raise blame("start_time", message="is now, for `live: true`")
        return self


class ImagesSourceConfig(_RecordedConfig):
    """Pictures in a folder, in the order of their names."""

    type: Literal["images"]
    """Which kind of source."""

    path: FilePath
    """A folder, or a pattern such as `cam/*.jpg`."""

    fps: Annotated[Number, Field(gt=0)] = 10.0
    """Pictures per second at which they were taken."""


SourceConfig: TypeAlias = Annotated[
    VideoSourceConfig | ImagesSourceConfig | RtspSourceConfig | HttpSourceConfig | UdpSourceConfig | DeviceSourceConfig,
    Field(discriminator="type"),
]


def is_live(source: VideoSourceConfig | ImagesSourceConfig | CameraConfig) -> bool:
    """Whether it goes on without waiting for anybody."""
    return source.live if isinstance(source, VideoSourceConfig) else isinstance(source, CameraConfig)


def _source_of_path(value: Any) -> Any:
    return {"type": "video", "path": value} if isinstance(value, str | list) else value


MainStreamConfig: TypeAlias = Annotated[
    RtspSourceConfig | HttpSourceConfig | UdpSourceConfig | DeviceSourceConfig, Field(discriminator="type")
]


class PictureHealthConfig(Model):
    """Which pictures show nothing: their time counts as not observed. Tracks and rules go on all the same.

    Noise makes every picture of a living camera a new one, so that a still scene is not frozen; a drawn film may be.
    """

    frozen_seconds: PositiveSeconds | None = 30.0
    """Seconds without a new picture after which a stream has been frozen all that time; null: never."""

    dark_level: Annotated[Number, Field(ge=0, lt=255)] | None = 20.0
    """Brightness, 0..255, that no more than 5 % of a dark picture exceed (a black one, a covered lens); null: never."""

    blurred_share: Annotated[Number, Field(gt=0, lt=1)] | None = 0.2
    """Sharpness, as a share of what the stream had in the last minutes, below which it is blurred; null: never."""


class StreamConfig(Model):
    """One camera or file, with a tracker and rules of its own."""

    name: StreamName
    """Unique name; files are named after it, so letters, digits, - and _ only."""

    source: Annotated[
        SourceConfig, BeforeValidator(_source_of_path, json_schema_input_type=str | list[str] | SourceConfig)
    ]
    """Where the pictures come from; a bare path, or a list of them, stands for `{type: video, path: ...}`."""

    main_stream: MainStreamConfig | None = None
    """The same view in a higher resolution, for video and evidence; `source`, the sub-stream, is what is counted."""

    rules: UniqueLabels | None = None
    """Names of the rules that watch this stream, [] for none; null: all of them."""

    priority: Annotated[Number, Field(gt=0)] = 1.0
    """Where the machine cannot analyse every picture of all cameras: one of twice the priority gets twice the share."""

    calibration: CalibrationConfig | None = None
    """Of this camera, for all speed rules that have none of their own."""

    health: Annotated[
        PictureHealthConfig | None,
        BeforeValidator(off_or_settings, json_schema_input_type=bool | PictureHealthConfig | None),
    ] = Field(default_factory=PictureHealthConfig)
    """When its pictures count as frozen, dark or blurred, or false for never."""

    @model_validator(mode="after")
    def _check_main_stream(self) -> Self:
        if self.main_stream is not None and not isinstance(self.source, CameraConfig):
            raise blame("main_stream", message="belongs to a camera; a recording has one stream")
        return self
