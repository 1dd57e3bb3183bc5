"""Result frames <-> the ROS 2 messages of `result.mcap`, through rosbags' message types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.stamped_transform import rigid
from seg_perception.geometry.transforms import Transform
from seg_perception.recordings.result_bag.mcap_records import Channel, Message
from seg_perception.recordings.result_bag.result_frame import LabelInfo, ResultFrame

LABEL_INFO_TOPIC = "/perception/label_info"
LABEL_INFO_TYPE = "std_msgs/msg/String"

CAMERA, OVERLAY = "/camera/image/compressed", "/perception/overlay/compressed"
LABELS, MOST_PROBABLE = "/perception/labels", "/perception/most_probable"
CONFIDENCE, EXPECTED_COST = "/perception/confidence", "/perception/expected_cost"
COSTMAP, LATENCY, CAMERA_INFO, TF = "/perception/costmap", "/perception/latency", "/camera/camera_info", "/tf"

# Topics that carry one message per frame.
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
    """Names of the coordinate frames (REP-105) that the messages carry."""

    odom: str = "odom"
    base: str = "base_link"
    optical: str = "camera_optical_frame"


@cache
def ros2_types() -> Typestore:
    """The message types of ROS 2; those used here are the same from Humble on."""
    return get_typestore(Stores.ROS2_HUMBLE)


def channels() -> list[Channel]:
    """The channels of `result.mcap`; a channel's id is its place in this list, counted from 1."""
    types = ros2_types()
    return [Channel(topic, name, types.generate_msgdef(name, ros_version=2)[0]) for topic, name in TOPICS.items()]


def channel_id(topic: str) -> int:
    """The id of a topic's channel."""
    return list(TOPICS).index(topic) + 1


def label_info_message(info: LabelInfo, stamp_ns: int) -> Message:
    """The one message of LABEL_INFO_TOPIC."""
    return _message(LABEL_INFO_TOPIC, stamp_ns, _make(LABEL_INFO_TYPE, data=info.to_json()))


def frame_messages(
    result: ResultFrame, camera: Camera, base_from_optical: Transform, names: FrameNames
) -> list[Message]:
    """One message for each of FRAME_TOPICS, all at the frame's stamp.

    Args:
        result: the frame.
        camera: intrinsics at the size of the frame's images.
        base_from_optical: pose of the camera on the robot.
        names: frame names for the headers.
    """
    stamp_ns = result.stamp_ns
    optical, odom = _header(stamp_ns, names.optical), _header(stamp_ns, names.odom)
    transforms = (
        _transform(odom, names.base, result.odom_from_base),
        _transform(_header(stamp_ns, names.base), names.optical, base_from_optical),
    )
    contents = {
        CAMERA: _jpeg(optical, result.camera_jpeg),
        CAMERA_INFO: _camera_info(optical, camera),
        LABELS: _image(optical, result.labels),
        MOST_PROBABLE: _image(optical, result.most_probable),
        CONFIDENCE: _image(optical, result.confidence),
        EXPECTED_COST: _image(optical, result.expected_cost),
        OVERLAY: _jpeg(optical, result.overlay_jpeg),
        COSTMAP: _occupancy_grid(odom, result),
        TF: _make("tf2_msgs/msg/TFMessage", transforms=list(transforms)),
        LATENCY: _latency(_header(stamp_ns, ""), result.latency_ms),
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
        odom_from_base=rigid(robot.translation, robot.rotation),
        latency_ms={entry.key: float(entry.value) for entry in contents[LATENCY].status[0].values},
    )


def _make(message_type: str, /, **fields: Any) -> object:
    return ros2_types().types[message_type](**fields)


def _message(topic: str, stamp_ns: int, content: object) -> Message:
    return Message(channel_id(topic), stamp_ns, ros2_types().serialize_cdr(content, TOPICS[topic]))


def _header(stamp_ns: int, frame_id: str) -> object:
    return _make("std_msgs/msg/Header", stamp=_time(stamp_ns), frame_id=frame_id)


def _time(stamp_ns: int) -> object:
    return _make("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)


def _jpeg(header: object, data: bytes) -> object:
    name = "sensor_msgs/msg/CompressedImage"
    return _make(name, header=header, format="jpeg", data=np.frombuffer(data, dtype=np.uint8))


def _image(header: object, pixels: NDArray[np.uint8]) -> object:
    height, width = pixels.shape
    return _make(
        "sensor_msgs/msg/Image",
        header=header,
        height=height,
        width=width,
        encoding="mono8",
        is_bigendian=0,
        step=width,
        data=pixels.reshape(-1),
    )


def _pixels(message: Any) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = message.data.reshape(message.height, message.width)
    return pixels


def _camera_info(header: object, camera: Camera) -> object:
    roi = _make("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return _make(
        "sensor_msgs/msg/CameraInfo",
        header=header,
        height=camera.height,
        width=camera.width,
        distortion_model=camera.model,
        d=np.array(camera.distortion, dtype=np.float64),
        k=camera.matrix.reshape(-1),
        r=np.eye(3).reshape(-1),
        p=np.hstack([camera.matrix, np.zeros((3, 1))]).reshape(-1),
        binning_x=0,
        binning_y=0,
        roi=roi,
    )


def _occupancy_grid(header: object, result: ResultFrame) -> object:
    rows, cols = result.costmap.shape
    info = _make(
        "nav_msgs/msg/MapMetaData",
        map_load_time=_time(result.stamp_ns),
        resolution=result.resolution,
        width=cols,
        height=rows,
        origin=_make(
            "geometry_msgs/msg/Pose",
            position=_point("geometry_msgs/msg/Point", (*result.origin_xy, 0.0)),
            orientation=_quaternion((0.0, 0.0, 0.0, 1.0)),
        ),
    )
    return _make("nav_msgs/msg/OccupancyGrid", header=header, info=info, data=result.costmap.reshape(-1))


def _transform(header: object, child: str, parent_from_child: Transform) -> object:
    transform = _make(
        "geometry_msgs/msg/Transform",
        translation=_point("geometry_msgs/msg/Vector3", parent_from_child.translation.tolist()),
        rotation=_quaternion(parent_from_child.quaternion().tolist()),
    )
    return _make("geometry_msgs/msg/TransformStamped", header=header, child_frame_id=child, transform=transform)


def _point(name: str, xyz: Sequence[float]) -> object:
    return _make(name, x=xyz[0], y=xyz[1], z=xyz[2])


def _quaternion(xyzw: Sequence[float]) -> object:
    x, y, z, w = xyzw
    return _make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)


def _latency(header: object, latency_ms: dict[str, float]) -> object:
    values = [_make("diagnostic_msgs/msg/KeyValue", key=key, value=f"{ms:.3f}") for key, ms in latency_ms.items()]
    status = _make(
        "diagnostic_msgs/msg/DiagnosticStatus",
        level=0,
        name="seg_perception: latency",
        message="milliseconds per stage",
        hardware_id="",
        values=values,
    )
    return _make("diagnostic_msgs/msg/DiagnosticArray", header=header, status=[status])
