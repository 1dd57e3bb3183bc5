"""Sharpness and exposure against closed forms."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from seg_perception.sensor_data.images.quality import exposure, image_weight, sharpness


def colour(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey.astype(np.uint8)[..., np.newaxis], 3, axis=-1)


def checkerboard(low: int, high: int) -> np.ndarray:
    row, col = np.mgrid[0:40, 0:60]
    return colour(np.where((row + col) % 2, low, high))


def test_an_even_image_has_no_sharpness() -> None:
    assert sharpness(colour(np.full((40, 60), 130))) == 0.0


def test_a_checkerboard_of_contrast_d_has_16_d_squared() -> None:
    # Four neighbours that differ by d: the Laplacian is plus or minus 4 d.
    assert sharpness(checkerboard(100, 110)) == pytest.approx(16 * 10**2)
    assert sharpness(checkerboard(100, 140)) == pytest.approx(16 * 40**2)


def test_noise_of_deviation_s_has_20_s_squared() -> None:
    # Five independent values with weights 1, 1, 1, 1 and -4.
    noise = np.random.default_rng(0).normal(128, 10, (400, 400))
    assert sharpness(colour(np.rint(noise))) == pytest.approx(20 * 10**2, rel=0.03)


def test_blur_reduces_sharpness_step_by_step() -> None:
    image = colour(np.random.default_rng(0).integers(0, 256, (80, 80)))
    values = [sharpness(image), *(sharpness(cv2.GaussianBlur(image, (0, 0), sigma)) for sigma in (0.5, 1.0, 2.0, 4.0))]
    assert values == sorted(values, reverse=True) and values[-1] < 0.001 * values[0]


def test_exposure_is_the_share_of_pixels_neither_black_nor_white() -> None:
    grey = np.full((10, 10), 128)
    grey[:3], grey[3:5] = 0, 255
    assert exposure(colour(grey)) == 0.5
    assert exposure(colour(np.tile([7, 8, 247, 248], (4, 1)))) == 0.5


def test_the_order_of_red_and_blue_does_not_matter() -> None:
    image = np.random.default_rng(1).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    for measure in (sharpness, exposure):
        assert measure(image) == measure(image[..., ::-1])


def test_the_weight_is_the_product_of_both_shares_and_at_most_one() -> None:
    image = checkerboard(0, 100)  # half of it black
    full = sharpness(image)
    assert image_weight(image, 4 * full, 1.0) == pytest.approx(1 / 4 * 1 / 2)
    assert image_weight(image, full / 2, 0.25) == 1.0
    assert image_weight(image, 4 * full, 0.0) == pytest.approx(1 / 4)
    assert image_weight(image, 0.0, 0.8) == pytest.approx(0.5 / 0.8)


def test_without_thresholds_every_image_has_full_weight() -> None:
    assert image_weight(colour(np.zeros((4, 4))), 0.0, 0.0) == 1.0


def test_a_covered_lens_has_no_weight() -> None:
    black = colour(np.zeros((40, 60)))
    assert image_weight(black, 100.0, 0.0) == image_weight(black, 0.0, 0.5) == 0.0
