"""Detections in, tracks out."""

from vidan.trackers.bytetrack import ByteTracker
from vidan.trackers.evaluate import TrackMetrics, evaluate_tracks
from vidan.trackers.mot import MotRows, read_mot, write_mot
from vidan.trackers.smoother import FixedLagSmoother, Released
from vidan.trackers.tracks import Tracker, Tracks

__all__ = [
    "ByteTracker",
    "FixedLagSmoother",
    "MotRows",
    "Released",
    "TrackMetrics",
    "Tracker",
    "Tracks",
    "evaluate_tracks",
    "read_mot",
    "write_mot",
]
