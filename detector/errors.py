"""Errors of the detector that are told in words: the file, what is wrong with it, what to do."""


class WeightsError(Exception):
    """A weights file, a published checkpoint or a download that cannot be used."""
