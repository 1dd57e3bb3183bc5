"""Overhang correction: ground under an overhanging obstacle counts as obstacle, ground in front of it does not."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.grid_bounds import GridBounds
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.projection.flat_ground.overhang import correct_overhang
from seg_perception.projection.flat_ground.projection import FlatGroundProjection
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.settings.ground import GroundSettings

SETTINGS = GroundSettings(max_samples=2000)
HEIGHT, FRONT = 0.75, 4.0
CAMERA = Camera.from_fields(160, 120, "plumb_bob", [130.0, 0, 79.5, 0, 130.0, 59.5, 0, 0, 1], [])
EYE = mount_to_base_from_optical(0.0, 0.0, HEIGHT, 0.0, 0.06, 0.0)
YAML = """
misclassification: {default: 1, correct: 0}
traverse: {Road: 0, Car: 2540}
standing: [Car]
ignore: []
"""


def matrix(tmp_path: Path, overhang: str) -> CostMatrix:
    path = tmp_path / "matrix.yaml"
    path.write_text(YAML + overhang, "utf-8")
    return CostMatrix.load(path, ["Road", "Car"])


@pytest.mark.parametrize("underside", [0.0, 0.15, 0.3])
def test_a_car_is_marked_from_its_front_on_whatever_its_overhang(tmp_path: Path, underside: float) -> None:
    """A car that fills the view: a line of sight to x passes its front at the height h (1 - front / x)."""
    projection = FlatGroundProjection.at(CAMERA, EYE, SETTINGS)
    x = projection.samples.points[..., 0]
    is_car = (x > FRONT) & (HEIGHT * (1 - FRONT / np.maximum(x, FRONT)) > underside)
    probabilities = np.stack([~is_car, is_car], axis=-1).astype(np.float32).reshape(-1, 2)
    bounds = GridBounds(-50, 0, 100, 100, 0.1)
    rules = matrix(tmp_path, "overhang: {Car: 0.3}")
    corrected = projection.evidence(probabilities, rules, bounds, Transform.from_xyz_rpy(0, 0, 0, 0, 0, 0), 1.0)
    ahead = np.abs(corrected.centres[:, 1]) < 0.5
    distance, car = corrected.centres[ahead, 0], corrected.probabilities[ahead, 1]
    assert (car[(distance > FRONT + 0.1) & (distance < FRONT + 0.4)] == 1).all()
    assert not (car[distance < FRONT * (1 - 0.3 / HEIGHT) - 0.1]).any(), (
        "ground nearer than the overhang allows is free"
    )
    plain = projection.evidence(
        probabilities, matrix(tmp_path, ""), bounds, Transform.from_xyz_rpy(0, 0, 0, 0, 0, 0), 1.0
    )
    free = plain.probabilities[:, 1] == 0
    assert (free & (plain.centres[:, 0] > FRONT + 0.1)).any() == (underside > 0), (
        "without the correction it would be free"
    )


@pytest.mark.slow
def test_every_bin_takes_the_sample_that_a_plain_loop_gives() -> None:
    rng = np.random.default_rng(3)
    ranges = SETTINGS.ranges[:40]
    for _ in range(20):
        probabilities = rng.dirichlet([2.0, 0.3, 0.3], (5, 40)).astype(np.float32)
        in_image = rng.random((5, 40)) > 0.1
        standing, overhang = np.array([False, True, True]), np.array([0.0, 0.3, 0.0], np.float32)
        got = correct_overhang(probabilities, standing, overhang, in_image, ranges, HEIGHT, SETTINGS)
        for b in range(5):
            blocking = [r for r in range(40) if in_image[b, r] and probabilities[b, r, 1:].sum() >= 0.5]
            for r in range(40):
                wanted = b * 40 + r
                if blocking and r < blocking[0] and in_image[b, r]:
                    first = probabilities[b, blocking[0]]
                    hangs = 0.3 * first[1] / (first[1] + first[2])
                    if ranges[r] + 0.05 >= ranges[blocking[0]] * (1 - hangs / HEIGHT):
                        wanted = b * 40 + blocking[0]
                assert got[b, r] == wanted


def test_a_camera_below_the_underside_does_not_block_all_ground_in_front_of_a_wheel() -> None:
    ranges = np.arange(0.5, 6.0, 0.1)
    probabilities = np.zeros((1, ranges.size, 2), np.float32)
    probabilities[0, :, 0], probabilities[0, 40:] = 1.0, (0.0, 1.0)
    whole = np.ones((1, ranges.size), np.bool_)
    overhang, standing = np.array([0.0, 0.5], np.float32), np.array([False, True])
    source = correct_overhang(probabilities, standing, overhang, whole, ranges, 0.2, SETTINGS)
    own = source[0] == np.arange(ranges.size)
    assert own[ranges < ranges[40] / 2 - 0.1].all() and math.isclose(ranges[40], 4.5)
