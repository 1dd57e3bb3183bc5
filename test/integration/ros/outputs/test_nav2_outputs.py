"""The node's outputs for nav2 in addition to the static layer, over real DDS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from support.ros import node_process

node_process.isolate()

from builtin_interfaces.msg import Time
from nav_msgs.msg import OccupancyGrid
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image, PointCloud2
from support.ros.node_process import NodeProcess
from support.ros.robot import GRASS, HEIGHT, LATCHED, MATRIX, ROAD, WALL, WIDTH, Robot, cells, nanoseconds, write_model

from seg_perception.geometry.grid_bounds import GridBounds
from seg_perception.ros.outputs import nav2_messages
from seg_perception.ros.outputs.nav2_messages import FilterType
from seg_perception.sensor_data.point_clouds.decode import points_of

STAMP_NS = 12_345_678_901
SPEED = "speed: {classes: {grass: 0.5, wall: 0.2}, unknown: 0.3, alpha: 0.0}\n"
# QoS of ObstacleLayer, collision monitor and semantic segmentation layer.
SENSOR = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
COSTMAP = np.array([[-1, 0, 98], [100, 1, 50]], np.int8)
BOUNDS = GridBounds(first_row=9, first_col=-6, rows=2, cols=3, resolution=0.25)


def nav2_msgs() -> Any:
    return pytest.importorskip("nav2_msgs.msg", reason="nav2_msgs is not installed; it comes with a ROS distribution")


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    """A robot whose node publishes all outputs."""
    folder = tmp_path_factory.mktemp("nav2")
    parameters = write_model(folder)
    Path(parameters["cost_matrix"]).write_text(MATRIX + SPEED)
    settings = {**parameters, "stale_after": 1.5}
    with (
        NodeProcess(folder / "log", parameters=settings, remaps={"__node": "camera_node"}) as process,
        Robot("r", "camera_node") as it,
    ):
        it.subscribe(PointCloud2, "lethal_points", SENSOR)
        it.subscribe(PointCloud2, "clearing_points", SENSOR)
        it.subscribe(OccupancyGrid, "speed_mask", LATCHED)
        it.activate()
        yield it
        assert process.returncode is None, f"the node has ended:\n{process.output}"


def at(robot: Robot, name: str, stamp: Time) -> Any:
    """The message of a topic with this stamp; None if it has not arrived."""
    return next((message for message in robot.received[name] if message.header.stamp == stamp), None)


def show(robot: Robot, colour: tuple[int, int, int], *names: str) -> list[Any]:
    """Restart the node, and publish images until all these topics have a message of the same image; returns them."""
    robot.change("deactivate", "activate")
    for _ in range(10):
        image = robot.image(colour)
        robot.send(image)
        robot.costmap_at(nanoseconds(image.header.stamp))
        robot.spin(0.3)
        messages = [at(robot, name, image.header.stamp) for name in names]
        if all(messages):
            return messages
    raise AssertionError(f"not all of {names} have a message with the stamp of a costmap")


def cell_centers(grid: OccupancyGrid, chosen: np.ndarray) -> np.ndarray:
    rows, cols = np.nonzero(chosen)
    origin, resolution = grid.info.origin.position, grid.info.resolution
    return np.column_stack([origin.x + (cols + 0.5) * resolution, origin.y + (rows + 0.5) * resolution])


# -- points --------------------------------------------------------------------------------------------------------


def test_lethal_points_are_the_centers_of_lethal_cells(robot: Robot) -> None:
    grid, cloud, border = show(robot, WALL, "costmap", "lethal_points", "clearing_points")
    points, lethal = points_of(cloud), cells(grid) == 100
    assert cloud.header.frame_id == grid.header.frame_id == "odom"
    assert lethal.any()
    assert points[:, :2] == pytest.approx(cell_centers(grid, lethal), abs=1e-5)
    assert (points[:, 2] == 0.25).all()
    assert len(points_of(border)) == 2 * (grid.info.width + grid.info.height) - 4


def test_cloud_without_lethal_cells_is_published_empty(robot: Robot) -> None:
    (cloud,) = show(robot, ROAD, "lethal_points")
    assert points_of(cloud).shape == (0, 3)


def test_retraction_clears_points_and_speed_mask(robot: Robot) -> None:
    names = ("costmap", "lethal_points", "clearing_points", "speed_mask")
    show(robot, WALL, *names)
    for name in names:
        robot.received[name].clear()
    robot.wait(lambda: all(robot.received[name] for name in names), "the retraction on all topics")
    grid, cloud, border, mask = (robot.received[name][0] for name in names)
    assert (cells(grid) == -1).all()
    assert len(points_of(cloud)) == 0 and len(points_of(border)) > 0
    assert (cells(mask) == 30).all()
    assert grid.header == cloud.header == border.header == mask.header


# -- speed ---------------------------------------------------------------------------------------------------------


def test_speed_mask_has_the_limits_of_classes_and_of_unknown_cells(robot: Robot) -> None:
    mask, costmap = (cells(grid) for grid in show(robot, GRASS, "speed_mask", "costmap"))
    assert ((mask >= 1) & (mask <= 100)).all(), "0 means no limit, and -1 is an error"
    assert (mask[costmap == -1] == 30).all()
    assert 49 <= np.median(mask[costmap >= 0]) <= 51


def test_late_filters_receive_their_filter_info(robot: Robot) -> None:
    info_type = nav2_msgs().CostmapFilterInfo
    with Robot("filters", "camera_node") as late:
        late.subscribe(info_type, "speed_filter_info", LATCHED)
        late.subscribe(info_type, "keepout_filter_info", LATCHED)
        speed = late.wait(lambda: late.received["speed_filter_info"], "the speed filter's info")[-1]
        keepout = late.wait(lambda: late.received["keepout_filter_info"], "the keepout filter's info")[-1]
    assert (speed.type, speed.filter_mask_topic, speed.base, speed.multiplier) == (
        1,
        "/camera_node/speed_mask",
        0.0,
        1.0,
    )
    assert (keepout.type, keepout.filter_mask_topic, keepout.base, keepout.multiplier) == (
        0,
        "/camera_node/costmap",
        0.0,
        1.0,
    )


# -- nav2's own costmap --------------------------------------------------------------------------------------------


def test_raw_costmap_equals_what_nav2_reads_from_the_costmap(robot: Robot) -> None:
    robot.subscribe(nav2_msgs().Costmap, "costmap_raw", LATCHED)
    grid, raw = show(robot, WALL, "costmap", "costmap_raw")
    values = np.array(raw.data, np.uint8).reshape(raw.metadata.size_y, raw.metadata.size_x)
    assert raw.metadata.resolution == grid.info.resolution and raw.metadata.origin == grid.info.origin
    assert ((values == 254) == (cells(grid) == 100)).all() and (values == 254).any()
    assert ((values == 255) == (cells(grid) == -1)).all()


def test_raw_costmap_message_round_trip() -> None:
    nav2_msgs()
    sent = nav2_messages.raw_costmap(STAMP_NS, "odom", COSTMAP, BOUNDS)
    raw = deserialize_message(serialize_message(sent), type(sent))
    assert list(raw.data) == [255, 0, 248, 254, 2, 127], "row by row, x running fastest; never 253"
    assert (raw.metadata.size_x, raw.metadata.size_y, raw.metadata.resolution) == (3, 2, 0.25)
    assert (raw.metadata.origin.position.x, raw.metadata.origin.position.y) == (-1.5, 2.25)
    assert raw.metadata.origin.orientation.w == 1.0
    assert raw.header.frame_id == "odom" and nanoseconds(raw.header.stamp) == STAMP_NS


def test_filter_info_round_trip() -> None:
    nav2_msgs()
    sent = nav2_messages.filter_info(STAMP_NS, "odom", FilterType.SPEED_PERCENT, "/camera_node/speed_mask")
    info = deserialize_message(serialize_message(sent), type(sent))
    assert (info.type, info.filter_mask_topic, info.base, info.multiplier) == (1, "/camera_node/speed_mask", 0.0, 1.0)
    assert info.header.frame_id == "odom" and nanoseconds(info.header.stamp) == STAMP_NS


def test_point_cloud_round_trip() -> None:
    points = np.float32([[1.5, -2.25, 0.25], [1e4, 0.0, -1.0]])
    cloud = deserialize_message(serialize_message(nav2_messages.cloud(STAMP_NS, "odom", points)), PointCloud2)
    assert (points_of(cloud) == points).all()
    assert [field.name for field in cloud.fields] == ["x", "y", "z"]
    assert len(cloud.data) == cloud.row_step == cloud.width * cloud.point_step


# -- the semantic segmentation layer -------------------------------------------------------------------------------


def test_labels_and_confidence_have_size_and_stamp_of_the_camera_image(robot: Robot) -> None:
    robot.subscribe(Image, "labels", SENSOR)
    robot.subscribe(Image, "confidence", SENSOR)
    mask, confidence = show(robot, GRASS, "labels", "confidence")
    for image in (mask, confidence):
        assert image.encoding == "mono8"
        # The layer reads pixel (u, v) from data[v * width + u], and compares width * height with the cloud's.
        assert (image.width, image.height, image.step, len(image.data)) == (WIDTH, HEIGHT, WIDTH, WIDTH * HEIGHT)
        assert image.header.frame_id == "camera_optical_frame"
    assert set(mask.data) == {1}, "grass"
    assert min(confidence.data) > 200


def test_late_semantic_layer_receives_the_class_names(robot: Robot) -> None:
    vision = pytest.importorskip(
        "vision_msgs.msg", reason="vision_msgs is not installed; it comes with a ROS distribution"
    )
    with Robot("layer", "camera_node") as layer:
        layer.subscribe(vision.LabelInfo, "label_info", LATCHED)
        info = layer.wait(lambda: layer.received["label_info"], "the labels")[-1]
    assert {entry.class_name: entry.class_id for entry in info.class_map} == {"road": 0, "grass": 1, "wall": 2}
    assert nanoseconds(info.header.stamp) > 0
