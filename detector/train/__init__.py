"""Training, from recipe to weights. Loads torch."""

from vidan.detector.data.samples import DataError
from vidan.detector.train.fit import EpochRecord, fit
from vidan.detector.train.recipe import Recipe, RecipeError

__all__ = ["DataError", "EpochRecord", "Recipe", "RecipeError", "fit"]
