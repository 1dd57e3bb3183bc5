"""What other readers than nav2's static layer get from the node, over real DDS, and what their sources make of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from support import node_process as ros_support

ros_support.isolate()

from builtin_interfaces.msg import Time
from nav_msgs.msg import OccupancyGrid
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image, PointCloud2
from support.node_process import NodeProcess
from support.robot import GRASS, HEIGHT, LATCHED, MATRIX, ROAD, WALL, WIDTH, Robot, cells, nanoseconds, write_model

from seg_perception.geometry.grid_bounds import Raster
from seg_perception.ros.outputs import nav2_messages
from seg_perception.ros.outputs.nav2_messages import FilterType
from seg_perception.sensor_data.point_clouds.decode import points_of

STAMP_NS = 12_345_678_901
SPEED = "speed: {classes: {grass: 0.5, wall: 0.2}, unknown: 0.3, alpha: 0.0}\n"
# What ObstacleLayer, the collision monitor and the semantic segmentation layer ask for.
SENSOR = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
COSTMAP = np.array([[-1, 0, 98], [100, 1, 50]], np.int8)
RASTER = Raster(first_row=9, first_col=-6, rows=2, cols=3, resolution=0.25)


def nav2_msgs() -> Any:
    return pytest.importorskip("nav2_msgs.msg", reason="nav2_msgs is not installed; it comes with a ROS distribution")


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    """A robot whose node works and tells everything it can."""
    folder = tmp_path_factory.mktemp("readers")
    parameters = write_model(folder)
    Path(parameters["cost_matrix"]).write_text(MATRIX + SPEED)
    settings = {**parameters, "stale_after": 1.5}
    with (
        NodeProcess(folder / "log", parameters=settings, remaps={"__node": "eyes"}) as process,
        Robot("r", "eyes") as it,
    ):
        it.listen(PointCloud2, "lethal_points", SENSOR)
        it.listen(PointCloud2, "clearing_points", SENSOR)
        it.listen(OccupancyGrid, "speed_mask", LATCHED)
        it.activate()
        yield it
        assert process.returncode is None, f"the node has died:\n{process.output}"


def at(robot: Robot, name: str, stamp: Time) -> Any:
    """The message of a topic with this stamp; None if it has not come."""
    return next((message for message in robot.heard[name] if message.header.stamp == stamp), None)


def show(robot: Robot, colour: tuple[int, int, int], *names: str) -> list[Any]:
    """Start anew and show the node images until all of these topics have said something of the same one; returns it."""
    robot.change("deactivate", "activate")
    for _ in range(10):
        image = robot.image(colour)
        robot.send(image)
        robot.costmap_at(nanoseconds(image.header.stamp))
        robot.spin(0.3)
        said = [at(robot, name, image.header.stamp) for name in names]
        if all(said):
            return said
    raise AssertionError(f"of {names} the node has never said anything at the stamp of its costmap")


def middles(grid: OccupancyGrid, chosen: np.ndarray) -> np.ndarray:
    rows, cols = np.nonzero(chosen)
    origin, resolution = grid.info.origin.position, grid.info.resolution
    return np.column_stack([origin.x + (cols + 0.5) * resolution, origin.y + (rows + 0.5) * resolution])


# -- points --------------------------------------------------------------------------------------------------------


def test_lethal_points_are_the_lethal_cells_of_the_costmap(robot: Robot) -> None:
    grid, cloud, border = show(robot, WALL, "costmap", "lethal_points", "clearing_points")
    points, lethal = points_of(cloud), cells(grid) == 100
    assert cloud.header.frame_id == grid.header.frame_id == "odom"
    assert lethal.any()
    assert points[:, :2] == pytest.approx(middles(grid, lethal), abs=1e-5)
    assert (points[:, 2] == 0.25).all()
    assert len(points_of(border)) == 2 * (grid.info.width + grid.info.height) - 4


def test_without_anything_lethal_the_cloud_is_empty_and_comes_all_the_same(robot: Robot) -> None:
    (cloud,) = show(robot, ROAD, "lethal_points")
    assert points_of(cloud).shape == (0, 3)


def test_silence_takes_points_and_speed_back(robot: Robot) -> None:
    names = ("costmap", "lethal_points", "clearing_points", "speed_mask")
    show(robot, WALL, *names)
    for name in names:
        robot.heard[name].clear()
    robot.wait(lambda: all(robot.heard[name] for name in names), "all of it to be taken back")
    grid, cloud, border, mask = (robot.heard[name][0] for name in names)
    assert (cells(grid) == -1).all()
    assert len(points_of(cloud)) == 0 and len(points_of(border)) > 0
    assert (cells(mask) == 30).all()
    assert grid.header == cloud.header == border.header == mask.header


# -- speed ---------------------------------------------------------------------------------------------------------


def test_the_speed_mask_has_the_speed_of_what_is_seen_and_is_slow_where_nothing_is(robot: Robot) -> None:
    mask, costmap = (cells(grid) for grid in show(robot, GRASS, "speed_mask", "costmap"))
    assert ((mask >= 1) & (mask <= 100)).all(), "0 would be no limit, and -1 an error"
    assert (mask[costmap == -1] == 30).all()
    assert 49 <= np.median(mask[costmap >= 0]) <= 51


def test_filters_are_told_of_their_masks_when_they_come_late(robot: Robot) -> None:
    info_type = nav2_msgs().CostmapFilterInfo
    with Robot("filters", "eyes") as late:
        late.listen(info_type, "speed_filter_info", LATCHED)
        late.listen(info_type, "keepout_filter_info", LATCHED)
        speed = late.wait(lambda: late.heard["speed_filter_info"], "the speed filter's info")[-1]
        keepout = late.wait(lambda: late.heard["keepout_filter_info"], "the keepout filter's info")[-1]
    assert (speed.type, speed.filter_mask_topic, speed.base, speed.multiplier) == (1, "/eyes/speed_mask", 0.0, 1.0)
    assert (keepout.type, keepout.filter_mask_topic, keepout.base, keepout.multiplier) == (0, "/eyes/costmap", 0.0, 1.0)


# -- nav2's own costmap --------------------------------------------------------------------------------------------


def test_the_raw_costmap_is_what_nav2_reads_from_the_other(robot: Robot) -> None:
    robot.listen(nav2_msgs().Costmap, "costmap_raw", LATCHED)
    grid, raw = show(robot, WALL, "costmap", "costmap_raw")
    values = np.array(raw.data, np.uint8).reshape(raw.metadata.size_y, raw.metadata.size_x)
    assert raw.metadata.resolution == grid.info.resolution and raw.metadata.origin == grid.info.origin
    assert ((values == 254) == (cells(grid) == 100)).all() and (values == 254).any()
    assert ((values == 255) == (cells(grid) == -1)).all()


def test_a_raw_costmap_arrives_as_the_costs_that_were_meant() -> None:
    nav2_msgs()
    sent = nav2_messages.raw_costmap(STAMP_NS, "odom", COSTMAP, RASTER)
    raw = deserialize_message(serialize_message(sent), type(sent))
    assert list(raw.data) == [255, 0, 248, 254, 2, 127], "row by row, x running fastest; never 253"
    assert (raw.metadata.size_x, raw.metadata.size_y, raw.metadata.resolution) == (3, 2, 0.25)
    assert (raw.metadata.origin.position.x, raw.metadata.origin.position.y) == (-1.5, 2.25)
    assert raw.metadata.origin.orientation.w == 1.0
    assert raw.header.frame_id == "odom" and nanoseconds(raw.header.stamp) == STAMP_NS


def test_a_filter_info_arrives_as_it_was_meant() -> None:
    nav2_msgs()
    sent = nav2_messages.filter_info(STAMP_NS, "odom", FilterType.SPEED_PERCENT, "/eyes/speed_mask")
    info = deserialize_message(serialize_message(sent), type(sent))
    assert (info.type, info.filter_mask_topic, info.base, info.multiplier) == (1, "/eyes/speed_mask", 0.0, 1.0)
    assert info.header.frame_id == "odom" and nanoseconds(info.header.stamp) == STAMP_NS


def test_a_cloud_arrives_as_the_points_that_were_meant() -> None:
    points = np.float32([[1.5, -2.25, 0.25], [1e4, 0.0, -1.0]])
    cloud = deserialize_message(serialize_message(nav2_messages.cloud(STAMP_NS, "odom", points)), PointCloud2)
    assert (points_of(cloud) == points).all()
    assert [field.name for field in cloud.fields] == ["x", "y", "z"]
    assert len(cloud.data) == cloud.row_step == cloud.width * cloud.point_step


# -- the semantic segmentation layer -------------------------------------------------------------------------------


def test_labels_and_confidence_fit_a_cloud_of_the_cameras_size_and_stamp(robot: Robot) -> None:
    robot.listen(Image, "labels", SENSOR)
    robot.listen(Image, "confidence", SENSOR)
    mask, confidence = show(robot, GRASS, "labels", "confidence")
    for image in (mask, confidence):
        assert image.encoding == "mono8"
        # The layer reads pixel (u, v) from data[v * width + u], and compares width * height with the cloud's.
        assert (image.width, image.height, image.step, len(image.data)) == (WIDTH, HEIGHT, WIDTH, WIDTH * HEIGHT)
        assert image.header.frame_id == "camera_optical_frame"
    assert set(mask.data) == {1}, "grass"
    assert min(confidence.data) > 200


def test_the_layer_finds_every_class_by_its_name_when_it_comes_late(robot: Robot) -> None:
    vision = pytest.importorskip(
        "vision_msgs.msg", reason="vision_msgs is not installed; it comes with a ROS distribution"
    )
    with Robot("layer", "eyes") as layer:
        layer.listen(vision.LabelInfo, "label_info", LATCHED)
        info = layer.wait(lambda: layer.heard["label_info"], "the labels")[-1]
    assert {entry.class_name: entry.class_id for entry in info.class_map} == {"road": 0, "grass": 1, "wall": 2}
    assert nanoseconds(info.header.stamp) > 0
