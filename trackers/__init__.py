"""Detections in, tracks out."""

from vidan.trackers.tracks import Tracker, Tracks

__all__ = ["Tracker", "Tracks"]
