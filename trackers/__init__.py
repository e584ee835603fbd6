"""Detections in, tracks out."""

from vidan.trackers.botsort import BotSortTracker
from vidan.trackers.bytetrack import ByteTracker
from vidan.trackers.camera_motion import CameraMotion
from vidan.trackers.evaluate import (
    IOU_THRESHOLDS,
    Evaluation,
    TrackMetrics,
    evaluate_sequences,
    evaluate_tracks,
    require_trackeval,
)
from vidan.trackers.mot import MotRows, read_mot, write_mot
from vidan.trackers.mot_folder import MotSequence, SequenceInfo, read_info, read_sequences
from vidan.trackers.ocsort import OcSortTracker
from vidan.trackers.pace import Pace
from vidan.trackers.smoother import FixedLagSmoother, Released
from vidan.trackers.sort import SortTracker
from vidan.trackers.stitching import Join, Stitched, Stitcher
from vidan.trackers.tracks import Affine, Tracker, Tracks

__all__ = [
    "IOU_THRESHOLDS",
    "Affine",
    "BotSortTracker",
    "ByteTracker",
    "CameraMotion",
    "Evaluation",
    "FixedLagSmoother",
    "Join",
    "MotRows",
    "MotSequence",
    "OcSortTracker",
    "Pace",
    "Released",
    "SequenceInfo",
    "SortTracker",
    "Stitched",
    "Stitcher",
    "TrackMetrics",
    "Tracker",
    "Tracks",
    "evaluate_sequences",
    "evaluate_tracks",
    "read_info",
    "read_mot",
    "read_sequences",
    "require_trackeval",
    "write_mot",
]
