"""Each degradation changes what it names, is reproducible, and leaves everything else unchanged."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.simulation.sensors.degradation import (
    DEGRADATIONS,
    DriftingOdometry,
    SensorDegradation,
    measured_from_actual,
)

MOUNT = mount_to_base_from_optical(0.3, 0.0, 1.2, 0.0, 0.1, 0.0)
POSE = Transform.from_xyz_rpy(3.0, -2.0, 0.0, 0.0, 0.0, 0.4)


def _depression(odom_from_optical: Transform) -> float:
    return -math.asin(odom_from_optical.rotation[2, 2])


def test_a_clear_day_degrades_nothing() -> None:
    seen = DEGRADATIONS["day"].actual_odom_from_optical(POSE, MOUNT)
    np.testing.assert_allclose(seen.rotation, (POSE @ MOUNT).rotation, atol=1e-12)
    image = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    assert np.array_equal(DEGRADATIONS["day"].degrade(image, 1), image)
    assert all(DEGRADATIONS["day"].arrives(number, 1) for number in range(50))


@pytest.mark.parametrize(("name", "degrees"), [("pitch_0.5", 0.5), ("pitch_1", 1.0), ("pitch_2", 2.0)])
def test_a_pitch_error_lowers_the_view_about_the_camera(name: str, degrees: float) -> None:
    seen = DEGRADATIONS[name].actual_odom_from_optical(POSE, MOUNT)
    assert math.degrees(_depression(seen) - _depression(POSE @ MOUNT)) == pytest.approx(degrees)
    np.testing.assert_allclose(seen.translation, (POSE @ MOUNT).translation, atol=1e-12)


def test_a_slope_ahead_projects_further_away_on_flat_ground() -> None:
    """The middle ray meets a ramp of 3° at h / (tan(dip) + tan(3°)), and meets the assumed flat ground further on."""
    seen = DEGRADATIONS["slope"].actual_odom_from_optical(Transform.identity(), MOUNT)
    origin, ray = seen.translation, seen.rotation[:, 2]
    along = origin + ray * (-origin[2] / ray[2])  # on the ramp, measured along it
    # By hand, in the flat frame: the camera at (0.3, 1.2) looks 0.1 rad down, the ramp rises from the origin.
    x = (1.2 + 0.3 * math.tan(0.1)) / (math.tan(0.1) + math.tan(math.radians(3.0)))
    assert along[0] == pytest.approx(x / math.cos(math.radians(3.0)))


def test_drifting_odometry_is_three_percent_long_and_turns_and_no_drift_is_exact() -> None:
    start = Transform.identity()
    drifting, true = DriftingOdometry(start, SensorDegradation(drift=1.0)), DriftingOdometry(start, SensorDegradation())
    for step in range(1, 101):
        pose = Transform.from_xyz_rpy(0.1 * step, 0.0, 0.0, 0.0, 0.0, 0.0)
        measured, same = drifting.measure(pose), true.measure(pose)
    np.testing.assert_allclose(same.translation, pose.translation, atol=1e-9)
    turn = math.radians(2.0)
    assert measured.rpy()[2] == pytest.approx(turn)
    # A circle's arc of 10.3 m that turns by 2 degrees in all.
    np.testing.assert_allclose(
        measured.translation[:2], 10.3 / turn * np.array([math.sin(turn), 1 - math.cos(turn)]), atol=0.01
    )
    moved = measured_from_actual(measured, pose).apply(pose.translation)
    np.testing.assert_allclose(moved, measured.translation, atol=1e-9)


def test_dirt_is_fixed_on_the_lens_and_leaves_most_of_the_image() -> None:
    image = np.full((90, 120, 3), 200, np.uint8)
    dirty = DEGRADATIONS["occlusion"].degrade(image, 4)
    assert np.array_equal(dirty, DEGRADATIONS["occlusion"].degrade(image, 4))
    changed = np.mean(np.abs(dirty.astype(int) - 200).max(axis=-1) > 5)
    assert 0.05 < changed < 0.6
    assert not np.array_equal(dirty, DEGRADATIONS["occlusion"].degrade(image, 5))


def test_about_half_of_the_images_are_dropped_but_never_the_first() -> None:
    arrived = [DEGRADATIONS["dropped"].arrives(number, 9) for number in range(400)]
    assert arrived[0] and 160 < sum(arrived) < 240


def test_weather_changes_only_the_named_conditions() -> None:
    day, dusk = (vars(DEGRADATIONS[name].weather(3)) for name in ("day", "dusk"))
    assert {key for key in day if day[key] != dusk[key]} == set(DEGRADATIONS["dusk"].conditions)
