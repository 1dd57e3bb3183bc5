"""Visualization maps: colours match the numbers and differ for every kind of colour vision."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from seg_perception.utils.visualization import COST_COLOURS, colourise, cost_image, costmap_image, overlay

COLOURS = np.array([[128, 64, 128], [0, 0, 142], [250, 170, 30]], np.uint8)
FREE, HIGHEST_GRADED, LETHAL, UNKNOWN = 0, 252, 254, 255

# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency", IEEE TVCG
# 15(6), 2009, severity 1.0; they act on linear RGB.
VISION = {
    "full colour vision": np.eye(3),
    "no red cones": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green cones": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "no blue cones": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def labels_with_gap() -> NDArray[np.uint8]:
    labels = np.random.default_rng(0).integers(0, 3, (20, 30), dtype=np.uint8)
    labels[:4] = 255
    return labels


def test_each_label_gets_the_colour_of_its_class_and_no_label_is_black() -> None:
    labels = labels_with_gap()
    coloured = colourise(labels, COLOURS)
    np.testing.assert_array_equal(coloured[4:], COLOURS[labels[4:]])
    assert not coloured[:4].any()


def test_the_overlay_blends_class_colours_in_bgr_and_leaves_unlabelled_pixels_alone() -> None:
    labels = labels_with_gap()
    image = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    before = image.copy()
    blended = overlay(image, labels, COLOURS, 0.25)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(blended[:4], image[:4])
    expected = 0.75 * image[4:] + 0.25 * COLOURS[labels[4:]][..., ::-1]
    np.testing.assert_allclose(blended[4:], expected, atol=0.51)


def test_a_costmap_cell_has_the_colour_of_the_cost_that_nav2_reads_from_it() -> None:
    values = np.array([[-1, 0, 50], [98, 100, -1]], np.int8)
    costs = np.array([[UNKNOWN, FREE, 127], [249, LETHAL, UNKNOWN]], np.uint8)
    np.testing.assert_array_equal(costmap_image(values), cost_image(costs))


@pytest.mark.parametrize("vision", VISION)
def test_free_expensive_lethal_and_unknown_differ_for_every_kind_of_colour_vision(vision: str) -> None:
    srgb = COST_COLOURS[[FREE, HIGHEST_GRADED, LETHAL, UNKNOWN]] / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(VISION[vision]).T, 0, 1)
    seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = cv2.cvtColor(seen[np.newaxis].astype(np.float32), cv2.COLOR_RGB2LAB)[0]
    distance = np.linalg.norm(lab[:, np.newaxis] - lab, axis=-1)
    # CIE 1976 colour difference: 2.3 is just noticeable, 20 is plainly another colour.
    assert distance[np.triu_indices(4, k=1)].min() > 20


@pytest.mark.slow
def test_graded_costs_never_jump_in_colour() -> None:
    lab = cv2.cvtColor(COST_COLOURS[np.newaxis, :254].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    assert np.linalg.norm(np.diff(lab, axis=0), axis=-1).max() < 2.3
