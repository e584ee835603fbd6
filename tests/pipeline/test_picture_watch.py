"""Pictures that show nothing are told from those in which nothing happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vidan.pipeline.coverage import Gap, GapReason
from vidan.pipeline.picture_watch import PictureWatch, measure_sharpness

Picture = NDArray[np.uint8]
FPS = 10
_y, _x = np.mgrid[:120, :320]
SCENE = np.repeat((120 + 60 * np.sin(_x / 9) + 40 * np.cos(_y / 7)).clip(0, 255)[..., None], 3, axis=2)


@pytest.fixture
def noise() -> Callable[[NDArray[np.floating], float], Picture]:
    rng = np.random.default_rng(7)
    return lambda scene, sigma: (scene + rng.normal(0, sigma, scene.shape)).clip(0, 255).astype(np.uint8)


def gaps_of(pictures: Sequence[Picture], frozen_seconds: float | None = 2.0, dark_level: float | None = 20.0):
    watch = PictureWatch(frozen_seconds=frozen_seconds, dark_level=dark_level)
    for number, picture in enumerate(pictures):
        watch.look(number / FPS, picture)
    return [(round(gap.start, 3), round(gap.end, 3), gap.reason) for gap in watch.finish(len(pictures) / FPS)]


def test_a_repeated_picture_is_frozen_from_its_first_repetition(noise) -> None:
    moving = [noise(np.roll(SCENE, 3 * n, axis=1), 1.0) for n in range(20)]
    assert gaps_of([*moving, *[moving[-1]] * 30, *moving[:15]]) == [(2.0, 5.0, GapReason.FROZEN)]
    assert gaps_of([*moving, *[moving[-1]] * 19, *moving[:10]]) == [], "shorter than the stated time"
    assert gaps_of([*moving, *[moving[-1]] * 30]) == [(2.0, 5.0, GapReason.FROZEN)], "to the end of the stream"
    assert gaps_of([*moving, *[moving[-1]] * 30], frozen_seconds=None) == []


@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("brightness", [1.0, 0.25])
def test_a_still_scene_with_sensor_noise_is_not_frozen(noise, sigma: float, brightness: float) -> None:
    assert gaps_of([noise(SCENE * brightness, sigma) for _ in range(60)]) == []


def test_a_still_scene_whose_noise_changes_only_with_key_frames_is_not_frozen(noise) -> None:
    assert gaps_of([picture for _ in range(8) for picture in [noise(SCENE, 1.0)] * 10]) == []


def test_a_frozen_picture_that_is_encoded_anew_is_frozen_all_the_time(noise) -> None:
    group = [noise(SCENE, sigma) for sigma in (2.0, 1.0, 0.5)]  # what a key frame and its refinements look like
    refined = [*group, *[group[-1]] * 7]
    moving = [noise(np.roll(SCENE, 3 * n, axis=1), 1.0) for n in range(20)]
    assert gaps_of([*moving, *refined * 4, *moving[:12]]) == [(2.3, 6.0, GapReason.FROZEN)]


def test_one_odd_picture_does_not_part_a_freeze(noise) -> None:
    still, odd = noise(SCENE, 1.0), noise(SCENE, 3.0)
    assert gaps_of([still] * 30 + [odd] + [still] * 30) == [(0.1, 6.1, GapReason.FROZEN)]


def test_a_small_thing_that_moves_in_a_noiseless_picture_is_life() -> None:
    pictures = []
    for number in range(60):
        picture = SCENE.astype(np.uint8)
        picture[60:68, 4 * number : 4 * number + 6] = 250
        pictures.append(picture)
    assert gaps_of(pictures) == []


@pytest.mark.parametrize("sigma", [0.0, 2.0, 6.0])
def test_black_with_noise_is_dark_and_not_frozen(noise, sigma: float) -> None:
    light = [noise(SCENE, 1.0) for _ in range(20)]
    black = [noise(np.full(SCENE.shape, 6.0), sigma) for _ in range(30)]
    for picture in black:
        picture[100:106, 10:100] = 255  # the date that the camera writes
    assert gaps_of([*light, *black, *light]) == [(2.0, 5.0, GapReason.DARK)]
    assert gaps_of([*light, *black, *light], frozen_seconds=None, dark_level=None) == []


def test_a_street_at_night_is_not_dark(noise) -> None:
    night = np.full(SCENE.shape, 12.0)
    night[40:100, 30:90] = 60  # what a lamp lights
    assert gaps_of([noise(night, 2.0) for _ in range(40)]) == []


def test_a_brightness_around_the_level_does_not_flicker(noise) -> None:
    levels = [100.0] * 20 + [18.0, 22.0] * 15 + [100.0] * 20
    assert gaps_of([noise(np.full(SCENE.shape, level), 1.0) for level in levels]) == [(2.0, 5.0, GapReason.DARK)]


def test_the_blink_of_an_eye_is_not_dark_and_does_not_part_the_dark(noise) -> None:
    light, black = noise(SCENE, 1.0), noise(np.full(SCENE.shape, 4.0), 1.0)
    assert gaps_of([light] * 5 + [black] * 9 + [light] * 5) == []
    assert gaps_of([black] * 20 + [light] * 2 + [black] * 20) == [(0.0, 4.2, GapReason.DARK)]


def test_pictures_of_another_size_are_new() -> None:
    watch = PictureWatch(frozen_seconds=2.0, dark_level=20.0)
    for number in range(40):
        watch.look(number / FPS, np.full((90, 160 + 40 * (number > 15), 3), 99, np.uint8))
    assert watch.finish(4.0) == (Gap(1.7, 4.0, GapReason.FROZEN),)


def _blur_gaps(pictures: Sequence[Picture], fps: float = 2.0) -> list[tuple[float, float, GapReason]]:
    watch = PictureWatch(frozen_seconds=None, dark_level=20.0, blurred_share=0.2)
    for number, picture in enumerate(pictures):
        watch.look(number / fps, picture)
    return [(gap.start, gap.end, gap.reason) for gap in watch.finish(len(pictures) / fps)]


def test_a_lens_that_fogs_is_blurred_as_long_as_it_is(noise) -> None:
    texture = cv2.resize(np.random.default_rng(1).uniform(0, 255, (60, 160)), (320, 120))[..., None].repeat(3, axis=2)
    sharp = [noise(np.roll(texture, n, axis=1), 1.0) for n in range(60)]
    fogged = [noise(cv2.GaussianBlur(picture, (0, 0), 6), 1.0) for picture in sharp[:40]]
    assert _blur_gaps([*sharp, *fogged, *sharp]) == [(30.0, 50.0, GapReason.BLURRED)]
    assert _blur_gaps([*sharp, *fogged[:4], *sharp]) == [], "something large that passed by"
    assert _blur_gaps([*sharp, *[noise(picture * 0.4, 1.0) for picture in sharp], *sharp]) == [], "the light went down"
    assert _blur_gaps([*fogged, *fogged]) == [], "nobody knows how sharp it could be"


def test_sharpness_hardly_depends_on_the_size_of_the_picture(noise) -> None:
    large = np.kron(SCENE[:, :, 0], np.ones((6, 6)))[..., None].repeat(3, axis=2)
    large = cv2.GaussianBlur(large, (0, 0), 3)
    small = cv2.resize(large, (640, 240), interpolation=cv2.INTER_AREA)
    sharpness = measure_sharpness(small.astype(np.uint8))
    assert measure_sharpness(large.astype(np.uint8)) == pytest.approx(sharpness, rel=0.15)
