"""The recorder: every complete frame is written, also one whose pose comes after its images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from nav_msgs.msg import OccupancyGrid, Odometry
from sensor_msgs.msg import CameraInfo, Image

from seg_perception.geometry.transforms import Transform
from seg_perception.recordings.result_bag.reader import read_result
from seg_perception.recordings.result_bag.result_frame import LabelInfo
from seg_perception.ros.tools.record import Recorder

WIDTH, HEIGHT = 8, 6
SECOND = 10**9


class SilentNode:
    """Keeps the callback of each subscription by its topic; nothing is sent."""

    def __init__(self) -> None:
        self.callbacks: dict[str, Any] = {}

    def create_subscription(self, message_type: Any, topic: str, callback: Any, qos: Any) -> None:
        self.callbacks[topic] = callback

    def count_publishers(self, topic: str) -> int:
        return 1


def at(message: Any, stamp_ns: int) -> Any:
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, SECOND)
    return message


def image(encoding: str) -> Image:
    channels = 3 if encoding == "bgr8" else 1
    data = np.zeros(WIDTH * HEIGHT * channels, np.uint8).tobytes()
    return Image(width=WIDTH, height=HEIGHT, encoding=encoding, step=WIDTH * channels, data=data)


@pytest.fixture
def node(tmp_path: Path) -> SilentNode:
    return SilentNode()


@pytest.fixture
def recorder(node: SilentNode, tmp_path: Path) -> Recorder:
    recorder = Recorder(
        node, tmp_path / "out", LabelInfo(("Road",), np.zeros((1, 3), np.uint8), (0.0,)), Transform.identity()
    )
    recorder.connect()
    k = [8.0, 0.0, 3.5, 0.0, 8.0, 2.5, 0.0, 0.0, 1.0]
    node.callbacks["camera_info"](
        CameraInfo(width=WIDTH, height=HEIGHT, distortion_model="plumb_bob", d=[0.0] * 5, k=k)
    )
    return recorder


def odometry(node: SilentNode, stamp_ns: int) -> None:
    message = at(Odometry(child_frame_id="base_link"), stamp_ns)
    message.header.frame_id = "odom"
    message.pose.pose.position.x = stamp_ns / SECOND
    message.pose.pose.orientation.w = 1.0
    node.callbacks["odometry"](message)


def frame(node: SilentNode, stamp_ns: int) -> None:
    grid = OccupancyGrid(data=[0] * 4)
    grid.info.width = grid.info.height = 2
    grid.info.resolution = 0.5
    latency = DiagnosticArray(status=[DiagnosticStatus(values=[KeyValue(key="fuse", value="1.5")])])
    node.callbacks["image"](at(image("bgr8"), stamp_ns))
    for name in ("labels", "most_probable", "confidence", "expected_cost"):
        node.callbacks[f"/perception/{name}"](at(image("mono8"), stamp_ns))
    node.callbacks["/perception/overlay"](at(image("bgr8"), stamp_ns))
    node.callbacks["/perception/costmap"](at(grid, stamp_ns))
    node.callbacks["/perception/latency"](at(latency, stamp_ns))


def test_frames_wait_for_their_pose_and_are_written_in_order(
    recorder: Recorder, node: SilentNode, tmp_path: Path
) -> None:
    odometry(node, 1 * SECOND)
    frame(node, 2 * SECOND)
    frame(node, 3 * SECOND)
    odometry(node, 4 * SECOND)
    recorder.close({})
    written = [
        (each.stamp_ns, each.odom_from_base.translation[0]) for each in read_result(tmp_path / "out/result.mcap")
    ]
    assert written == [(2 * SECOND, pytest.approx(2.0)), (3 * SECOND, pytest.approx(3.0))]
    assert json.loads((tmp_path / "out/summary.json").read_text())["frames"] == {"in": 2, "out": 2, "dropped": {}}


def test_a_frame_whose_pose_never_comes_is_dropped_with_the_reason(
    recorder: Recorder, node: SilentNode, tmp_path: Path
) -> None:
    odometry(node, 1 * SECOND)
    frame(node, 1 * SECOND)
    frame(node, 2 * SECOND)
    recorder.close({})
    assert [each.stamp_ns for each in read_result(tmp_path / "out/result.mcap")] == [1 * SECOND]
    (problem,) = json.loads((tmp_path / "out/summary.json").read_text())["problems"]
    assert "the transform from 'base_link' to 'odom' is not known at 2.0" in problem
