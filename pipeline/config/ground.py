"""Where on the ground the things on the picture stand."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from vidan.pipeline.calibration import Calibration
from vidan.pipeline.config.model import Model, blame
from vidan.pipeline.config.shapes import Point, Polyline, check_one_unit, in_fractions, to_pixels
from vidan.pipeline.config.values import Number


class CalibrationPointConfig(Model):
    """A point of the ground that is known on the picture."""

    image: Point
    """[x, y] on the picture: a fraction of width and height if those of all points are within 0..1, else pixels."""

    ground: tuple[Number, Number]
    """[x, y] on the ground in metres; origin and axes are free (a corner of the road, or map coordinates)."""


class KnownLengthConfig(Model):
    """A straight line whose length on the ground is known."""

    points: Annotated[Polyline, Field(max_length=2)]
    """Its two ends, [x, y] each: fractions of width and height if all are within 0..1, else pixels."""

    metres: Annotated[Number, Field(gt=0)]
    """Its length on the ground in metres."""


class CalibrationConfig(Model):
    """Where on the ground, in metres, the things on the picture stand."""

    points: Annotated[tuple[CalibrationPointConfig, ...], Field(min_length=4, max_length=32)] | None = None
    """Four or more points, no three of four on one line; from the fifth on, the fit shows its own error."""

    line: KnownLengthConfig | None = None
    """One known length, instead of `points`: for cameras that look straight down, or motion along this line."""

    accuracy: Annotated[Number, Field(ge=0)] | None = None
    """Standard error of the given metres, in metres; null: as the fit shows. It enters the ± of every speed."""

    @model_validator(mode="after")
    def _check_fit(self) -> Self:
        if (self.points is None) == (self.line is None):
            raise blame("points", message="a calibration needs either `points` or `line`, and not both")
        try:
            check_one_unit(self._image)
            self.build()
        except ValueError as error:
            raise blame("line" if self.points is None else "points", message=str(error)) from error
        return self

    @property
    def _image(self) -> tuple[Point, ...]:
        return self.line.points if self.line else tuple(point.image for point in self.points or ())

    @property
    def outline(self) -> tuple[Point, ...]:
        """Points around the area that is calibrated; none where that is the whole picture."""
        return () if self.points is None else self._image

    def build(self) -> Calibration:
        """The calibration, in the unit of its points."""
        if self.line is not None:
            start, end = self.line.points
            return Calibration.from_length(start, end, self.line.metres, self.accuracy or 0.0)
        return Calibration.from_points(self._image, [point.ground for point in self.points or ()], self.accuracy)

    def in_pixels(self, width: int, height: int) -> Self:
        """The same calibration for frames of this size, with its points in pixels."""
        if not in_fractions(self._image):
            return self
        pixels = to_pixels(self._image, width, height)
        if self.line is not None:
            return self.model_copy(update={"line": self.line.model_copy(update={"points": pixels})})
        points = zip(self.points or (), pixels, strict=True)
        return self.model_copy(
            update={"points": tuple(point.model_copy(update={"image": image}) for point, image in points)}
        )
