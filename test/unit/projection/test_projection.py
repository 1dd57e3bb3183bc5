"""Measured ground through the whole pipeline: scenes whose every height is known, seen by a depth camera or a LiDAR."""

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
    NOTHING,
    ROAD,
    Body,
    block,
    ground,
    ground_with_hole,
    photograph,
    scan,
    slope,
    table,
)
from support.painted_engine import painted_engine, painted_matrix

from seg_perception.errors import GeometryError, ProjectionError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.pipeline.pipeline import Pipeline, Result, field_of_view
from seg_perception.projection import select
from seg_perception.projection.flat_ground.sampling import GroundSettings
from seg_perception.sensor_data.frame import DepthImage, Frame, PointCloud
from seg_perception.settings.grid import GridSettings
from seg_perception.settings.pipeline import PipelineSettings

CAMERA = Camera.from_fields(320, 240, "plumb_bob", [240, 0, 159.5, 0, 240, 119.5, 0, 0, 1], [])
MOUNT = mount_to_base_from_optical(0.2, 0.0, 1.0, 0.0, 0.35, 0.0)
LIDAR = Transform.from_xyz_rpy(0.0, 0.1, 1.2, 0.0, 0.0, 0.3)
ELEVATIONS, AZIMUTHS = np.radians(np.linspace(-40, 5, 128)), np.radians(np.arange(-60, 40, 0.25))
SETTINGS = PipelineSettings(
    GroundSettings(max_range=8.0),
    GridSettings(width=20.0, height=20.0, prior_strength=1e-4, min_evidence=0.05),
)
HERE = Transform.from_xyz_rpy(1.23, -0.56, 0.0, 0.0, 0.0, 0.1)
STAMP = 10**9
Sensor = Callable[[list[Body], Transform], Frame]
See = Callable[..., Result]


def with_depth(bodies: list[Body], pose: Transform) -> Frame:
    depth, labels = photograph(bodies, CAMERA, pose @ MOUNT)
    image = np.where(labels == NOTHING, ROAD, labels)[..., np.newaxis].repeat(3, axis=2).astype(np.uint8)
    return Frame(STAMP, image, "bgr", CAMERA, pose, MOUNT, "camera", depth=DepthImage(STAMP, depth, pose @ MOUNT))


def with_points(bodies: list[Body], pose: Transform) -> Frame:
    cloud = scan(bodies, pose @ LIDAR, ELEVATIONS, AZIMUTHS)
    return replace(with_depth(bodies, pose), depth=None, points=PointCloud(STAMP, cloud, pose @ LIDAR))


@pytest.fixture(params=[with_depth, with_points], ids=["depth", "points"])
def sensor(request: pytest.FixtureRequest) -> Sensor:
    return request.param


@pytest.fixture
def see(tmp_path: Path) -> See:
    """One frame through a new pipeline; changes are to the settings of the projection."""
    matrix = painted_matrix(tmp_path)

    def run(frame: Frame, ground: GroundSettings = SETTINGS.ground, **changes: object) -> Result:
        projection = replace(SETTINGS.projection, **changes)
        settings = replace(SETTINGS, ground=ground, projection=projection)
        return Pipeline(painted_engine(settings), matrix, settings).process(frame)

    return run


def cells_within(result: Result, x: tuple[float, float], y: tuple[float, float]) -> np.ndarray:
    """Costs of the cells whose middles lie within a box of odom."""
    left, bottom = result.raster.origin
    middle_x = left + (np.arange(result.raster.cols) + 0.5) * result.raster.resolution
    middle_y = bottom + (np.arange(result.raster.rows) + 0.5) * result.raster.resolution
    rows, cols = (middle_y > y[0]) & (middle_y < y[1]), (middle_x > x[0]) & (middle_x < x[1])
    return result.costmap[np.ix_(rows, cols)]


def is_free(costs: np.ndarray) -> np.ndarray:
    return (costs >= 0) & (costs <= 5)


def test_flat_ground_is_free_where_it_is_seen_and_unknown_elsewhere(sensor: Sensor, see: See) -> None:
    result = see(sensor([ground()], HERE))
    assert is_free(cells_within(result, (4.0, 8.0), (-1.5, 1.0))).all()
    assert not (result.costmap == 100).any()
    assert (cells_within(result, (-8.0, 2.0), (-8.0, 8.0)) == -1).all(), "nobody looked there"
    assert result.projection == ("depth" if sensor is with_depth else "points")


@pytest.mark.parametrize("label", [BOX, ROAD])
def test_a_box_is_lethal_whatever_it_looks_like_and_hides_what_is_behind(sensor: Sensor, see: See, label: int) -> None:
    result = see(sensor([ground(), block((5.04, 5.6), (-0.5, 0.5), (0.0, 1.5), label)], HERE))
    assert (cells_within(result, (4.95, 5.1), (-0.45, 0.45)) == 100).any(axis=1).all(), "its whole front is lethal"
    assert is_free(cells_within(result, (3.8, 4.85), (-0.45, 0.45))).all(), "the ground before it is free"
    assert not is_free(cells_within(result, (5.0, 6.5), (-0.45, 0.45))).any(), "on it and behind it nothing is free"
    elsewhere = (result.costmap == 100).sum() - (cells_within(result, (4.85, 5.75), (-0.65, 0.65)) == 100).sum()
    assert elsewhere <= 1, "but for a point beyond its edge, in whose pixel the camera sees the box"


def test_a_ramp_of_ten_degrees_is_ground_and_lies_where_it_is(sensor: Sensor, see: See) -> None:
    painted = [ground(4.0), slope(4.0, np.radians(10)), block((6.0, 6.5), (-FAR, FAR), (-5.0, 0.0), GRASS)]
    rise = np.tan(np.radians(10))
    # Grass between x = 6 and 6.5, a finger's breadth over the ramp.
    turf = Body(
        np.array([[-np.sin(np.radians(10)), 0, np.cos(np.radians(10))], [1.0, 0, 0], [-1.0, 0, 0]]),
        np.array([-np.sin(np.radians(10)) * 4.0 + 0.01, 6.5, -6.0]),
        GRASS,
    )
    result = see(sensor([*painted, turf], HERE))
    assert not (result.costmap == 100).any() and rise > 0.17
    assert is_free(cells_within(result, (3.5, 5.9), (-1.0, 0.8))).all()
    costs = cells_within(result, (6.2, 6.3), (-1.0, 0.8))
    assert ((costs > 40) & (costs < 55)).all(), "grass costs 120 of 254, where it grows"
    assert is_free(cells_within(result, (6.8, 7.5), (-1.0, 0.8))).all()


@pytest.mark.parametrize(("angle", "limit"), [(25.0, 15.0), (-12.0, 4.0)])
def test_ground_steeper_than_the_limit_is_lethal(sensor: Sensor, see: See, angle: float, limit: float) -> None:
    result = see(sensor([ground(4.0), slope(4.0, np.radians(angle))], HERE), max_slope=np.radians(limit))
    # A slope leaves the cone of the limit at once, and is a step's height off it before a metre has passed.
    assert (cells_within(result, (4.9, 5.5), (-0.8, 0.6)) == 100).all()
    assert is_free(cells_within(result, (3.6, 3.9), (-0.8, 0.6))).all()


@pytest.mark.parametrize("height", [0.12, -0.12])
def test_a_kerb_of_twelve_centimetres_blocks_all_along_it(sensor: Sensor, see: See, height: float) -> None:
    low, high = sorted((0.0, height))
    lower, higher = block((-FAR, FAR), (-FAR, FAR), (-5, low), ROAD), block((5.0, FAR), (-FAR, FAR), (-5, high), ROAD)
    if height < 0:
        higher = block((-FAR, 5.0), (-FAR, FAR), (-5, high), ROAD)
    result = see(sensor([lower, higher], HERE))
    kerb = cells_within(result, (4.75, 5.35), (-1.0, 0.8)) == 100
    assert kerb.any(axis=1).all(), "no gap to slip through"
    assert is_free(cells_within(result, (3.8, 4.7), (-1.0, 0.8))).all()


def test_the_pavement_behind_a_kerb_is_ground_again(sensor: Sensor, see: See) -> None:
    result = see(sensor([ground(), block((5.0, FAR), (-FAR, FAR), (0, 0.12), ROAD)], HERE))
    assert is_free(cells_within(result, (5.5, 7.5), (-1.0, 0.8))).mean() > 0.99


def test_a_step_of_five_centimetres_is_driven_over(sensor: Sensor, see: See) -> None:
    result = see(sensor([ground(), block((5.0, FAR), (-FAR, FAR), (0, 0.05), ROAD)], HERE))
    assert not (result.costmap == 100).any()
    assert is_free(cells_within(result, (4.0, 7.0), (-1.0, 0.8))).mean() > 0.99


def test_a_table_blocks_who_does_not_fit_under_it_and_no_one_else(sensor: Sensor, see: See) -> None:
    bodies = [ground(), *table((4.5, 5.5), (-0.9, 0.7), 0.75)]
    low, tall = (see(sensor(bodies, HERE), robot_height=height) for height in (0.6, 1.0))
    top = (4.65, 5.35), (-0.75, 0.55)
    assert not (cells_within(low, *top) == 100).any()
    assert is_free(cells_within(low, *top)).mean() > 0.9, "the floor under the table is seen from before it"
    for leg in ((4.5, -0.9), (4.5, 0.64)):
        near = cells_within(low, (leg[0] - 0.1, leg[0] + 0.16), (leg[1] - 0.1, leg[1] + 0.16))
        assert (near == 100).any(), "its legs stand on the floor"
    assert not is_free(cells_within(tall, *top)).any()
    assert (cells_within(tall, *top) == 100).mean() > 0.9


def test_what_hangs_over_unseen_ground_is_neither_free_nor_lethal(see: See) -> None:
    hidden = block((4.0, 5.0), (-FAR, FAR), (0.0, 0.7), ROAD)
    frame = with_depth([ground(), block((4.0, 5.0), (-FAR, FAR), (0.66, 0.7), BOX)], HERE)
    depth, _ = photograph([ground(), hidden], CAMERA, HERE @ MOUNT)
    # Only the board is measured: what lies beneath is out of the sensor's reach.
    board = np.where(frame.depth.metres == depth, depth, np.nan)
    result = see(replace(frame, depth=DepthImage(STAMP, board, HERE @ MOUNT)), robot_height=0.5)
    assert (cells_within(result, (4.2, 4.8), (-0.5, 0.5)) == -1).all()


def test_ground_that_is_only_seen_from_under_a_car_is_not_free(sensor: Sensor, see: See) -> None:
    result = see(sensor([ground(), block((4.54, 6.5), (-0.9, 0.7), (0.25, 1.5), BOX)], HERE))
    assert not is_free(cells_within(result, (4.5, 6.5), (-0.8, 0.6))).any()
    assert (cells_within(result, (4.45, 4.6), (-0.8, 0.6)) == 100).any(axis=1).all()
    assert is_free(cells_within(result, (3.8, 4.4), (-0.8, 0.6))).all()


def test_a_hole_is_lethal_from_edge_to_edge_and_the_ground_beyond_it_is_not(sensor: Sensor, see: See) -> None:
    result = see(sensor(ground_with_hole((4.5, 5.5), (-0.8, 0.6), 0.5), HERE))
    assert (cells_within(result, (4.55, 5.45), (-0.7, 0.5)) == 100).all()
    assert is_free(cells_within(result, (3.8, 4.4), (-0.7, 0.5))).all()
    assert is_free(cells_within(result, (5.7, 7.0), (-0.7, 0.5))).all()
    assert (result.costmap == 100).sum() <= 13 * 17, "the hole is 10 by 14 cells, and one more on each side at most"


def test_a_hole_from_which_nothing_comes_back_is_never_free(sensor: Sensor, see: See) -> None:
    frame = sensor(ground_with_hole((4.5, 5.5), (-0.8, 0.6), 0.5), HERE)
    if frame.depth is not None:
        odom = pixels_in_odom(frame.depth.metres, HERE @ MOUNT)
        frame = replace(frame, depth=replace(frame.depth, metres=np.where(odom[..., 2] < -0.01, 0, frame.depth.metres)))
    if frame.points is not None:
        sunk = (HERE @ LIDAR).apply(frame.points.xyz)[:, 2] < -0.01
        frame = replace(
            frame, points=replace(frame.points, xyz=np.where(sunk[:, np.newaxis], np.nan, frame.points.xyz))
        )
    result = see(frame)
    assert not is_free(cells_within(result, (4.6, 5.4), (-0.7, 0.5))).any()
    assert is_free(cells_within(result, (3.8, 4.4), (-0.7, 0.5))).all()


def pixels_in_odom(metres: np.ndarray, odom_from_optical: Transform) -> np.ndarray:
    v, u = np.mgrid[0 : CAMERA.height, 0 : CAMERA.width]
    rays, _ = CAMERA.rays(np.stack([u, v], axis=-1).astype(float))
    return odom_from_optical.apply(rays / rays[..., 2:] * metres[..., np.newaxis])


def test_noise_and_single_wild_readings_make_no_obstacle_and_hide_none(see: See) -> None:
    clean = with_depth([ground(), block((5.04, 5.6), (-0.5, 0.5), (0.0, 1.5), ROAD)], HERE)
    generator = np.random.default_rng(7)
    metres = clean.depth.metres + 0.002 * clean.depth.metres**2 * generator.standard_normal(clean.depth.metres.shape)
    metres = np.where(generator.random(metres.shape) < 0.001, generator.uniform(0.5, 8.0, metres.shape), metres)
    result = see(replace(clean, depth=replace(clean.depth, metres=metres.astype(np.float32))))
    assert (cells_within(result, (4.8, 5.2), (-0.45, 0.45)) == 100).any(axis=1).all()
    assert is_free(cells_within(result, (3.8, 4.7), (-1.2, 1.0))).mean() > 0.95
    elsewhere = (result.costmap == 100).sum() - (cells_within(result, (4.7, 5.8), (-0.7, 0.7)) == 100).sum()
    assert elsewhere <= 3


def test_few_samples_are_shared_by_neighbours_and_lose_no_obstacle(sensor: Sensor, see: See) -> None:
    frame = sensor([ground(), block((5.04, 5.6), (-0.5, 0.5), (0.0, 1.5), BOX)], HERE)
    result = see(frame, ground=replace(SETTINGS.ground, max_samples=200))
    assert (cells_within(result, (4.95, 5.1), (-0.45, 0.45)) == 100).any(axis=1).all()
    assert is_free(cells_within(result, (3.8, 4.85), (-0.45, 0.45))).mean() > 0.95


def test_depth_and_points_of_another_moment_are_placed_by_where_the_robot_was_then(see: See) -> None:
    box = [ground(), block((5.04, 5.6), (-0.5, 0.5), (0.0, 1.5), BOX)]
    then = HERE @ Transform.from_xyz_rpy(-0.4, 0.1, 0.0, 0.0, 0.0, -0.08)
    now = with_depth(box, HERE)
    depth = DepthImage(STAMP - 4 * 10**7, photograph(box, CAMERA, then @ MOUNT)[0], then @ MOUNT)
    points = PointCloud(STAMP - 4 * 10**7, scan(box, then @ LIDAR, ELEVATIONS, AZIMUTHS), then @ LIDAR)
    for frame in (replace(now, depth=depth), replace(now, depth=None, points=points)):
        result = see(frame)
        assert result.projection != "plane"
        assert (cells_within(result, (4.95, 5.1), (-0.4, 0.4)) == 100).any(axis=1).all()
        assert is_free(cells_within(result, (4.0, 4.85), (-0.4, 0.4))).mean() > 0.95


def test_what_a_sensor_sees_behind_the_cameras_back_has_no_class(see: See) -> None:
    """A LiDAR on a mast looks over a wall that hides the ground behind it from the camera."""
    wall = [ground(), block((4.0, 4.2), (-FAR, FAR), (0.0, 0.9), BOX)]
    mast = HERE @ Transform.from_xyz_rpy(0.0, 0.0, 3.0, 0.0, 0.0, 0.0)
    cloud = scan(wall, mast, np.radians(np.linspace(-60, -10, 128)), AZIMUTHS)
    result = see(replace(with_points(wall, HERE), points=PointCloud(STAMP, cloud, mast)))
    behind = cells_within(result, (4.6, 6.0), (-0.5, 0.5))
    assert (behind == -1).all(), "the camera sees the wall there, not the road"
    assert (cells_within(result, (3.95, 4.1), (-0.5, 0.5)) == 100).any(axis=1).all()


def test_auto_takes_points_then_depth_then_flat_ground_and_says_why(see: See) -> None:
    bodies = [ground()]
    both = replace(with_depth(bodies, HERE), points=with_points(bodies, HERE).points)
    aside = np.float32([[-5.0, 0.0, 0.0]])
    level = np.float32([[5.0, y, 0.0] for y in np.linspace(-2, 2, 50)])
    late = STAMP + 6 * 10**7
    for frame, projection, refused in (
        (both, "points", ()),
        (replace(both, points=replace(both.points, stamp_ns=late)), "depth", (select.POINTS_LATE,)),
        (replace(both, points=replace(both.points, xyz=aside)), "depth", (select.POINTS_NO_GROUND,)),
        (replace(both, points=replace(both.points, xyz=level)), "depth", (select.POINTS_NO_GROUND,)),
        (replace(both, points=None), "depth", (select.NO_POINTS,)),
        (replace(both, points=None, depth=None), "plane", (select.NO_POINTS, select.NO_DEPTH)),
        (
            replace(both, points=None, depth=replace(both.depth, stamp_ns=late)),
            "plane",
            (select.NO_POINTS, select.DEPTH_LATE),
        ),
        (
            replace(both, points=None, depth=replace(both.depth, metres=both.depth.metres[:-40])),
            "plane",
            (select.NO_POINTS, select.DEPTH_SHAPE),
        ),
    ):
        result = see(frame)
        assert (result.projection, result.refused) == (projection, refused)
        assert is_free(cells_within(result, (4.0, 6.0), (-0.5, 0.5))).all()


@pytest.mark.parametrize("mode", ["auto", "depth"])
def test_a_depth_image_that_shows_nothing_frees_nothing(see: See, mode: str) -> None:
    frame = with_depth([ground()], HERE)
    for nothing in (np.nan, 0.0, np.inf, -1.0):
        blind = replace(frame, depth=replace(frame.depth, metres=np.full((240, 320), nothing, np.float32)))
        result = see(blind, mode=mode)
        assert result.projection == "depth" and select.DEPTH_NO_GROUND in result.refused
        assert (result.costmap == -1).all()


def test_a_projection_that_was_asked_for_and_is_missing_is_an_error_that_leaves_the_grid_alone(see: See) -> None:
    frame = with_depth([ground()], HERE)
    with pytest.raises(ProjectionError, match=r"projection\.mode is points, but a frame has no point cloud") as caught:
        see(frame, mode="points")
    assert caught.value.reason == select.NO_POINTS
    assert see(frame, mode="plane").projection == "plane"


def test_flat_ground_does_not_clear_what_depth_has_found(tmp_path: Path) -> None:
    pipeline = Pipeline(painted_engine(SETTINGS), painted_matrix(tmp_path), SETTINGS)
    frame = with_depth([ground(), block((5.04, 5.6), (-0.5, 0.5), (0.0, 0.3), ROAD)], HERE)
    pipeline.process(frame)
    for step in range(1, 60):
        result = pipeline.process(replace(frame, stamp_ns=STAMP + step * 2 * 10**8, depth=None))
        front = cells_within(result, (4.95, 5.1), (-0.4, 0.4))
        assert result.projection == "plane" and (front != 0).any(axis=1).all(), (
            "lethal first, unknown later, never free"
        )


def test_the_grid_is_the_same_whichever_way_the_robot_faces_in_odom(sensor: Sensor, see: See) -> None:
    """The seam of bearings at half a turn is not in the picture."""
    for yaw in (np.pi, -np.pi / 2):
        turn = Transform.from_xyz_rpy(0.0, 0.0, 0.0, 0.0, 0.0, yaw)
        bodies = [ground(), block((5.04, 5.6), (-0.5, 0.5), (0.0, 1.5), BOX)]
        turned = [Body(body.normals @ turn.rotation.T, body.offsets, body.label) for body in bodies]
        result = see(sensor(turned, turn @ HERE))
        corner = turn.apply(np.array([[4.95, -0.4, 0.0], [5.1, 0.4, 0.0]]))[:, :2]
        low, high = corner.min(axis=0), corner.max(axis=0)
        front = cells_within(result, (low[0], high[0]), (low[1], high[1])) == 100
        assert front.any(axis=1 if yaw == np.pi else 0).all()


@pytest.mark.parametrize("pitch", [-0.06, 0.06])
def test_a_body_that_pitches_changes_nothing_about_the_ground(see: See, pitch: float) -> None:
    pose = HERE @ Transform.from_xyz_rpy(0.0, 0.0, 0.0, 0.02, pitch, 0.0)
    result = see(with_depth([ground(), block((5.04, 5.6), (-0.5, 0.5), (0.0, 1.5), ROAD)], pose))
    assert (cells_within(result, (4.95, 5.1), (-0.45, 0.45)) == 100).any(axis=1).all()
    assert is_free(cells_within(result, (4.2, 4.85), (-0.45, 0.45))).all()


def test_a_mount_that_is_a_degree_off_tilts_the_ground_and_blocks_nothing(see: See) -> None:
    tilted = mount_to_base_from_optical(0.2, 0.0, 1.0, 0.0, 0.35 + np.radians(1.0), 0.0)
    frame = with_depth([ground()], HERE)
    frame = replace(frame, base_from_optical=tilted)
    result = see(frame)
    assert not (result.costmap == 100).any() and is_free(cells_within(result, (4.0, 7.5), (-1.0, 0.8))).all()


def test_a_camera_that_looks_up_a_slope_needs_no_flat_ground_in_view(see: See) -> None:
    """Tilted up, it sees the ramp before it, where flat ground would begin beyond the range of the samples."""
    up = mount_to_base_from_optical(0.2, 0.0, 0.4, 0.0, -0.5, 0.0)
    bodies = [ground(2.5), slope(2.5, np.radians(14))]
    depth, labels = photograph(bodies, CAMERA, HERE @ up)
    image = np.zeros((*labels.shape, 3), np.uint8)
    frame = Frame(STAMP, image, "bgr", CAMERA, HERE, up, "camera", depth=DepthImage(STAMP, depth, HERE @ up))
    with pytest.raises(GeometryError, match="no ground between"):
        see(frame, mode="plane")
    result = see(frame)
    view = field_of_view(result, SETTINGS)
    assert result.projection == "depth" and view.any() and (view == (result.costmap >= 0)).all()


def test_what_is_measured_to_stand_does_so_in_an_image_that_shows_nothing(sensor: Sensor, tmp_path: Path) -> None:
    settings = replace(SETTINGS, grid=replace(SETTINGS.grid, full_exposure=0.5))  # the painted picture is black
    pipeline = Pipeline(painted_engine(settings), painted_matrix(tmp_path), settings)
    result = pipeline.process(sensor([ground(), block((5.0, 5.5), (-0.4, 0.4), (0, 1), ROAD)], HERE))
    assert (cells_within(result, (4.9, 5.1), (-0.3, 0.3)) == 100).any()
    assert set(np.unique(result.costmap)) == {-1, 100}, "but it says of no ground that it is free"
