"""ROS messages to numpy and back, without a copy where the message allows it.

rclpy stores a uint8[] as an array.array: numpy reads it in place, and a message stores a given array.array as it is.
"""

from __future__ import annotations

import array
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
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
    """A decoded camera image for the pipeline.

    Attributes:
        pixels: uint8 [h, w, 3]; a read-only view of the message if the encoding allows. A JPEG may be decoded at
            a reduced size.
        order: order of its channels.
        width: of the camera's image, pixels.
        height: of the camera's image, pixels.
    """

    pixels: NDArray[np.uint8]
    order: ChannelOrder
    width: int
    height: int


def decode(message: Image | CompressedImage, min_size: tuple[int, int]) -> DecodedImage:
    """Decode the image in a message.

    Args:
        message: sensor_msgs Image or CompressedImage.
        min_size: least (width, height) of the decoded image: the network's input size.

    Raises:
        ImageError: the message holds no valid image; one sentence says why.
    """
    if isinstance(message, Image):
        pixels, order = _decode_raw(message)
        return DecodedImage(pixels, order, message.width, message.height)
    check_format(message.format)
    size = size_of(message.data)
    pixels = decode_compressed(message.data, reduction(size, min_size))
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
        raise ImageError(
            f"{str(unknown).removesuffix('.')}, or install cv_bridge, which supports a few more."
        ) from None
    try:
        return np.asarray(bridge.CvBridge().imgmsg_to_cv2(message, "bgr8"), dtype=np.uint8)
    except Exception as error:  # cv_bridge passes on C++ exceptions of several lines
        reason = " ".join(str(error).split()).removesuffix(".")
        raise ImageError(f"cv_bridge cannot convert image encoding '{message.encoding}': {reason}.") from None


def time_of(stamp_ns: int) -> Time:
    """A stamp in nanoseconds as a message."""
    return Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)


def make_ros_message(message_type: str, /, **fields: Any) -> Any:
    """A message of a type installed here, such as "std_msgs/msg/Header": the factory for `MessageBuilder`.

    Unlike the functions below it serves every type, and takes about twice their time.
    """
    message_class, sequences, octets = _type_fields(message_type)
    for name, value in fields.items():
        if name in sequences and isinstance(value, np.ndarray):
            fields[name] = _bytes(value.dtype.char, value)
        elif name in octets:
            fields[name] = bytes([value])
    return message_class(**fields)


@cache
def _type_fields(message_type: str) -> tuple[Any, frozenset[str], frozenset[str]]:
    """The class of a type, its fields of any length, and those of one byte, which rclpy takes as `bytes`."""
    package, _, name = message_type.partition("/msg/")
    message_class = getattr(optional(f"{package}.msg"), name)
    kinds = message_class.get_fields_and_field_types()
    sequences = frozenset(field for field, kind in kinds.items() if kind.startswith("sequence<"))
    return message_class, sequences, frozenset(field for field, kind in kinds.items() if kind == "octet")


def camera_of(info: CameraInfo, image_topic: str) -> Camera:
    """The camera of a CameraInfo; the name of `image_topic` says whether its images are rectified.

    Raises:
        GeometryError: the calibration is missing or not valid.
    """
    return Camera.from_info(info.width, info.height, info.distortion_model, info.k, info.d, info.p, image_topic)


def image_message(header: Any, pixels: NDArray[Any], encoding: str) -> Image:
    """A raw image message.

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
        resolution: edge length of a cell, m.
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
    """A map_msgs/OccupancyGridUpdate of a block of the costmap.

    map_msgs must be installed.

    Args:
        stamp_ns: of the costmap, nanoseconds.
        frame_id: odom.
        block: int8 [rows, cols], its cells.
        row: of the block's first cell in the costmap.
        col: of the block's first cell in the costmap.
    """
    maps = optional("map_msgs.msg")
    assert maps is not None
    message = maps.OccupancyGridUpdate(x=col, y=row, width=block.shape[1], height=block.shape[0])
    message.header.stamp = time_of(stamp_ns)
    message.header.frame_id = frame_id
    message.data = _bytes("b", block)
    return message


def latency_message(stamp_ns: int, milliseconds: Mapping[str, float]) -> DiagnosticArray:
    """Stage → milliseconds as diagnostic values, which plotting tools read as numbers, at the image's stamp."""
    values = [KeyValue(key=stage, value=f"{ms:.3f}") for stage, ms in milliseconds.items()]
    status = DiagnosticStatus(name="seg_perception: latency", message="milliseconds per stage", values=values)
    message = DiagnosticArray(status=[status])
    message.header.stamp = time_of(stamp_ns)
    return message


def label_info_type() -> Any:
    """vision_msgs/LabelInfo if vision_msgs is installed, else std_msgs/String for the same content as JSON."""
    vision = optional("vision_msgs.msg")
    return vision.LabelInfo if vision else String


def label_info(info: LabelInfo, stamp_ns: int) -> Any:
    """The meaning of the values of label images, as a message of `label_info_type`."""
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
