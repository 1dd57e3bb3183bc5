"""The message builder gives the same messages with rclpy's types as with rosbags' types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from rclpy.serialization import serialize_message

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform
from seg_perception.recordings.message_builder import MessageBuilder
from seg_perception.recordings.rosbags_types import make_rosbags_message, ros2_types
from seg_perception.ros.messages import make_ros_message

STAMP_NS = 1_700_000_000_123_456_789
POSE = Transform.from_xyz_rpy(1.0, -2.0, 0.5, 0.1, -0.2, 2.0)
CAMERA = Camera.from_fields(64, 48, "plumb_bob", [48.0, 0, 31.5, 0, 47.0, 23.5, 0, 0, 1], [0.1, -0.2, 0.0, 0.0, 0.3])
RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (6, 8, 3), dtype=np.uint8)
DEPTH = RANDOM.random((6, 16), dtype=np.float32)[:, ::2]  # not contiguous
COSTMAP = RANDOM.integers(-1, 101, (5, 7)).astype(np.int8)
XYZ = RANDOM.random((9, 3), dtype=np.float32)
BUILDERS = {
    "std_msgs/msg/Header": lambda build, header: header,
    "sensor_msgs/msg/Image": lambda build, header: build.image(header, PIXELS, "rgb8"),
    "sensor_msgs/msg/Image of depth": lambda build, header: build.image(header, DEPTH, "32FC1"),
    "sensor_msgs/msg/CompressedImage": lambda build, header: build.compressed_image(header, b"\xff\xd8", "jpeg"),
    "sensor_msgs/msg/CameraInfo": lambda build, header: build.camera_info(header, CAMERA),
    "sensor_msgs/msg/PointCloud2": lambda build, header: build.point_cloud(header, XYZ),
    "geometry_msgs/msg/TransformStamped": lambda build, header: build.transform(header, "base_link", POSE),
    "nav_msgs/msg/Odometry": lambda build, header: build.odometry(header, "base_link", POSE, (1.0, 0.0, 0.0)),
    "nav_msgs/msg/OccupancyGrid": lambda build, header: build.occupancy_grid(header, COSTMAP, (-1.5, 2.25), 0.25),
    "diagnostic_msgs/msg/DiagnosticArray": lambda build, header: build.latency(header, {"decode": 1.25, "all": 20.0}),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_rclpy_and_rosbags_messages_have_the_same_content(name: str) -> None:
    rosbags_message, ros_message = (_built(name, make) for make in (make_rosbags_message, make_ros_message))
    types, message_type = ros2_types(), name.split(" ")[0]
    read_back = types.deserialize_cdr(serialize_message(ros_message), message_type)
    assert types.serialize_cdr(read_back, message_type) == types.serialize_cdr(rosbags_message, message_type)


def _built(name: str, make: Any) -> Any:
    build = MessageBuilder(make)
    return BUILDERS[name](build, build.header(STAMP_NS, "odom"))
