"""ROS messages to numpy and back; no copy where the message allows, one where not.

rclpy keeps a uint8[] as an array.array: numpy reads it in place, and a message takes another array.array as it is.
"""

from __future__ import annotations

import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String

from seg_perception.errors import ImageError
from seg_perception.geometry.camera import Camera
from seg_perception.recordings.result_bag.result_frame import LabelInfo
from seg_perception.ros.optional import optional
from seg_perception.sensor_data.images.compressed import (
    channel_order,
    check_format,
    decode_compressed,
    reduction,
    size_of,
)
from seg_perception.sensor_data.images.raw import ChannelOrder, check_encoding, decode_image


@dataclass(frozen=True)
class DecodedImage:
    """A camera image as the pipeline takes it.

    Attributes:
        pixels: uint8 [h, w, 3]; where the encoding allows, a read-only view of the message. A JPEG may be decoded at
            reduced size.
        order: order of its channels.
        width: of the image as the camera took it, pixels.
        height: of the image as the camera took it, pixels.
    """

    pixels: NDArray[np.uint8]
    order: ChannelOrder
    width: int
    height: int


def decode(message: Image | CompressedImage, wanted_size: tuple[int, int]) -> DecodedImage:
    """The picture in a message.

    Args:
        message: sensor_msgs Image or CompressedImage.
        wanted_size: (width, height) that must at least remain, the network's input size.

    Raises:
        ImageError: the message holds no picture that can be read; one sentence says why.
    """
    if isinstance(message, Image):
        pixels, order = _decode_raw(message)
        return DecodedImage(pixels, order, message.width, message.height)
    check_format(message.format)
    size = size_of(message.data)
    pixels = decode_compressed(message.data, reduction(size, wanted_size))
    return DecodedImage(pixels, channel_order(message.format), *size)


def _decode_raw(message: Image) -> tuple[NDArray[np.uint8], ChannelOrder]:
    try:
        check_encoding(message.encoding)
    except ImageError as error:
        return _decode_by_cv_bridge(message, error), "bgr"
    return decode_image(
        message.height, message.width, message.encoding, bool(message.is_bigendian), message.step, message.data
    )


def _decode_by_cv_bridge(message: Image, unknown: ImageError) -> NDArray[np.uint8]:
    bridge = optional("cv_bridge")
    if bridge is None:
        raise ImageError(f"{str(unknown).removesuffix('.')}, or install cv_bridge, which knows a few more.") from None
    try:
        return np.asarray(bridge.CvBridge().imgmsg_to_cv2(message, "bgr8"), dtype=np.uint8)
    except Exception as error:  # cv_bridge raises what its C++ part does, over several lines
        reason = " ".join(str(error).split()).removesuffix(".")
        raise ImageError(f"cv_bridge cannot convert image encoding '{message.encoding}': {reason}.") from None


def time_of(stamp_ns: int) -> Time:
    """A stamp in nanoseconds as a message."""
    return Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)


def camera_of(info: CameraInfo, image_topic: str) -> Camera:
    """The camera that a CameraInfo describes; `image_topic` tells whether its images are rectified.

    Raises:
        GeometryError: it describes none, or the camera is not calibrated.
    """
    return Camera.from_info(info.width, info.height, info.distortion_model, info.k, info.d, info.p, image_topic)


def image_message(header: Any, pixels: NDArray[Any], encoding: str) -> Image:
    """A raw image; its header is the given one.

    Args:
        header: std_msgs/Header.
        pixels: [h, w] or [h, w, channels] of the encoding's type.
        encoding: of sensor_msgs/image_encodings.hpp.
    """
    height, width = pixels.shape[:2]
    message = Image(header=header, height=height, width=width, encoding=encoding)
    message.is_bigendian = int(not np.little_endian)
    message.step = pixels[0].nbytes
    message.data = _bytes("B", pixels)
    return message


def occupancy_grid(
    stamp_ns: int, frame_id: str, costmap: NDArray[np.int8], origin: tuple[float, float], resolution: float
) -> OccupancyGrid:
    """A costmap in nav_msgs/OccupancyGrid values.

    Args:
        stamp_ns: of the image it is made from, nanoseconds.
        frame_id: odom.
        costmap: int8 [rows, cols]; row is y, column is x.
        origin: (x, y) of the least corner of cell (0, 0), m.
        resolution: edge of a cell, m.
    """
    message = OccupancyGrid()
    message.header.stamp = message.info.map_load_time = time_of(stamp_ns)
    message.header.frame_id = frame_id
    message.info.height, message.info.width = costmap.shape
    message.info.resolution = resolution
    message.info.origin.position.x, message.info.origin.position.y = origin
    message.info.origin.orientation.w = 1.0
    message.data = _bytes("b", costmap)
    return message


def costmap_update(stamp_ns: int, frame_id: str, block: NDArray[np.int8], row: int, col: int) -> Any:
    """A map_msgs/OccupancyGridUpdate: the cells of `block`, int8 [rows, cols], from (row, col) of the last costmap on.

    Only where map_msgs is installed.
    """
    maps = optional("map_msgs.msg")
    assert maps is not None
    message = maps.OccupancyGridUpdate(x=col, y=row, width=block.shape[1], height=block.shape[0])
    message.header.stamp = time_of(stamp_ns)
    message.header.frame_id = frame_id
    message.data = _bytes("b", block)
    return message


def latency_message(stamp_ns: int, milliseconds: Mapping[str, float]) -> DiagnosticArray:
    """Stage → milliseconds as diagnostic values, which plotting tools read as numbers; at the image's stamp."""
    values = [KeyValue(key=stage, value=f"{ms:.3f}") for stage, ms in milliseconds.items()]
    status = DiagnosticStatus(name="seg_perception: latency", message="milliseconds per stage", values=values)
    message = DiagnosticArray(status=[status])
    message.header.stamp = time_of(stamp_ns)
    return message


def label_info_type() -> Any:
    """vision_msgs/LabelInfo where it is installed, else std_msgs/String, which carries the same as JSON."""
    vision = optional("vision_msgs.msg")
    return vision.LabelInfo if vision else String


def label_info(info: LabelInfo, stamp_ns: int) -> Any:
    """What the values of the label images mean, in the type of `label_info_type`."""
    vision = optional("vision_msgs.msg")
    if vision is None:
        return String(data=info.to_json())
    message = vision.LabelInfo()
    message.header.stamp = time_of(stamp_ns)
    message.class_map = [vision.VisionClass(class_id=k, class_name=name) for k, name in enumerate(info.classes)]
    return message


def _bytes(typecode: str, values: NDArray[Any]) -> array.array[int]:
    content = array.array(typecode)
    content.frombytes(np.ascontiguousarray(values).data.cast("B"))
    return content
