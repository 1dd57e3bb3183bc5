"""Ground heights, points and terrain against slow reference implementations and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.depth_scenes import BOX, FAR, block, ground, render_depth

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.projection.in_cell_probability import in_cell_probability
from seg_perception.projection.range.cloud_points import cloud_points
from seg_perception.projection.range.depth_points import depth_points
from seg_perception.projection.range.ground_heights import estimate_ground
from seg_perception.projection.range.projection import RangeProjection
from seg_perception.projection.range.terrain import Terrain, TerrainKind, classify_terrain
from seg_perception.settings.ground import GroundSettings
from seg_perception.settings.projection import ProjectionSettings

CAMERA = Camera.from_fields(160, 120, "plumb_bob", [120, 0, 79.5, 0, 120, 59.5, 0, 0, 1], [])
FISHEYE = Camera.from_fields(160, 120, "equidistant", [60.0, 0, 79.5, 0, 60.0, 59.5, 0, 0, 1], [0.01, 0, 0, 0])
EXTRINSICS = mount_to_base_from_optical(0.1, 0.2, 1.0, 0.05, 0.4, 0.3)
SETTINGS = ProjectionSettings()
RANGES = 0.5 + 0.1 * np.arange(60)


def ground_along(heights: np.ndarray, config: ProjectionSettings) -> list[bool]:
    """Reference for one bearing: each bound is computed from all nearer ground, without any state."""
    limit = math.tan(config.max_slope)
    reach = RANGES[:, np.newaxis] - RANGES
    near = (np.abs(reach) > 0.05) & (np.abs(reach) < config.max_gap + 0.05)
    agree = np.abs(heights[:, np.newaxis] - heights) <= limit * np.abs(reach) + config.height_noise
    continued = (near & agree).any(axis=1)
    ground: list[tuple[float, float]] = [(0.5, 0.0)]  # the robot's own footing
    slope, found = 0.0, []
    for index, (distance, height) in enumerate(zip(RANGES, heights, strict=True)):
        last, at = ground[-1]
        upper = min(z + limit * (distance - r) for r, z in ground) + config.height_noise
        lower = max(z - limit * (distance - r) for r, z in ground) - config.height_noise
        fall, rise = config.max_step, config.max_step + limit * config.max_gap
        if len(ground) == 1:
            fall = rise = 2.0 * limit
        off = height - at - slope * (distance - last)
        expected = abs(off) <= config.max_step or (continued[index] and -fall <= off <= rise)
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
    """Hills, steps up and down, and gaps without measurements."""
    generator = np.random.default_rng(seed)
    profile = np.cumsum(generator.normal(0, 0.02, RANGES.size) + (generator.random(RANGES.size) < 0.1) * 0.3)
    heights = np.where(generator.random(RANGES.size) < 0.2, profile - 0.25, profile)
    heights[generator.random(RANGES.size) < 0.3] = np.nan
    # Exactly at a bound, float32 may decide either way.
    expected = ground_along(heights, SETTINGS)
    for nudge in (-1e-5, 1e-5):
        assume(ground_along(heights + nudge, SETTINGS) == expected)
    traced = estimate_ground(np.float32([heights] * 3), RANGES, SETTINGS)
    assert traced.found[1].tolist() == expected
    np.testing.assert_allclose(traced.height[1][expected], heights[expected], atol=1e-6)


def test_a_slope_is_extrapolated_behind_what_hides_it_and_a_drop_is_no_slope() -> None:
    fall = -0.15 * (RANGES - 0.5)
    hidden = (RANGES > 2.5) & (RANGES < 4.5)
    traced = estimate_ground(np.float32([np.where(hidden, np.nan, fall)] * 3), RANGES, SETTINGS)
    assert traced.found[1][~hidden].all()
    np.testing.assert_allclose(traced.height[1], fall, atol=SETTINGS.max_step)
    np.testing.assert_allclose(traced.slope[1][20:], -0.15, atol=0.02)
    edge = np.where(RANGES < 2.5, 0.0, -0.3)
    dropped = estimate_ground(np.float32([np.where(hidden, np.nan, edge)] * 3), RANGES, SETTINGS)
    assert dropped.found[1][RANGES < 2.5].all() and not dropped.found[1][RANGES > 2.5].any()


def test_a_point_that_nothing_on_its_bearing_continues_is_not_ground() -> None:
    """A single point of a level beam may be a wall; two points within the slope limit may be a ramp."""
    heights = np.full((5, RANGES.size), np.nan, np.float32)
    heights[:, :5], heights[:, 31] = 0.0, 0.15
    assert not estimate_ground(heights, RANGES, SETTINGS).found[:, 31].any()
    heights[3, 34] = 0.2
    assert estimate_ground(heights, RANGES, SETTINGS).found[:, 31].tolist() == [False, False, False, True, False]


def test_the_in_cell_probability_is_that_of_the_normal_distribution() -> None:
    spread = np.array([0.0, 1e-3, 0.02, 0.05, 0.1, 1.0, 50.0])
    expected = [1.0, *(math.erf(0.1 / (2 * math.sqrt(2) * value)) for value in spread[1:])]
    np.testing.assert_allclose(in_cell_probability(0.1, spread), expected, atol=6e-4)


@pytest.mark.parametrize("camera", [CAMERA, FISHEYE], ids=["pinhole", "fisheye"])
@pytest.mark.parametrize("most", [10**6, 3000, 1000])
def test_every_point_of_a_depth_image_lies_on_the_ray_of_its_pixel(camera: Camera, most: int) -> None:
    depth, _ = render_depth([ground(), block((3, 4), (-1, 1), (0, 0.8), BOX)], camera, EXTRINSICS)
    points = depth_points(depth, camera, EXTRINSICS, None, ProjectionSettings(max_points=most))
    assert 0.3 * min(most, np.isfinite(depth).sum()) < len(points.xyz) <= most
    pixels, inside = camera.project(EXTRINSICS.inverse().apply(points.xyz))
    assert inside.all() and points.has_class.all()
    np.testing.assert_allclose((2 * pixels + 1) / [160, 120] - 1, points.sample_points, atol=1e-4)
    u, v = np.rint(pixels).astype(int).T
    np.testing.assert_allclose(EXTRINSICS.inverse().apply(points.xyz)[:, 2], depth[v, u], rtol=1e-5)
    np.testing.assert_allclose(points.error, 0.002 * depth[v, u] ** 2, rtol=1e-5)


def test_mixed_pixels_at_depth_edges_are_dropped_and_thin_objects_are_not() -> None:
    depth = np.full((120, 160), 5.0, np.float32)
    depth[:, 50], depth[:, 51:60], depth[:, 60] = 3.4, 2.0, 3.1  # the sensor mixes near and far at both edges
    depth[:, 100:102] = 2.0  # a pole two pixels wide
    points = depth_points(depth, CAMERA, Transform.identity(), None, ProjectionSettings(max_points=10**6))
    z = points.xyz[:, 2]
    assert set(np.round(z, 3)) == {2.0, 5.0}
    u = np.rint((points.sample_points[:, 0] + 1) * 80 - 0.5)
    assert {100.0, 101.0} <= set(u) and not {50.0, 60.0} & set(u)


def test_a_cloud_keeps_points_in_view_and_marks_those_hidden_from_the_camera() -> None:
    extrinsics = mount_to_base_from_optical(0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
    sensor = Transform.from_xyz_rpy(0.0, 0.0, 1.5, 0.0, 0.0, 0.1)
    seen = np.array([[3.0, 0.0, 1.0], [3.1, 0.02, 0.98], [6.0, 0.0, 1.0], [6.0, 1.5, 0.2]])
    lost = np.array([[-3.0, 0.0, 1.0], [3.0, 5.0, 1.0]])
    nothing = [[np.nan, 0, 0], [0, np.inf, 0], [0, 0, 0]]
    cloud = np.concatenate([sensor.inverse().apply(np.concatenate([seen, lost])), nothing]).astype(np.float32)
    points = cloud_points(cloud, sensor, CAMERA, extrinsics, SETTINGS)
    np.testing.assert_allclose(points.xyz, seen, atol=1e-6)
    assert points.has_class.tolist() == [True, True, False, True], "the third is behind the first"
    assert points.origin.tolist() == [0.0, 0.0, 1.5] and (points.error == np.float32(0.02)).all()


def terrain_of(bodies: list, config: GroundSettings) -> tuple[Terrain, object]:
    depth, _ = render_depth(bodies, CAMERA, EXTRINSICS)
    points = depth_points(depth, CAMERA, EXTRINSICS, None, SETTINGS)
    return classify_terrain(points, 1 / 120, config, SETTINGS), points


def test_heights_and_weights_of_flat_ground_are_those_of_the_formulas() -> None:
    config = GroundSettings(attitude_error=0.004, max_range=6.0)
    terrain, _ = terrain_of([ground()], config)
    seen = terrain.kind == TerrainKind.GROUND
    assert seen.mean() > 0.5 and np.abs(terrain.height).max() < 2e-3
    column = int(np.flatnonzero(np.isclose(terrain.ranges, 3.0))[0])
    for row in np.flatnonzero(seen[:, column]):
        distance = math.hypot(3.0, 1.0)
        pixel = 1 / (120 * math.sqrt(12))
        # Depth, and so its error, is measured along the optical axis.
        centre = np.append(terrain.points[row, column], 0.0)
        error = 0.002 * EXTRINSICS.inverse().apply(centre)[2] ** 2
        along, across = math.hypot(error, distance**2 * pixel), distance * math.hypot(0.004, pixel)
        expected = np.prod([math.erf(0.1 / (2 * math.sqrt(2) * spread)) for spread in (along, across)])
        assert terrain.weight[row, column] == pytest.approx(expected, rel=0.05)
    means = [terrain.weight[:, index][seen[:, index]].mean() for index in range(15, 50, 5)]
    assert (np.diff(means) < 0).all(), "weights fall with the distance"


@pytest.mark.parametrize("most", [1, 7, 60, 400, 4000])
def test_there_are_no_more_sample_points_than_the_network_takes(most: int) -> None:
    terrain, points = terrain_of([ground(), block((3, 3.5), (-FAR, 0.3), (0, 0.8), BOX)], GroundSettings())
    projection = RangeProjection.at(points, terrain, most)
    assert len(projection.sample_points) <= most and projection.sample.max() == len(projection.sample_points) - 1
    sampled = projection.sample.reshape(terrain.kind.shape) >= 0
    assert not sampled[(terrain.kind != TerrainKind.GROUND) & (terrain.kind != TerrainKind.OBSTACLE)].any()
    if most >= 400:
        assert sampled[terrain.kind == TerrainKind.OBSTACLE].all() and sampled[terrain.kind == TerrainKind.GROUND].all()
