"""Recorded footage at any scale: many files of many cameras, on many processors, to be stopped and started at will."""
