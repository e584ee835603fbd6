"""Networks for other runtimes, each compared with PyTorch before it is let out. Loads torch."""

from vidan.detector.export.footage import FootageError, sample_footage
from vidan.detector.export.make import EXPORT_FORMATS, PRECISIONS, ExportReport, export_weights
from vidan.detector.export.parity import Bounds, Parity, ParityError

__all__ = [
    "EXPORT_FORMATS",
    "PRECISIONS",
    "Bounds",
    "ExportReport",
    "FootageError",
    "Parity",
    "ParityError",
    "export_weights",
    "sample_footage",
]
