"""From pictures to tracks: the detector, and what joins its detections."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from vidan.pipeline.config.model import Model, blame, off_or_settings
from vidan.pipeline.config.values import (
    Device,
    ImageSize,
    Labels,
    Number,
    PositiveSeconds,
    Seconds,
    Share,
    WeightsName,
    Whole,
)


class DetectorConfig(Model):
    """What finds the objects in a picture."""

    weights: WeightsName = "demo"
    """`demo` (comes with vidan), a name from `vidan weights list`, or the path of a .safetensors file."""

    runtime: Literal["auto", "openvino", "torch"] = "auto"
    """What computes the network; `auto` takes torch on a GPU and OpenVINO on a CPU."""

    device: Device = "auto"
    """Where it computes: `auto`, `cpu`, `cuda` or `cuda:N`."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number format of the network; `auto` takes the fastest that the device has."""

    image_size: ImageSize | None = None
    """Pixels to which pictures are letterboxed: N or [height, width], multiples of 32; null: as the weights say."""

    batch: Annotated[Whole, Field(ge=1, le=1024)] = 8
    """Pictures per call of the network, at most."""

    max_wait_ms: Annotated[Number, Field(ge=0, le=10_000)] = 10.0
    """Milliseconds for which the first picture of a call waits for those of other cameras; files take no notice."""

    confidence: Share = 0.1
    """Lowest score, 0..1, of a detection that the tracker is shown (ByteTrack makes use of the low ones)."""

    nms_iou: Annotated[Number, Field(gt=0, le=1)] = 0.6
    """Overlap (IoU, 0..1) above which the weaker of two boxes of one class is dropped."""

    max_detections: Annotated[Whole, Field(ge=1)] = 300
    """Detections kept per picture, at most: those with the highest scores."""

    classes: Labels | None = None
    """Names of the classes to keep; null: all that the weights know."""


class StitchConfig(Model):
    """A second look at tracks, some seconds late, before the rules count."""

    gap_seconds: Seconds = 2.5
    """Longest time in which nobody saw an object and two tracks are still joined."""

    fill_seconds: Seconds = 0.7
    """Longest gap in a track that is filled with boxes on a straight line, and over which a track is followed back from
    its beginning."""


class _TrackerConfig(Model):
    """What all trackers have in common."""

    high_confidence: Annotated[Number, Field(gt=0, le=1)] = 0.3
    """Score, 0..1, from which detections take part in the first round of association."""

    new_confidence: Share = 0.4
    """Score, 0..1, from which a detection that fits no track starts one."""

    confirm_frames: Annotated[Whole, Field(ge=1)] = 3
    """Frames in a row with a match after which a track is believed."""

    confirm_seconds: PositiveSeconds = 0.15
    """Seconds between two matches after which a track is believed too, on cameras of few frames per second."""

    lost_after_seconds: PositiveSeconds = 2.5
    """Seconds without a match after which a track ends."""

    smooth_seconds: Seconds = 0.4
    """Half window in seconds of the smoothing of counted positions, which delays them as much; 0: off."""

    camera_motion: Literal["none", "flow", "ecc"] = "none"
    """How a moving camera is followed: not, by optical flow, or by correlation (for pictures without corners)."""

    stitch: Annotated[
        StitchConfig | None, BeforeValidator(off_or_settings, json_schema_input_type=bool | StitchConfig | None)
    ] = None
    """True or settings: finds the unsure beginnings of tracks, joins those whose ends fit and fills short gaps before
    the rules count, which makes them later by some seconds; for recorded footage."""


class _TwoRoundsConfig(_TrackerConfig):
    low_confidence: Share = 0.1
    """Score, 0..1, from which detections take part in the second round."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.low_confidence > self.high_confidence:
            raise blame("low_confidence", message=f"is above high_confidence ({self.high_confidence:g})")
        return self


class ByteTrackConfig(_TwoRoundsConfig):
    """What joins the detections of one stream to tracks: ByteTrack, which continues tracks by unsure detections too."""

    type: Literal["bytetrack"] = "bytetrack"
    """Which tracker."""


class SortConfig(_TrackerConfig):
    """What joins detections to tracks: SORT, by motion and overlap of the sure detections alone."""

    type: Literal["sort"]
    """Which tracker."""


class OcSortConfig(_TrackerConfig):
    """What joins detections to tracks: OC-SORT, SORT that also heeds directions and where a track was last seen."""

    type: Literal["ocsort"]
    """Which tracker."""


class BotSortConfig(_TwoRoundsConfig):
    """What joins detections to tracks: BoT-SORT, ByteTrack for a camera that moves."""

    type: Literal["botsort"]
    """Which tracker."""

    camera_motion: Literal["none", "flow", "ecc"] = "flow"
    """How a moving camera is followed: not, by optical flow, or by correlation (for pictures without corners)."""


def _tracker_of_no_type(value: Any) -> Any:
    return {"type": "bytetrack", **value} if isinstance(value, dict) else value


TrackerConfig: TypeAlias = Annotated[
    ByteTrackConfig | SortConfig | OcSortConfig | BotSortConfig,
    Field(discriminator="type"),
    BeforeValidator(_tracker_of_no_type),
]
