"""Data sets: annotation files of several formats, read into samples, checked, and varied for training."""

from vidan.detector.data.check import ClassCounts, DatasetReport, PartReport, check_dataset
from vidan.detector.data.description import SPLITS, Split
from vidan.detector.data.findings import Finding, FindingKind, Findings, Severity
from vidan.detector.data.formats import load_dataset
from vidan.detector.data.from_video import VideoChoice, write_video_dataset
from vidan.detector.data.samples import DataError, Sample, VideoFrame, read_images

__all__ = [
    "SPLITS",
    "ClassCounts",
    "DataError",
    "DatasetReport",
    "Finding",
    "FindingKind",
    "Findings",
    "PartReport",
    "Sample",
    "Severity",
    "Split",
    "VideoChoice",
    "VideoFrame",
    "check_dataset",
    "load_dataset",
    "read_images",
    "write_video_dataset",
]
