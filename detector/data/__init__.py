"""Data sets: annotation files of several formats, read into samples and varied for training."""
