"""Detections in, tracks out."""

from vidan.trackers.bytetrack import ByteTracker
from vidan.trackers.evaluate import IOU_THRESHOLDS, Evaluation, TrackMetrics, evaluate_sequences, evaluate_tracks
from vidan.trackers.mot import MotRows, read_mot, write_mot
from vidan.trackers.mot_folder import MotSequence, SequenceInfo, read_info, read_sequences
from vidan.trackers.smoother import FixedLagSmoother, Released
from vidan.trackers.tracks import Tracker, Tracks

__all__ = [
    "IOU_THRESHOLDS",
    "ByteTracker",
    "Evaluation",
    "FixedLagSmoother",
    "MotRows",
    "MotSequence",
    "Released",
    "SequenceInfo",
    "TrackMetrics",
    "Tracker",
    "Tracks",
    "evaluate_sequences",
    "evaluate_tracks",
    "read_info",
    "read_mot",
    "read_sequences",
    "write_mot",
]
