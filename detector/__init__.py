"""Images in, detections out."""

import vidan.detector.no_telemetry  # noqa: F401 (before anybody imports OpenVINO)
from vidan.detector.boxes import (
    box_iou,
    cxcywh_to_xyxy,
    xywh_to_xyxy,
    xyxy_to_cxcywh,
    xyxy_to_xywh,
)
from vidan.detector.detections import Detections, Detector, ImageLike, Picture
from vidan.detector.errors import DeviceError, WeightsError
from vidan.detector.gpu_memory import gpu_memory
from vidan.detector.letterbox import Letterbox
from vidan.detector.weights.checkpoint import WeightsCard, load_model, read_card, save_weights
from vidan.detector.weights.checksum import file_sha256
from vidan.detector.weights.official import import_weights
from vidan.detector.weights.registry import PUBLISHED, PublishedWeights, download_record, fetched_path
from vidan.detector.weights.registry import pull as pull_weights
from vidan.detector.weights.registry import resolve as resolve_weights
from vidan.detector.yolo import YoloDetector, load_detector

__all__ = [
    "PUBLISHED",
    "Detections",
    "Detector",
    "DeviceError",
    "ImageLike",
    "Letterbox",
    "Picture",
    "PublishedWeights",
    "WeightsCard",
    "WeightsError",
    "YoloDetector",
    "box_iou",
    "cxcywh_to_xyxy",
    "download_record",
    "fetched_path",
    "file_sha256",
    "gpu_memory",
    "import_weights",
    "load_detector",
    "load_model",
    "pull_weights",
    "read_card",
    "resolve_weights",
    "save_weights",
    "xywh_to_xyxy",
    "xyxy_to_cxcywh",
    "xyxy_to_xywh",
]
