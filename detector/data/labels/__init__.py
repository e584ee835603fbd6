"""Annotations of several formats, each read into the same list of samples, with findings of what is wrong in them."""

from vidan.detector.data.labels.coco import read_coco
from vidan.detector.data.labels.mot import MotChoice, read_mot_folder, read_mot_video
from vidan.detector.data.labels.voc import read_voc
from vidan.detector.data.labels.yolo import read_yolo

__all__ = ["MotChoice", "read_coco", "read_mot_folder", "read_mot_video", "read_voc", "read_yolo"]
