"""The simulator's images, labels, depth and maps are exact, and the same seed gives the same bytes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from seg_perception.errors import ConfigError, RecordingError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.recordings.readers.open_recording import SourceOptions, open_recording
from seg_perception.sensor_data.frame import Frame
from seg_perception.simulation.conditions import Conditions
from seg_perception.simulation.drive import Drive, Scenario
from seg_perception.simulation.drive_bag import write_drive
from seg_perception.simulation.labels import NO_LABEL, Label
from seg_perception.simulation.rendering.render import render, render_ground_truth
from seg_perception.simulation.views import training_views
from seg_perception.simulation.world.people import person
from seg_perception.simulation.world.solids import Material, SurfaceType, box
from seg_perception.simulation.world.street import Side, Street, Zone
from seg_perception.simulation.world.world import World

_SIDE = Side(road=3.5, verge=1.0, pavement=2.0, paving=Zone.SLABS, beyond=Zone.GRASS)
BASE_FROM_OPTICAL = mount_to_base_from_optical(0.0, 0.0, 1.2, 0.0, 0.1, 0.0)


def _pinhole(width: int = 160, height: int = 120) -> Camera:
    k = [120.0, 0, (width - 1) / 2, 0, 120.0, (height - 1) / 2, 0, 0, 1]
    return Camera.from_fields(width, height, "plumb_bob", k, [])


def _fisheye() -> Camera:
    return Camera.from_fields(160, 120, "equidistant", [60.0, 0, 79.5, 0, 60.0, 59.5, 0, 0, 1], [0.01, 0, 0, 0])


def _world_with_box(low: np.ndarray, high: np.ndarray) -> World:
    middle, half = (low + high) / 2, (high - low) / 2
    red = Material(SurfaceType.PLAIN, (0.6, 0.1, 0.1))
    solid = box((middle[0], middle[1]), (half[0], half[1]), (low[2], high[2]), Label.CAR, red)
    return World(Street(_SIDE, _SIDE), (solid,), Conditions())


@pytest.mark.parametrize("camera", [_pinhole(), _fisheye()], ids=["pinhole", "fisheye"])
def test_a_box_covers_exactly_the_pixels_whose_rays_hit_it_at_their_true_depth(camera: Camera) -> None:
    low, high = np.array([6.0, -1.5, 0.0]), np.array([7.0, 0.5, 1.4])
    view = render(_world_with_box(low, high), camera, BASE_FROM_OPTICAL)
    v, u = np.mgrid[0 : camera.height, 0 : camera.width]
    rays, valid = camera.rays(np.stack([u, v], axis=-1).astype(float))
    directions = rays @ BASE_FROM_OPTICAL.rotation.T
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (low - BASE_FROM_OPTICAL.translation) / directions, (high - BASE_FROM_OPTICAL.translation) / directions
        near, far = np.minimum(a, b).max(axis=-1), np.maximum(a, b).min(axis=-1)
        ground = -BASE_FROM_OPTICAL.translation[2] / directions[..., 2]
    inside = valid & (near < far - 1e-3) & (far > 0)
    outside = valid & ~((near < far + 1e-3) & (far > 0))
    assert inside.sum() > 200
    assert (view.labels[inside] == Label.CAR).all() and (view.labels[outside] != Label.CAR).all()
    np.testing.assert_allclose(view.depth[inside], (near * rays[..., 2])[inside], rtol=1e-3)
    floor = outside & (directions[..., 2] < -0.05)
    np.testing.assert_allclose(view.depth[floor], (ground * rays[..., 2])[floor], rtol=1e-3)
    sky = outside & (directions[..., 2] > 0.01)
    assert (view.labels[sky] == Label.SKY).all() and np.isinf(view.depth[sky]).all()
    assert (view.labels[~valid] == NO_LABEL).all()


def test_a_box_behind_the_camera_is_not_rendered() -> None:
    view = render(
        _world_with_box(np.array([-7.0, -1.0, 0.0]), np.array([-6.0, 1.0, 2.0])), _pinhole(), BASE_FROM_OPTICAL
    )
    assert not (view.labels == Label.CAR).any()


def test_the_true_map_marks_every_cell_that_a_footprint_overlaps_and_no_other() -> None:
    low, high = np.array([2.05, -0.55, 0.0]), np.array([3.35, 0.55, 1.0])
    classes = _world_with_box(low, high).true_classes((0.0, -5.0), 0.1, 100, 100)
    row, col = np.mgrid[0:100, 0:100]
    x, y = col * 0.1, -5.0 + row * 0.1
    slack = 1e-6
    overlaps = (x < high[0] - slack) & (x + 0.1 > low[0] + slack) & (y < high[1] - slack) & (y + 0.1 > low[1] + slack)
    assert np.array_equal(classes == Label.CAR, overlaps)


def test_an_object_above_the_clearance_is_no_obstacle() -> None:
    world = _world_with_box(np.array([2.0, -0.5, 2.5]), np.array([3.0, 0.5, 3.0]))
    assert not (world.true_classes((0.0, -5.0), 0.1, 100, 100) == Label.CAR).any()
    assert (world.true_classes((0.0, -5.0), 0.1, 100, 100, clearance=2.6) == Label.CAR).any()


def test_people_stand_on_the_ground_in_every_stride() -> None:
    for seed, phase in enumerate(np.linspace(0.0, 2 * math.pi, 16)):
        lowest = min(part.corners()[:, 2].min() for part in person(np.random.default_rng(seed), phase))
        assert abs(lowest) < 0.03, "a shin may dip a little, for its end is round"


@pytest.mark.slow
def test_the_same_seed_gives_the_same_views_and_another_seed_others() -> None:
    first, again, other = (next(iter(training_views(seed, 1, _pinhole()))) for seed in (5, 5, 6))
    assert np.array_equal(first.rgb, again.rgb) and np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.labels, other.labels)
    assert set(np.unique(first.labels)) <= set(range(12))


@pytest.mark.slow
def test_a_drive_becomes_a_bag_that_reads_back_with_its_poses(tmp_path: Path) -> None:
    scenario = Scenario(_pinhole(), seed=3, duration=0.5, fps=10.0)
    write_drive(tmp_path / "drive", scenario, ground_truth=True)
    drive = Drive(scenario)
    with open_recording(str(tmp_path / "drive"), SourceOptions(image_topics=("/camera/image_raw",))) as recording:
        frames = [item for item in recording.frames() if isinstance(item, Frame)]
        assert recording.has_poses
    assert [frame.stamp_ns for frame in frames] == scenario.stamps_ns
    actual = list(drive.frames())
    for frame, expected in zip(frames, actual, strict=True):
        assert np.array_equal(frame.image, expected.view.rgb)
        pose: Transform = expected.odom_from_base
        np.testing.assert_allclose(frame.odom_from_base.translation, pose.translation, atol=1e-3)
        np.testing.assert_allclose(frame.odom_from_base.rotation, pose.rotation, atol=1e-3)
    moved = np.linalg.norm(frames[-1].odom_from_base.translation - frames[0].odom_from_base.translation)
    assert moved > 1.0, "a car drives"
    with pytest.raises(RecordingError, match="does not exist yet"):
        write_drive(tmp_path / "drive", scenario)


def test_ground_truth_without_image_equals_that_of_render() -> None:
    world = _world_with_box(np.array([4.0, -0.5, 0.0]), np.array([5.0, 0.5, 1.0]))
    view, (labels, depth) = (
        render(world, _pinhole(), BASE_FROM_OPTICAL),
        render_ground_truth(world, _pinhole(), BASE_FROM_OPTICAL),
    )
    assert np.array_equal(view.labels, labels) and np.array_equal(view.depth, depth)
    assert Label.CAR in labels


def test_impossible_drives_are_refused_in_one_sentence() -> None:
    with pytest.raises(ConfigError, match="cannot be made"):
        Scenario(_pinhole(), duration=-1.0)
    with pytest.raises(ConfigError, match="robot 'boat' is not known"):
        Scenario(_pinhole(), robot="boat")  # type: ignore[arg-type]
    assert math.isclose(Scenario(_pinhole(), duration=2.0, fps=5.0).duration, 2.0)
