from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg_perception.errors import ConfigError, GeometryError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.projection.flat_ground.sampling import GroundSamples, sample_ground
from seg_perception.projection.flat_ground.visibility import visibility
from seg_perception.projection.sample_points import to_sample_points
from seg_perception.settings.ground import GroundSettings

FOCAL, HEIGHT, AHEAD = 400.0, 1.0, 0.3
CAMERA = Camera(640, 480, "plumb_bob", np.array([[FOCAL, 0, 320], [0, FOCAL, 240], [0, 0, 1]]), ())
LEVEL = mount_to_base_from_optical(AHEAD, 0, HEIGHT, 0, 0, 0)
SETTINGS = GroundSettings(max_samples=10_000)
# Two classes: an obstacle class and ground.
STANDING = np.array([True, False])


def probabilities_of(standing: np.ndarray) -> np.ndarray:
    return np.stack([standing, 1 - standing], axis=-1).astype(np.float32)


def visibility_of(standing: list[float], in_image: list[bool] | None = None, **changes: float) -> list[float]:
    """Visibility along one bearing with samples at 1.0, 1.1, 1.2 ... m."""
    probabilities = probabilities_of(np.array([standing]))
    ranges = 1.0 + 0.1 * np.arange(len(standing))
    inside = np.array([in_image if in_image is not None else [True] * len(standing)])
    return visibility(probabilities, STANDING, inside, ranges, GroundSettings(**changes))[0].tolist()


def test_a_level_camera_sees_each_sample_where_similar_triangles_put_it() -> None:
    samples = sample_ground(CAMERA, LEVEL, SETTINGS)
    x, y = samples.points[..., 0] - AHEAD, samples.points[..., 1]
    expected = np.stack([320 - FOCAL * y / x, 240 + FOCAL * HEIGHT / x], axis=-1)
    np.testing.assert_allclose(samples.pixels, expected, atol=1e-9)
    inside = (np.abs(expected - [319.5, 239.5]) <= [320, 240]).all(axis=-1)
    np.testing.assert_array_equal(samples.in_image, inside)
    np.testing.assert_allclose(np.hypot(x, y), np.broadcast_to(samples.ranges, x.shape))
    # The bottom row of the image meets the ground at f h / 239.5 = 1.67 m.
    assert samples.ranges[samples.in_image.any(axis=0)].min() == pytest.approx(1.7)


@settings(max_examples=40, deadline=None)
@given(st.floats(-0.3, 0.3), st.floats(-0.05, 0.8), st.floats(-3.1, 3.1), st.floats(0.1, 2.0))
def test_the_ray_of_every_seen_sample_meets_the_ground_in_it(roll: float, pitch: float, yaw: float, z: float) -> None:
    footprint_from_optical = mount_to_base_from_optical(-0.4, 0.7, z, roll, pitch, yaw)
    samples = sample_ground(CAMERA, footprint_from_optical, GroundSettings(min_range=0.2))
    rays, valid = CAMERA.rays(samples.pixels[samples.in_image])
    directions = rays @ footprint_from_optical.rotation.T
    ground = footprint_from_optical.translation[:2] - z * directions[:, :2] / directions[:, 2:]
    assert valid.all()
    np.testing.assert_allclose(ground, samples.points[samples.in_image], atol=1e-6)


@pytest.mark.parametrize("yaw", [0.0, 1.0, math.pi, -2.5])
def test_bearings_fill_the_image_from_edge_to_edge(yaw: float) -> None:
    samples = sample_ground(CAMERA, mount_to_base_from_optical(0, 0, 1, 0, 0, yaw), SETTINGS)
    u = samples.pixels[..., 0][samples.in_image]
    assert u.min() < 5 and u.max() > 635
    assert samples.in_image.any(axis=1).all()


def test_a_camera_that_looks_straight_down_sees_all_around() -> None:
    samples = sample_ground(CAMERA, mount_to_base_from_optical(0, 0, 3, 0, math.pi / 2, 0), SETTINGS)
    nearest = samples.in_image[:, 0]
    assert nearest.all()
    spread = np.diff(np.append(samples.bearings, samples.bearings[0] + 2 * np.pi))
    np.testing.assert_allclose(spread, 2 * np.pi / SETTINGS.bearing_count)


def test_a_fisheye_whose_corners_see_nothing_still_finds_its_ground() -> None:
    fisheye = Camera(640, 480, "equidistant", np.array([[150.0, 0, 320], [0, 150, 240], [0, 0, 1]]), (0, 0, 0, 0))
    samples = sample_ground(fisheye, mount_to_base_from_optical(0, 0, 0.5, 0, 0.3, 0), SETTINGS)
    assert samples.bearings[-1] - samples.bearings[0] > math.radians(160)
    assert samples.in_image.mean() > 0.85


def test_the_number_of_samples_is_the_same_for_every_pose() -> None:
    shapes = {
        sample_ground(CAMERA, mount_to_base_from_optical(0, 0, z, 0, pitch, 0), SETTINGS).points.shape
        for z, pitch in ((0.3, 0.0), (1.5, 0.4), (2.0, math.pi / 2))
    }
    assert shapes == {(SETTINGS.bearing_count, SETTINGS.ranges.size, 2)}
    assert SETTINGS.bearing_count * SETTINGS.ranges.size <= SETTINGS.max_samples
    np.testing.assert_allclose(np.diff(SETTINGS.ranges), SETTINGS.resolution)
    assert SETTINGS.ranges[[0, -1]] == pytest.approx([SETTINGS.min_range, SETTINGS.max_range])


def test_weight_is_the_share_of_perturbed_attitudes_with_which_the_sample_stays_in_its_cell() -> None:
    shaky = GroundSettings(attitude_error=0.01)
    samples = sample_ground(CAMERA, LEVEL, shaky)
    pitch_error, yaw_error = np.random.default_rng(1).normal(0, 0.01, (2, 200_000))
    for index in (5, 15, 25, 35):
        distance = samples.ranges[index]
        landed = HEIGHT / np.tan(math.atan2(HEIGHT, distance) + pitch_error)
        sideways = math.hypot(distance, HEIGHT) * yaw_error
        share = ((np.abs(landed - distance) < 0.05) & (np.abs(sideways) < 0.05)).mean()
        assert samples.weight[0, index] == pytest.approx(share, abs=0.02)
    assert (np.diff(samples.weight, axis=1) <= 0).all() and samples.weight.dtype == np.float32


def box_labels(samples: GroundSamples, top: float) -> np.ndarray:
    """Obstacle probability, 0.95 or 0.02, of each sample's pixel: a box at x = 4 m, 1 m wide, 0.5 m deep."""
    ray = samples.points - samples.nadir
    hit = np.zeros(ray.shape[:2], dtype=bool)
    for depth in np.linspace(4.0, 4.5, 200):
        # Where the line from the camera to the sample is over the box, as a share of its length and as a height.
        share = (depth - samples.nadir[0]) / ray[..., 0]
        hit |= (share <= 1) & (HEIGHT * (1 - share) <= top) & (np.abs(share * ray[..., 1]) <= 0.5)
    return np.where(hit, 0.95, 0.02)


@pytest.mark.slow
@pytest.mark.parametrize("top", [2.0, 0.5], ids=["higher than the camera", "lower than the camera"])
def test_a_box_on_the_ground_marks_its_cells_and_hides_what_is_behind(top: float) -> None:
    samples = sample_ground(CAMERA, LEVEL, SETTINGS)
    standing = box_labels(samples, top)
    weight = visibility(probabilities_of(standing), STANDING, samples.in_image, samples.ranges, SETTINGS)
    x, y = samples.points[..., 0], samples.points[..., 1]
    through = np.abs(y) / (x - AHEAD) * (4.0 - AHEAD) < 0.48
    assert through.any(axis=1).sum() > 10
    np.testing.assert_allclose(weight[through & (x < 4.0) & samples.in_image], 0.98, atol=0.021)
    marked = weight[through & (x > 4.15) & (x < 4.35)]
    np.testing.assert_allclose(marked, 0.98, atol=1e-6)
    assert (weight[through & (x > 4.6)] == 0).all()
    # The camera sees the ground behind a low box and labels it free, but it must stay unknown.
    assert (standing[through & (x > 9.5)] < 0.5).all() == (top < HEIGHT)
    next_to_it = np.abs(y) / (x - AHEAD) * (4.0 - AHEAD) > 0.52
    np.testing.assert_allclose(weight[next_to_it & samples.in_image & (np.abs(y) > 0.8)], 0.98, atol=0.021)
    assert (weight[~samples.in_image] == 0).all()


def test_an_uncertain_obstacle_lowers_the_visibility_behind_it() -> None:
    np.testing.assert_allclose(visibility_of([0.0, 0.3, 0.1, 0.4, 0.0]), [1.0, 1.0, 0.7, 0.7, 0.6], atol=1e-6)


def test_an_obstacle_is_marked_for_its_depth_and_ends_visibility() -> None:
    standing = [0.0, 0.2, 0.9, 0.9, 0.9, 0.9, 0.9, 0.0]
    np.testing.assert_allclose(visibility_of(standing, standing_depth=0.25), [1, 1, 0.8, 0.8, 0.8, 0, 0, 0], atol=1e-6)


def test_within_the_depth_only_obstacle_samples_are_marked_never_free_ground() -> None:
    assert visibility_of([0.0, 1.0, 0.0, 1.0, 0.0], standing_depth=0.4) == [1.0, 1.0, 0.0, 1.0, 0.0]


def test_obstacle_classes_are_summed_before_the_threshold() -> None:
    probabilities = np.array([[[0.3, 0.3, 0.4], [0.0, 0.0, 1.0]]], dtype=np.float32)
    standing = np.array([True, True, False])
    weight = visibility(probabilities, standing, np.ones((1, 2), dtype=bool), np.array([1.0, 2.0]), SETTINGS)
    assert weight.tolist() == [[1.0, 0.0]]


def test_visibility_begins_inside_the_image_and_ends_where_the_bearing_leaves_it() -> None:
    inside = [False, False, True, True, False, True]
    assert visibility_of([0.0] * 6, inside) == [0, 0, 1, 1, 0, 0]


def test_probabilities_outside_of_the_image_have_no_effect() -> None:
    assert visibility_of([1.0, math.nan, 0.0, 0.0], [False, False, True, True]) == [0, 0, 1, 1]


def scan(standing: np.ndarray, inside: np.ndarray, ranges: np.ndarray, config: GroundSettings) -> np.ndarray:
    weight = np.zeros(standing.shape)
    for b in range(standing.shape[0]):
        occlusion, hit_at, started = 0.0, None, False
        for r in range(standing.shape[1]):
            if not inside[b, r]:
                if started:
                    break
                continue
            started = True
            blocks = standing[b, r] >= config.standing_threshold
            if hit_at is None and blocks:
                hit_at = ranges[r]
            if hit_at is None or (blocks and ranges[r] <= hit_at + config.standing_depth):
                weight[b, r] = 1 - occlusion
            if not blocks:
                occlusion = max(occlusion, standing[b, r])
    return weight


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 1.0), st.floats(0.01, 1.0))
def test_visibility_agrees_with_a_scan_sample_by_sample(seed: int, threshold: float, depth: float) -> None:
    rng = np.random.default_rng(seed)
    standing = (rng.random((6, 30)) ** rng.integers(1, 12)).astype(np.float32)
    inside = rng.random((6, 30)) < 0.97
    config = GroundSettings(standing_threshold=threshold, standing_depth=depth)
    ranges = 0.5 + 0.1 * np.arange(30)
    weight = visibility(probabilities_of(standing), STANDING, inside, ranges, config)
    assert weight.dtype == np.float32
    np.testing.assert_allclose(weight, scan(standing, inside, ranges, config), atol=1e-6)


def test_sample_points_reach_from_edge_to_edge() -> None:
    pixels = np.array([[-0.5, -0.5], [639.5, 479.5], [319.5, 239.5], [0.0, 0.0]])
    points = to_sample_points(pixels, 640, 480)
    np.testing.assert_allclose(points, [[-1, -1], [1, 1], [0, 0], [1 / 640 - 1, 1 / 480 - 1]], atol=1e-7)
    assert points.dtype == np.float32


def test_a_camera_in_the_ground_or_under_it_is_refused() -> None:
    with pytest.raises(GeometryError, match="z above 0"):
        sample_ground(CAMERA, mount_to_base_from_optical(0, 0, 0, 0, 0.2, 0), SETTINGS)


@pytest.mark.parametrize("pitch", [-0.8, -math.pi / 2])
def test_a_camera_that_looks_above_the_ground_is_refused(pitch: float) -> None:
    with pytest.raises(GeometryError, match="degrees down; check the extrinsics"):
        sample_ground(CAMERA, mount_to_base_from_optical(0, 0, 1, 0, pitch, 0), SETTINGS)


def test_a_camera_that_sees_only_ground_beyond_the_last_range_is_refused() -> None:
    with pytest.raises(GeometryError, match=r"no ground between 0\.5 and 10 m"):
        sample_ground(CAMERA, mount_to_base_from_optical(0, 0, 30, 0, 0, 0), SETTINGS)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"resolution": 0.0}, "resolution"),
        ({"attitude_error": math.nan}, "attitude_error"),
        ({"max_range": 0.4}, "max_range"),
        ({"max_samples": 100}, "max_samples"),
        ({"standing_threshold": 1.5}, "standing_threshold"),
        ({"standing_depth": -1.0}, "standing_depth"),
    ],
)
def test_invalid_settings_are_named(changes: dict[str, float], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"ground\.{key} (is|must)"):
        GroundSettings(**changes)


def test_one_frame_takes_a_few_milliseconds() -> None:
    rng = np.random.default_rng(0)
    samples = sample_ground(CAMERA, LEVEL, SETTINGS)
    probabilities = rng.dirichlet(np.ones(12), samples.in_image.shape).astype(np.float32)
    standing = np.arange(12) % 3 == 0
    times = []
    for index in range(20):
        pose = Transform.from_xyz_rpy(0, 0, 0, 0, 0.001 * index, 0) @ LEVEL
        start = time.perf_counter()
        samples = sample_ground(CAMERA, pose, SETTINGS)
        visibility(probabilities, standing, samples.in_image, samples.ranges, SETTINGS)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.006  # 0.9 ms on an idle core of 2024; the rest is for slow and busy machines
