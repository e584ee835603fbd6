"""Notices pictures that show nothing: a camera that hangs and repeats itself, a lens that is covered or fogged.

It works on a sparse sample: the green, which is most of the brightness, of some ten thousand pixels. Single pixels, not
means, so that the noise stays; and of the RGB picture, which the detector has had converted already.

*Frozen* is not "hardly any change". A still scene at night changes hardly, and a hanging camera whose pictures are
encoded again changes a little with every key frame. What tells them apart: noise makes every picture of a living camera
one that never was before, even where the codec smooths it away from key frame to key frame, while a hanging one repeats
pictures that it has shown. So a picture is new if it differs from each of the last few distinct ones, and the stream is
frozen where for long enough none was new. Measured with x264 from crf 20 to 34 and noise from 0.5 to 2 levels: living
scenes bring a new picture at least with every key frame, frozen ones none after the second.

*Dark* is a picture in which next to nothing is brighter than black with noise; the date that cameras write into it may
be.

*Blurred* is a picture that has lost its fine detail, compared with what the same stream showed in the minutes before:
how sharp a good picture is depends on the scene. The measure is the mean second difference along some rows, over a
640th of the width, by their contrast. On three clips of streets and goods it falls by nature to 0.36 of its usual value
at the least, and by a Gaussian blur of 5 px (of 640) to 0.08-0.20. A stream that is blurred from the beginning is not
noticed.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vidan.pipeline.coverage import Gap, GapReason, compact

SAMPLE_COLUMNS = 160  # about
SAME_MEAN, SAME_MOST = 0.2, 16.0  # levels of 255 by which a repeated picture differs on average, and anywhere
REMEMBERED = 16  # distinct pictures; a frozen stream has some per key frame, as the encoder refines them
BLOCK = 4  # samples in each direction, whose mean is free of noise
BRIGHT_SHARE = 0.05  # of the picture that may be brighter in the dark: the date that cameras write into it
DARK_MARGIN = 4.0  # levels by which a dark picture must brighten until it is no longer dark
SHARP_COLUMNS = 640  # into which a row is divided, about, to measure its sharpness
SHARP_ROWS = 40  # of a picture, about
SHARPNESS_EVERY = 1.0  # seconds
REMEMBERED_SHARPNESS = 600  # measurements: ten minutes
LEAST_SHARPNESS = 20  # measurements without which nothing is known of a stream
BLURRED_SECONDS = 3.0  # that a blur must last; a large thing that passes by lasts less
HOLD_SECONDS = 1.0  # the dark must last as long, and so must an interruption that is to part two gaps


class Look(NamedTuple):
    """What one picture looks like to a watch that knows those before it.

    Attributes:
        is_dark: Next to nothing in it is bright.
        is_repeated: It was shown before.
        sharpness: As `measure_sharpness` has it; None where nobody asked, and for dark pictures.
    """

    is_dark: bool
    is_repeated: bool
    sharpness: float | None = None


class PictureWatch:
    """Looks at the pictures of one stream, in order.

    Args:
        frozen_seconds: Time without a new picture after which the stream has been frozen all that time; None: never.
        dark_level: Brightness, 0..255, up to which a picture is dark; None: never.
        blurred_share: Sharpness as a share of the usual one, below which a picture is blurred; None: never.
    """

    def __init__(
        self, *, frozen_seconds: float | None, dark_level: float | None, blurred_share: float | None = None
    ) -> None:
        self._frozen_seconds = frozen_seconds
        self._dark_level = dark_level
        self._known: deque[NDArray[np.uint8]] = deque(maxlen=REMEMBERED)  # the latest match in front
        self._repeating_since: float | None = None
        self._dark_since: float | None = None
        self._was_dark = False
        self._blurred_share = blurred_share
        self._blurred_since: float | None = None
        self._sharpness: deque[float] = deque(maxlen=REMEMBERED_SHARPNESS)  # of good pictures
        self._usual_sharpness = 0.0
        self._next_sharpness = 0.0
        self._gaps: list[Gap] = []

    def look(self, pts_seconds: float, image: NDArray[np.uint8]) -> None:
        """Takes in the next picture.

        Args:
            pts_seconds: Its time; only grows.
            image: (H, W, 3) uint8 RGB.
        """
        self.note(pts_seconds, self.judge(image))

    def judge(self, image: NDArray[np.uint8]) -> Look:
        """What the next picture, (H, W, 3) uint8 RGB, looks like after those before it."""
        step = max(1, round(image.shape[1] / SAMPLE_COLUMNS))
        luma = image[::step, ::step, 1].copy()
        self._was_dark = self._dark_level is not None and self._is_dark(luma, self._dark_level)
        is_repeated = not self._was_dark and self._frozen_seconds is not None and self._is_repeated(luma)
        is_judged = self._blurred_share is not None and not self._was_dark
        return Look(self._was_dark, is_repeated, measure_sharpness(image) if is_judged else None)

    def note(self, pts_seconds: float, look: Look) -> None:
        """Takes in what a picture of this time looked like; times only grow."""
        self._note_dark(pts_seconds, look.is_dark)
        self._note_repeated(pts_seconds, look.is_repeated)
        self._note_blurred(pts_seconds, self._is_blurred(pts_seconds, look.sharpness))

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The gaps that are over, in order."""
        return tuple(sorted(self._gaps))

    def finish(self, end_seconds: float) -> tuple[Gap, ...]:
        """All gaps of a stream that ended at this time, in order."""
        self._note_dark(end_seconds, False)
        self._note_repeated(end_seconds, False)
        self._note_blurred(end_seconds, False)
        return self.gaps

    def _is_dark(self, luma: NDArray[np.uint8], level: float) -> bool:
        if self._was_dark:
            level += DARK_MARGIN
        rows, columns = (max(1, size // BLOCK) for size in luma.shape)
        whole = luma[: rows * BLOCK, : columns * BLOCK]  # whole blocks are averaged ten times as fast as parts
        blocks = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
        return int(np.count_nonzero(blocks > level)) <= BRIGHT_SHARE * blocks.size

    def _is_repeated(self, luma: NDArray[np.uint8]) -> bool:
        for i, known in enumerate(self._known):
            if known.shape == luma.shape and _is_same(known, luma):
                del self._known[i]
                self._known.appendleft(known)
                return True
        self._known.appendleft(luma)
        return False

    def _note_dark(self, pts_seconds: float, is_dark: bool) -> None:
        if is_dark and self._dark_since is None:
            self._dark_since = pts_seconds
        elif not is_dark and self._dark_since is not None:
            self._add(self._dark_since, pts_seconds, GapReason.DARK, HOLD_SECONDS)
            self._dark_since = None

    def _note_repeated(self, pts_seconds: float, is_repeated: bool) -> None:
        if is_repeated and self._repeating_since is None:
            self._repeating_since = pts_seconds
        elif not is_repeated and self._repeating_since is not None and self._frozen_seconds is not None:
            self._add(self._repeating_since, pts_seconds, GapReason.FROZEN, self._frozen_seconds)
            self._repeating_since = None

    def _is_blurred(self, pts_seconds: float, sharpness: float | None) -> bool:
        """Compares with the good pictures of the minutes before, of which one a second is remembered."""
        if sharpness is None or self._blurred_share is None:
            return False
        is_known = len(self._sharpness) >= LEAST_SHARPNESS
        if is_known and sharpness < self._blurred_share * self._usual_sharpness:
            return True
        if pts_seconds >= self._next_sharpness:
            self._next_sharpness = pts_seconds + SHARPNESS_EVERY
            self._sharpness.append(sharpness)
            self._usual_sharpness = float(np.median(self._sharpness))
        return False

    def _note_blurred(self, pts_seconds: float, is_blurred: bool) -> None:
        if is_blurred and self._blurred_since is None:
            self._blurred_since = pts_seconds
        elif not is_blurred and self._blurred_since is not None:
            self._add(self._blurred_since, pts_seconds, GapReason.BLURRED, BLURRED_SECONDS)
            self._blurred_since = None

    def _add(self, start: float, end: float, reason: GapReason, least_seconds: float) -> None:
        """Enters a gap if it is long enough; a moment's interruption between two of a kind belongs to them."""
        if end - start < least_seconds:
            return
        last = self._gaps[-1] if self._gaps else None
        if last is not None and last.reason is reason and start - last.end <= HOLD_SECONDS:
            start = self._gaps.pop().start
        self._gaps.append(Gap(start, end, reason))
        compact(self._gaps)


def measure_sharpness(image: NDArray[np.uint8]) -> float:
    """How much fine detail an (H, W, 3) picture has for its contrast; 0 for none.

    Some rows are enough, and neighbouring columns are averaged, so that noise of single pixels counts little.
    """
    height, width = image.shape[:2]
    step, fine = max(1, round(height / SHARP_ROWS)), max(1, round(width / SHARP_COLUMNS))
    rows = image[::step, : width // fine * fine, 1].copy()
    means = cv2.resize(rows, (rows.shape[1] // fine, len(rows)), interpolation=cv2.INTER_AREA).astype(np.float32)
    if means.shape[1] < 5:
        return 0.0
    second = np.abs(2 * means[:, 2:-2] - means[:, :-4] - means[:, 4:])
    return float(second.mean()) / (float(means.std()) + 1.0)


def _is_same(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    if cv2.norm(one, other, cv2.NORM_L1) > SAME_MEAN * one.size:
        return False
    return cv2.norm(one, other, cv2.NORM_INF) <= SAME_MOST
