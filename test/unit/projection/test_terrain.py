"""The parts of measured ground against slow second implementations and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.depth_scenes import BOX, FAR, block, ground, photograph

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.projection.flat_ground.sampling import GroundSettings
from seg_perception.projection.in_cell_probability import within
from seg_perception.projection.range.cloud_points import cloud_points
from seg_perception.projection.range.depth_points import depth_points
from seg_perception.projection.range.ground_heights import follow_ground
from seg_perception.projection.range.projection import MeasuredLook
from seg_perception.projection.range.terrain import Kind, Surface, read_surface
from seg_perception.settings.projection import ProjectionSettings

CAMERA = Camera.from_fields(160, 120, "plumb_bob", [120, 0, 79.5, 0, 120, 59.5, 0, 0, 1], [])
FISHEYE = Camera.from_fields(160, 120, "equidistant", [60.0, 0, 79.5, 0, 60.0, 59.5, 0, 0, 1], [0.01, 0, 0, 0])
MOUNT = mount_to_base_from_optical(0.1, 0.2, 1.0, 0.05, 0.4, 0.3)
SETTINGS = ProjectionSettings()
RANGES = 0.5 + 0.1 * np.arange(60)


def ground_along(heights: np.ndarray, chosen: ProjectionSettings) -> list[bool]:
    """One bearing, written from the definitions: every bound anew from all the ground before, nothing carried along."""
    limit = math.tan(chosen.max_slope)
    reach = RANGES[:, np.newaxis] - RANGES
    near = (np.abs(reach) > 0.05) & (np.abs(reach) < chosen.max_gap + 0.05)
    agree = np.abs(heights[:, np.newaxis] - heights) <= limit * np.abs(reach) + chosen.height_noise
    continued = (near & agree).any(axis=1)
    ground: list[tuple[float, float]] = [(0.5, 0.0)]  # the robot's own footing
    slope, found = 0.0, []
    for index, (distance, height) in enumerate(zip(RANGES, heights, strict=True)):
        last, at = ground[-1]
        upper = min(z + limit * (distance - r) for r, z in ground) + chosen.height_noise
        lower = max(z - limit * (distance - r) for r, z in ground) - chosen.height_noise
        fall, rise = chosen.max_step, chosen.max_step + limit * chosen.max_gap
        if len(ground) == 1:
            fall = rise = 2.0 * limit
        off = height - at - slope * (distance - last)
        expected = abs(off) <= chosen.max_step or (continued[index] and -fall <= off <= rise)
        found.append(bool(lower <= height <= upper and expected))
        if found[-1]:
            gap = distance - last
            newest = (height - at) / max(gap, 1e-3)
            slope = min(max(slope + min(gap, 1.0) * (newest - slope), -limit), limit)
            ground.append((distance, height))
    return found


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_ground_is_what_can_be_reached_at_the_slope_limit_from_all_ground_before_it(seed: int) -> None:
    """Hills, steps up and down, and stretches that nobody measured."""
    generator = np.random.default_rng(seed)
    walk = np.cumsum(generator.normal(0, 0.02, RANGES.size) + (generator.random(RANGES.size) < 0.1) * 0.3)
    heights = np.where(generator.random(RANGES.size) < 0.2, walk - 0.25, walk)
    heights[generator.random(RANGES.size) < 0.3] = np.nan
    # On the edge of a bound float32 may decide either way.
    expected = ground_along(heights, SETTINGS)
    for nudge in (-1e-5, 1e-5):
        assume(ground_along(heights + nudge, SETTINGS) == expected)
    traced = follow_ground(np.float32([heights] * 3), RANGES, SETTINGS)
    assert traced.found[1].tolist() == expected
    np.testing.assert_allclose(traced.height[1][expected], heights[expected], atol=1e-6)


def test_a_slope_is_believed_to_go_on_behind_what_hides_it_and_a_drop_is_not_a_slope() -> None:
    fall = -0.15 * (RANGES - 0.5)
    hidden = (RANGES > 2.5) & (RANGES < 4.5)
    traced = follow_ground(np.float32([np.where(hidden, np.nan, fall)] * 3), RANGES, SETTINGS)
    assert traced.found[1][~hidden].all()
    np.testing.assert_allclose(traced.height[1], fall, atol=SETTINGS.max_step)
    np.testing.assert_allclose(traced.slope[1][20:], -0.15, atol=0.02)
    edge = np.where(RANGES < 2.5, 0.0, -0.3)
    dropped = follow_ground(np.float32([np.where(hidden, np.nan, edge)] * 3), RANGES, SETTINGS)
    assert dropped.found[1][RANGES < 2.5].all() and not dropped.found[1][RANGES > 2.5].any()


def test_a_reading_that_nothing_on_its_bearing_continues_is_no_ground() -> None:
    """What a level beam meets may be a wall; two readings that a robot could drive up may be a ramp."""
    heights = np.full((5, RANGES.size), np.nan, np.float32)
    heights[:, :5], heights[:, 31] = 0.0, 0.15
    assert not follow_ground(heights, RANGES, SETTINGS).found[:, 31].any()
    heights[3, 34] = 0.2
    assert follow_ground(heights, RANGES, SETTINGS).found[:, 31].tolist() == [False, False, False, True, False]


def test_the_probability_to_stay_in_a_cell_is_that_of_the_normal_distribution() -> None:
    spread = np.array([0.0, 1e-3, 0.02, 0.05, 0.1, 1.0, 50.0])
    expected = [1.0, *(math.erf(0.1 / (2 * math.sqrt(2) * value)) for value in spread[1:])]
    np.testing.assert_allclose(within(0.1, spread), expected, atol=6e-4)


@pytest.mark.parametrize("camera", [CAMERA, FISHEYE], ids=["pinhole", "fisheye"])
@pytest.mark.parametrize("most", [10**6, 3000, 500])
def test_every_point_of_a_depth_image_lies_on_the_ray_of_its_pixel(camera: Camera, most: int) -> None:
    depth, _ = photograph([ground(), block((3, 4), (-1, 1), (0, 0.8), BOX)], camera, MOUNT)
    points = depth_points(depth, camera, MOUNT, None, ProjectionSettings(max_points=most))
    assert 0.3 * min(most, np.isfinite(depth).sum()) < len(points.xyz) <= most
    pixels, inside = camera.project(MOUNT.inverse().apply(points.xyz))
    assert inside.all() and points.has_class.all()
    np.testing.assert_allclose((2 * pixels + 1) / [160, 120] - 1, points.cells, atol=1e-4)
    u, v = np.rint(pixels).astype(int).T
    np.testing.assert_allclose(MOUNT.inverse().apply(points.xyz)[:, 2], depth[v, u], rtol=1e-5)
    np.testing.assert_allclose(points.error, 0.002 * depth[v, u] ** 2, rtol=1e-5)


def test_pixels_between_a_thing_and_what_is_behind_it_are_dropped_and_thin_things_are_not() -> None:
    depth = np.full((120, 160), 5.0, np.float32)
    depth[:, 50], depth[:, 51:60], depth[:, 60] = 3.4, 2.0, 3.1  # the sensor mixes near and far at both edges
    depth[:, 100:102] = 2.0  # a pole two pixels wide
    points = depth_points(depth, CAMERA, Transform.identity(), None, ProjectionSettings(max_points=10**6))
    z = points.xyz[:, 2]
    assert set(np.round(z, 3)) == {2.0, 5.0}
    u = np.rint((points.cells[:, 0] + 1) * 80 - 0.5)
    assert {100.0, 101.0} <= set(u) and not {50.0, 60.0} & set(u)


def test_a_cloud_keeps_what_the_camera_sees_and_knows_what_it_does_not() -> None:
    look = mount_to_base_from_optical(0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
    sensor = Transform.from_xyz_rpy(0.0, 0.0, 1.5, 0.0, 0.0, 0.1)
    seen = np.array([[3.0, 0.0, 1.0], [3.1, 0.02, 0.98], [6.0, 0.0, 1.0], [6.0, 1.5, 0.2]])
    lost = np.array([[-3.0, 0.0, 1.0], [3.0, 5.0, 1.0]])
    nothing = [[np.nan, 0, 0], [0, np.inf, 0], [0, 0, 0]]
    cloud = np.concatenate([sensor.inverse().apply(np.concatenate([seen, lost])), nothing]).astype(np.float32)
    points = cloud_points(cloud, sensor, CAMERA, look, SETTINGS)
    np.testing.assert_allclose(points.xyz, seen, atol=1e-6)
    assert points.has_class.tolist() == [True, True, False, True], "the third is behind the first"
    assert points.origin.tolist() == [0.0, 0.0, 1.5] and (points.error == np.float32(0.02)).all()


def surface_of(bodies: list, chosen: GroundSettings) -> tuple[Surface, object]:
    depth, _ = photograph(bodies, CAMERA, MOUNT)
    points = depth_points(depth, CAMERA, MOUNT, None, SETTINGS)
    return read_surface(points, 1 / 120, chosen, SETTINGS), points


def test_heights_and_weights_of_flat_ground_are_those_of_the_formulas() -> None:
    chosen = GroundSettings(attitude_error=0.004, max_range=6.0)
    surface, _ = surface_of([ground()], chosen)
    seen = surface.kind == Kind.GROUND
    assert seen.mean() > 0.5 and np.abs(surface.height).max() < 2e-3
    column = int(np.flatnonzero(np.isclose(surface.ranges, 3.0))[0])
    for row in np.flatnonzero(seen[:, column]):
        distance = math.hypot(3.0, 1.0)
        pixel = 1 / (120 * math.sqrt(12))
        # Depth, and so its error, is measured along the optical axis.
        middle = np.append(surface.points[row, column], 0.0)
        error = 0.002 * MOUNT.inverse().apply(middle)[2] ** 2
        along, across = math.hypot(error, distance**2 * pixel), distance * math.hypot(0.004, pixel)
        expected = np.prod([math.erf(0.1 / (2 * math.sqrt(2) * spread)) for spread in (along, across)])
        assert surface.weight[row, column] == pytest.approx(expected, rel=0.05)
    means = [surface.weight[:, index][seen[:, index]].mean() for index in range(15, 50, 5)]
    assert (np.diff(means) < 0).all(), "the further, the less sure"


@pytest.mark.parametrize("most", [1, 7, 60, 400, 4000])
def test_no_more_samples_are_asked_for_than_the_network_takes(most: int) -> None:
    surface, points = surface_of([ground(), block((3, 3.5), (-FAR, 0.3), (0, 0.8), BOX)], GroundSettings())
    look = MeasuredLook.at(points, surface, most)
    assert len(look.cells) <= most and look.sample.max() == len(look.cells) - 1
    asked = look.sample.reshape(surface.kind.shape) >= 0
    assert not asked[(surface.kind != Kind.GROUND) & (surface.kind != Kind.OBSTACLE)].any()
    if most >= 400:
        assert asked[surface.kind == Kind.OBSTACLE].all() and asked[surface.kind == Kind.GROUND].all()
