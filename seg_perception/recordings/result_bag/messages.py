"""Result frames to the ROS 2 messages of `result.mcap` and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.stamped_transform import rigid_transform
from seg_perception.geometry.transforms import Transform
from seg_perception.recordings.message_builder import MessageBuilder
from seg_perception.recordings.result_bag.mcap_records import Channel, Message
from seg_perception.recordings.result_bag.result_frame import LabelInfo, ResultFrame
from seg_perception.recordings.rosbags_types import make_rosbags_message, ros2_types

_BUILD = MessageBuilder(make_rosbags_message)

LABEL_INFO_TOPIC = "/perception/label_info"
LABEL_INFO_TYPE = "std_msgs/msg/String"

CAMERA, OVERLAY = "/camera/image/compressed", "/perception/overlay/compressed"
LABELS, MOST_PROBABLE = "/perception/labels", "/perception/most_probable"
CONFIDENCE, EXPECTED_COST = "/perception/confidence", "/perception/expected_cost"
COSTMAP, LATENCY, CAMERA_INFO, TF = "/perception/costmap", "/perception/latency", "/camera/camera_info", "/tf"

# Topics with one message per frame.
FRAME_TOPICS = {
    CAMERA: "sensor_msgs/msg/CompressedImage",
    CAMERA_INFO: "sensor_msgs/msg/CameraInfo",
    LABELS: "sensor_msgs/msg/Image",
    MOST_PROBABLE: "sensor_msgs/msg/Image",
    CONFIDENCE: "sensor_msgs/msg/Image",
    EXPECTED_COST: "sensor_msgs/msg/Image",
    OVERLAY: "sensor_msgs/msg/CompressedImage",
    COSTMAP: "nav_msgs/msg/OccupancyGrid",
    TF: "tf2_msgs/msg/TFMessage",
    LATENCY: "diagnostic_msgs/msg/DiagnosticArray",
}
TOPICS = {LABEL_INFO_TOPIC: LABEL_INFO_TYPE, **FRAME_TOPICS}


@dataclass(frozen=True)
class FrameNames:
    """Names of the coordinate frames (REP-105) in the messages."""

    odom: str = "odom"
    base: str = "base_link"
    optical: str = "camera_optical_frame"


def channels() -> list[Channel]:
    """The channels of `result.mcap`; the id of a channel is its number in this list, from 1."""
    types = ros2_types()
    return [Channel(topic, name, types.generate_msgdef(name, ros_version=2)[0]) for topic, name in TOPICS.items()]


def channel_id(topic: str) -> int:
    """The id of a topic's channel."""
    return list(TOPICS).index(topic) + 1


def label_info_message(info: LabelInfo, stamp_ns: int) -> Message:
    """The one message of LABEL_INFO_TOPIC."""
    return _message(LABEL_INFO_TOPIC, stamp_ns, make_rosbags_message(LABEL_INFO_TYPE, data=info.to_json()))


def frame_messages(
    result: ResultFrame, camera: Camera, base_from_optical: Transform, names: FrameNames
) -> list[Message]:
    """One message for each of FRAME_TOPICS, all at the frame's stamp.

    Args:
        result: the frame.
        camera: intrinsics at the size of the frame's images.
        base_from_optical: extrinsics of the camera.
        names: of the coordinate frames.
    """
    stamp_ns = result.stamp_ns
    optical, odom, base = (_BUILD.header(stamp_ns, name) for name in (names.optical, names.odom, names.base))
    transforms = (
        _BUILD.transform(odom, names.base, result.odom_from_base),
        _BUILD.transform(base, names.optical, base_from_optical),
    )
    contents = {
        CAMERA: _BUILD.compressed_image(optical, result.camera_jpeg, "jpeg"),
        CAMERA_INFO: _BUILD.camera_info(optical, camera),
        LABELS: _BUILD.image(optical, result.labels, "mono8"),
        MOST_PROBABLE: _BUILD.image(optical, result.most_probable, "mono8"),
        CONFIDENCE: _BUILD.image(optical, result.confidence, "mono8"),
        EXPECTED_COST: _BUILD.image(optical, result.expected_cost, "mono8"),
        OVERLAY: _BUILD.compressed_image(optical, result.overlay_jpeg, "jpeg"),
        COSTMAP: _BUILD.occupancy_grid(odom, result.costmap, result.origin_xy, result.resolution),
        TF: _BUILD.transforms(transforms),
        LATENCY: _BUILD.latency(_BUILD.header(stamp_ns, ""), result.latency_ms),
    }
    return [_message(topic, stamp_ns, content) for topic, content in contents.items()]


def frame_of(stamp_ns: int, contents: dict[str, Any]) -> ResultFrame:
    """The inverse of `frame_messages`.

    Args:
        stamp_ns: the frame's stamp.
        contents: decoded message of each of FRAME_TOPICS.

    Raises:
        KeyError: a topic is missing.
    """
    grid, robot = contents[COSTMAP], contents[TF].transforms[0].transform
    origin = grid.info.origin.position
    return ResultFrame(
        stamp_ns=stamp_ns,
        camera_jpeg=contents[CAMERA].data.tobytes(),
        overlay_jpeg=contents[OVERLAY].data.tobytes(),
        labels=_pixels(contents[LABELS]),
        most_probable=_pixels(contents[MOST_PROBABLE]),
        confidence=_pixels(contents[CONFIDENCE]),
        expected_cost=_pixels(contents[EXPECTED_COST]),
        costmap=grid.data.reshape(grid.info.height, grid.info.width),
        resolution=float(grid.info.resolution),
        origin_xy=(origin.x, origin.y),
        odom_from_base=rigid_transform(robot.translation, robot.rotation),
        latency_ms={entry.key: float(entry.value) for entry in contents[LATENCY].status[0].values},
    )


def _message(topic: str, stamp_ns: int, content: object) -> Message:
    return Message(channel_id(topic), stamp_ns, ros2_types().serialize_cdr(content, TOPICS[topic]))


def _pixels(message: Any) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = message.data.reshape(message.height, message.width)
    return pixels
