"""Images in, detections out."""

from vidan.detector.detections import Detections, Detector, ImageLike, Picture

__all__ = ["Detections", "Detector", "ImageLike", "Picture"]
