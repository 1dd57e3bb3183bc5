"""Projection by depth and points through the whole pipeline, in scenes whose every height is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.depth_scenes import (
    BOX,
    FAR,
    GRASS,
    ROAD,
    Body,
    block,
    ground,
    ground_with_hole,
    render_depth,
    scan,
    slope,
    table,
)
from support.label_image_engine import label_image_engine, three_class_matrix
from support.range_frames import (
    AZIMUTHS,
    CAMERA,
    ELEVATIONS,
    EXTRINSICS,
    HERE,
    LIDAR,
    SETTINGS,
    STAMP,
    cells_within,
    is_free,
    with_depth,
    with_points,
)

from seg_perception.errors import GeometryError
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.pipeline.pipeline import Pipeline
from seg_perception.pipeline.result import Result, field_of_view
from seg_perception.sensor_data.frame import DepthImage, Frame, PointCloud

Sensor = Callable[[list[Body], Transform], Frame]
Process = Callable[..., Result]


def test_flat_ground_is_free_where_it_is_seen_and_unknown_elsewhere(sensor: Sensor, process: Process) -> None:
    result = process(sensor([ground()], HERE))
    assert is_free(cells_within(result, (4.0, 8.0), (-1.5, 1.0))).all()
    assert not (result.costmap == 100).any()
    assert (cells_within(result, (-8.0, 2.0), (-8.0, 8.0)) == -1).all(), "out of view"
    assert result.projection == ("depth" if sensor is with_depth else "points")


@pytest.mark.parametrize("label", [BOX, ROAD])
def test_a_box_of_any_class_is_lethal_and_hides_what_is_behind(sensor: Sensor, process: Process, label: int) -> None:
    result = process(sensor([ground(), block((5.04, 5.6), (-0.5, 0.5), (0.0, 1.5), label)], HERE))
    assert (cells_within(result, (4.95, 5.1), (-0.45, 0.45)) == 100).any(axis=1).all(), "its whole front is lethal"
    assert is_free(cells_within(result, (3.8, 4.85), (-0.45, 0.45))).all(), "the ground in front of it is free"
    assert not is_free(cells_within(result, (5.0, 6.5), (-0.45, 0.45))).any(), "on it and behind it nothing is free"
    elsewhere = (result.costmap == 100).sum() - (cells_within(result, (4.85, 5.75), (-0.65, 0.65)) == 100).sum()
    assert elsewhere <= 1, "except for a point beyond its edge, in whose pixel the camera sees the box"


def test_a_ramp_of_ten_degrees_is_ground_at_its_true_position(sensor: Sensor, process: Process) -> None:
    scene = [ground(4.0), slope(4.0, np.radians(10)), block((6.0, 6.5), (-FAR, FAR), (-5.0, 0.0), GRASS)]
    rise = np.tan(np.radians(10))
    # Grass between x = 6 and 6.5, 1 cm above the ramp.
    turf = Body(
        np.array([[-np.sin(np.radians(10)), 0, np.cos(np.radians(10))], [1.0, 0, 0], [-1.0, 0, 0]]),
        np.array([-np.sin(np.radians(10)) * 4.0 + 0.01, 6.5, -6.0]),
        GRASS,
    )
    result = process(sensor([*scene, turf], HERE))
    assert not (result.costmap == 100).any() and rise > 0.17
    assert is_free(cells_within(result, (3.5, 5.9), (-1.0, 0.8))).all()
    costs = cells_within(result, (6.2, 6.3), (-1.0, 0.8))
    assert ((costs > 40) & (costs < 55)).all(), "grass costs 120 of 254"
    assert is_free(cells_within(result, (6.8, 7.5), (-1.0, 0.8))).all()


@pytest.mark.parametrize(("angle", "limit"), [(25.0, 15.0), (-12.0, 4.0)])
def test_ground_steeper_than_the_limit_is_lethal(sensor: Sensor, process: Process, angle: float, limit: float) -> None:
    result = process(sensor([ground(4.0), slope(4.0, np.radians(angle))], HERE), max_slope=np.radians(limit))
    # A slope leaves the cone of the limit at once, and is max_step off it within a metre.
    assert (cells_within(result, (4.9, 5.5), (-0.8, 0.6)) == 100).all()
    assert is_free(cells_within(result, (3.6, 3.9), (-0.8, 0.6))).all()


@pytest.mark.parametrize("height", [0.12, -0.12])
def test_a_kerb_of_twelve_centimetres_blocks_all_along_it(sensor: Sensor, process: Process, height: float) -> None:
    low, high = sorted((0.0, height))
    lower, higher = block((-FAR, FAR), (-FAR, FAR), (-5, low), ROAD), block((5.0, FAR), (-FAR, FAR), (-5, high), ROAD)
    if height < 0:
        higher = block((-FAR, 5.0), (-FAR, FAR), (-5, high), ROAD)
    result = process(sensor([lower, higher], HERE))
    kerb = cells_within(result, (4.75, 5.35), (-1.0, 0.8)) == 100
    assert kerb.any(axis=1).all(), "no gap in it"
    assert is_free(cells_within(result, (3.8, 4.7), (-1.0, 0.8))).all()


def test_the_pavement_behind_a_kerb_is_ground_again(sensor: Sensor, process: Process) -> None:
    result = process(sensor([ground(), block((5.0, FAR), (-FAR, FAR), (0, 0.12), ROAD)], HERE))
    assert is_free(cells_within(result, (5.5, 7.5), (-1.0, 0.8))).mean() > 0.99


def test_a_step_of_five_centimetres_is_driven_over(sensor: Sensor, process: Process) -> None:
    result = process(sensor([ground(), block((5.0, FAR), (-FAR, FAR), (0, 0.05), ROAD)], HERE))
    assert not (result.costmap == 100).any()
    assert is_free(cells_within(result, (4.0, 7.0), (-1.0, 0.8))).mean() > 0.99


@pytest.mark.slow
def test_a_table_blocks_a_robot_that_is_too_tall_and_no_other(sensor: Sensor, process: Process) -> None:
    bodies = [ground(), *table((4.5, 5.5), (-0.9, 0.7), 0.75)]
    low, tall = (process(sensor(bodies, HERE), robot_height=height) for height in (0.6, 1.0))
    top = (4.65, 5.35), (-0.75, 0.55)
    assert not (cells_within(low, *top) == 100).any()
    assert is_free(cells_within(low, *top)).mean() > 0.9, "the floor under the table is visible from the front"
    for leg in ((4.5, -0.9), (4.5, 0.64)):
        near = cells_within(low, (leg[0] - 0.1, leg[0] + 0.16), (leg[1] - 0.1, leg[1] + 0.16))
        assert (near == 100).any(), "its legs stand on the floor"
    assert not is_free(cells_within(tall, *top)).any()
    assert (cells_within(tall, *top) == 100).mean() > 0.9


def test_unseen_ground_under_an_overhead_board_is_neither_free_nor_lethal(process: Process) -> None:
    hidden = block((4.0, 5.0), (-FAR, FAR), (0.0, 0.7), ROAD)
    frame = with_depth([ground(), block((4.0, 5.0), (-FAR, FAR), (0.66, 0.7), BOX)], HERE)
    depth, _ = render_depth([ground(), hidden], CAMERA, HERE @ EXTRINSICS)
    # Only the board is measured: what lies beneath is out of the sensor's reach.
    board = np.where(frame.depth.metres == depth, depth, np.nan)
    result = process(replace(frame, depth=DepthImage(STAMP, board, HERE @ EXTRINSICS)), robot_height=0.5)
    assert (cells_within(result, (4.2, 4.8), (-0.5, 0.5)) == -1).all()


def test_ground_that_is_only_visible_under_a_car_is_not_free(sensor: Sensor, process: Process) -> None:
    result = process(sensor([ground(), block((4.54, 6.5), (-0.9, 0.7), (0.25, 1.5), BOX)], HERE))
    assert not is_free(cells_within(result, (4.5, 6.5), (-0.8, 0.6))).any()
    assert (cells_within(result, (4.45, 4.6), (-0.8, 0.6)) == 100).any(axis=1).all()
    assert is_free(cells_within(result, (3.8, 4.4), (-0.8, 0.6))).all()


def test_a_hole_is_lethal_from_edge_to_edge_and_the_ground_beyond_it_is_not(sensor: Sensor, process: Process) -> None:
    result = process(sensor(ground_with_hole((4.5, 5.5), (-0.8, 0.6), 0.5), HERE))
    assert (cells_within(result, (4.55, 5.45), (-0.7, 0.5)) == 100).all()
    assert is_free(cells_within(result, (3.8, 4.4), (-0.7, 0.5))).all()
    assert is_free(cells_within(result, (5.7, 7.0), (-0.7, 0.5))).all()
    assert (result.costmap == 100).sum() <= 13 * 17, "the hole is 10 by 14 cells, and one more on each side at most"


def test_a_hole_without_returns_is_never_free(sensor: Sensor, process: Process) -> None:
    frame = sensor(ground_with_hole((4.5, 5.5), (-0.8, 0.6), 0.5), HERE)
    if frame.depth is not None:
        odom = pixels_in_odom(frame.depth.metres, HERE @ EXTRINSICS)
        frame = replace(frame, depth=replace(frame.depth, metres=np.where(odom[..., 2] < -0.01, 0, frame.depth.metres)))
    if frame.points is not None:
        sunk = (HERE @ LIDAR).apply(frame.points.xyz)[:, 2] < -0.01
        frame = replace(
            frame, points=replace(frame.points, xyz=np.where(sunk[:, np.newaxis], np.nan, frame.points.xyz))
        )
    result = process(frame)
    assert not is_free(cells_within(result, (4.6, 5.4), (-0.7, 0.5))).any()
    assert is_free(cells_within(result, (3.8, 4.4), (-0.7, 0.5))).all()


def pixels_in_odom(metres: np.ndarray, odom_from_optical: Transform) -> np.ndarray:
    v, u = np.mgrid[0 : CAMERA.height, 0 : CAMERA.width]
    rays, _ = CAMERA.rays(np.stack([u, v], axis=-1).astype(float))
    return odom_from_optical.apply(rays / rays[..., 2:] * metres[..., np.newaxis])


def test_noise_and_outliers_make_no_obstacle_and_hide_none(process: Process) -> None:
    clean = with_depth([ground(), block((5.04, 5.6), (-0.5, 0.5), (0.0, 1.5), ROAD)], HERE)
    generator = np.random.default_rng(7)
    metres = clean.depth.metres + 0.002 * clean.depth.metres**2 * generator.standard_normal(clean.depth.metres.shape)
    metres = np.where(generator.random(metres.shape) < 0.001, generator.uniform(0.5, 8.0, metres.shape), metres)
    result = process(replace(clean, depth=replace(clean.depth, metres=metres.astype(np.float32))))
    assert (cells_within(result, (4.8, 5.2), (-0.45, 0.45)) == 100).any(axis=1).all()
    assert is_free(cells_within(result, (3.8, 4.7), (-1.2, 1.0))).mean() > 0.95
    elsewhere = (result.costmap == 100).sum() - (cells_within(result, (4.7, 5.8), (-0.7, 0.7)) == 100).sum()
    assert elsewhere <= 3


def test_few_samples_are_shared_by_neighbours_and_lose_no_obstacle(sensor: Sensor, process: Process) -> None:
    frame = sensor([ground(), block((5.04, 5.6), (-0.5, 0.5), (0.0, 1.5), BOX)], HERE)
    result = process(frame, ground=replace(SETTINGS.ground, max_samples=200))
    assert (cells_within(result, (4.95, 5.1), (-0.45, 0.45)) == 100).any(axis=1).all()
    assert is_free(cells_within(result, (3.8, 4.85), (-0.45, 0.45))).mean() > 0.95


def test_depth_and_points_of_another_time_are_located_by_the_pose_at_that_time(process: Process) -> None:
    box = [ground(), block((5.04, 5.6), (-0.5, 0.5), (0.0, 1.5), BOX)]
    then = HERE @ Transform.from_xyz_rpy(-0.4, 0.1, 0.0, 0.0, 0.0, -0.08)
    now = with_depth(box, HERE)
    depth = DepthImage(STAMP - 4 * 10**7, render_depth(box, CAMERA, then @ EXTRINSICS)[0], then @ EXTRINSICS)
    points = PointCloud(STAMP - 4 * 10**7, scan(box, then @ LIDAR, ELEVATIONS, AZIMUTHS), then @ LIDAR)
    for frame in (replace(now, depth=depth), replace(now, depth=None, points=points)):
        result = process(frame)
        assert result.projection != "plane"
        assert (cells_within(result, (4.95, 5.1), (-0.4, 0.4)) == 100).any(axis=1).all()
        assert is_free(cells_within(result, (4.0, 4.85), (-0.4, 0.4))).mean() > 0.95


def test_points_that_are_hidden_from_the_camera_have_no_class(process: Process) -> None:
    """A LiDAR on a mast looks over a wall that hides the ground behind it from the camera."""
    wall = [ground(), block((4.0, 4.2), (-FAR, FAR), (0.0, 0.9), BOX)]
    mast = HERE @ Transform.from_xyz_rpy(0.0, 0.0, 3.0, 0.0, 0.0, 0.0)
    cloud = scan(wall, mast, np.radians(np.linspace(-60, -10, 128)), AZIMUTHS)
    result = process(replace(with_points(wall, HERE), points=PointCloud(STAMP, cloud, mast)))
    behind = cells_within(result, (4.6, 6.0), (-0.5, 0.5))
    assert (behind == -1).all(), "the camera sees the wall there, not the road"
    assert (cells_within(result, (3.95, 4.1), (-0.5, 0.5)) == 100).any(axis=1).all()


def test_the_grid_does_not_depend_on_the_heading_of_the_robot_in_odom(sensor: Sensor, process: Process) -> None:
    """The wrap-around of bearings at half a turn is out of view."""
    for yaw in (np.pi, -np.pi / 2):
        turn = Transform.from_xyz_rpy(0.0, 0.0, 0.0, 0.0, 0.0, yaw)
        bodies = [ground(), block((5.04, 5.6), (-0.5, 0.5), (0.0, 1.5), BOX)]
        turned = [Body(body.normals @ turn.rotation.T, body.offsets, body.label) for body in bodies]
        result = process(sensor(turned, turn @ HERE))
        corner = turn.apply(np.array([[4.95, -0.4, 0.0], [5.1, 0.4, 0.0]]))[:, :2]
        low, high = corner.min(axis=0), corner.max(axis=0)
        front = cells_within(result, (low[0], high[0]), (low[1], high[1])) == 100
        assert front.any(axis=1 if yaw == np.pi else 0).all()


@pytest.mark.parametrize("pitch", [-0.06, 0.06])
def test_a_robot_that_pitches_gets_the_same_ground(process: Process, pitch: float) -> None:
    pose = HERE @ Transform.from_xyz_rpy(0.0, 0.0, 0.0, 0.02, pitch, 0.0)
    result = process(with_depth([ground(), block((5.04, 5.6), (-0.5, 0.5), (0.0, 1.5), ROAD)], pose))
    assert (cells_within(result, (4.95, 5.1), (-0.45, 0.45)) == 100).any(axis=1).all()
    assert is_free(cells_within(result, (4.2, 4.85), (-0.45, 0.45))).all()


def test_extrinsics_that_are_a_degree_off_tilt_the_ground_and_block_nothing(process: Process) -> None:
    tilted = mount_to_base_from_optical(0.2, 0.0, 1.0, 0.0, 0.35 + np.radians(1.0), 0.0)
    frame = with_depth([ground()], HERE)
    frame = replace(frame, base_from_optical=tilted)
    result = process(frame)
    assert not (result.costmap == 100).any() and is_free(cells_within(result, (4.0, 7.5), (-1.0, 0.8))).all()


def test_a_camera_that_looks_up_a_slope_needs_no_flat_ground_in_view(process: Process) -> None:
    """Tilted up, it sees the ramp in front of it; flat ground would begin beyond the range of the samples."""
    up = mount_to_base_from_optical(0.2, 0.0, 0.4, 0.0, -0.5, 0.0)
    bodies = [ground(2.5), slope(2.5, np.radians(14))]
    depth, labels = render_depth(bodies, CAMERA, HERE @ up)
    image = np.zeros((*labels.shape, 3), np.uint8)
    frame = Frame(STAMP, image, "bgr", CAMERA, HERE, up, "camera", depth=DepthImage(STAMP, depth, HERE @ up))
    with pytest.raises(GeometryError, match="no ground between"):
        process(frame, mode="plane")
    result = process(frame)
    view = field_of_view(result, SETTINGS)
    assert result.projection == "depth" and view.any() and (view == (result.costmap >= 0)).all()


def test_measured_obstacles_stay_lethal_in_an_image_without_weight(sensor: Sensor, tmp_path: Path) -> None:
    settings = replace(SETTINGS, grid=replace(SETTINGS.grid, full_exposure=0.5))  # the label image is black
    pipeline = Pipeline(label_image_engine(settings), three_class_matrix(tmp_path), settings)
    result = pipeline.process(sensor([ground(), block((5.0, 5.5), (-0.4, 0.4), (0, 1), ROAD)], HERE))
    assert (cells_within(result, (4.9, 5.1), (-0.3, 0.3)) == 100).any()
    assert set(np.unique(result.costmap)) == {-1, 100}, "no ground is free"
