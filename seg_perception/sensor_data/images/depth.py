"""Depth images -> metres. Plain values in, numpy out: recordings and the ROS node share it."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ImageError
from seg_perception.sensor_data.images.raw import rows_of

# REP-118: 32FC1 in metres, NaN where nothing was measured, or 16UC1 in millimetres, 0 where nothing was. Some drivers
# call the latter mono16.
_BYTES = {"16UC1": 2, "mono16": 2, "32FC1": 4}
_MILLIMETRE = np.float32(1e-3)

DEPTH_ENCODINGS = tuple(_BYTES)

# compressed_depth_image_transport writes before the PNG what quantised it: which way, and two parameters.
_HEADER = struct.Struct("<iff")


def depth_of(message: Any) -> NDArray[np.float32]:
    """The depth in a sensor_msgs Image, or in a CompressedImage of compressed_depth_image_transport.

    Args:
        message: of a recording or of ROS; only field names matter.

    Returns:
        float32 [height, width], m; 0 or not finite where nothing was measured.

    Raises:
        ImageError: it holds no depth that can be read.
    """
    if hasattr(message, "format"):
        return decode_compressed_depth(message.format, message.data)
    return decode_depth(
        message.height, message.width, message.encoding, bool(message.is_bigendian), message.step, message.data
    )


def decode_depth(
    height: int, width: int, encoding: str, is_bigendian: bool, step: int, data: bytes | memoryview | NDArray[np.uint8]
) -> NDArray[np.float32]:
    """The content of a sensor_msgs/Image that holds depth.

    Args:
        height: rows of pixels.
        width: pixels in a row.
        encoding: one of DEPTH_ENCODINGS.
        is_bigendian: byte order.
        step: bytes from one row to the next, padding included.
        data: step * height bytes; any flat buffer of bytes.

    Returns:
        float32 [height, width], m; 0 or not finite where nothing was measured.

    Raises:
        ImageError: another encoding, or numbers that contradict each other.
    """
    if encoding not in _BYTES:
        raise ImageError(f"encoding '{encoding}' is none of depth; use one of {', '.join(_BYTES)}.")
    if height <= 0 or width <= 0:
        raise ImageError(f"a {encoding} image of {width}x{height} pixels holds no depth; check its publisher.")
    kind = (">" if is_bigendian else "<") + ("f4" if encoding == "32FC1" else "u2")
    rows = rows_of(height, width * _BYTES[encoding], encoding, step, data)
    values: NDArray[np.float32] = np.ascontiguousarray(rows).view(kind).astype(np.float32)
    return values if encoding == "32FC1" else values * _MILLIMETRE


def decode_compressed_depth(image_format: str, data: bytes | memoryview | NDArray[np.uint8]) -> NDArray[np.float32]:
    """The content of a sensor_msgs/CompressedImage from compressed_depth_image_transport.

    A 16UC1 image is kept as it is. Of a 32FC1 image, depth z is kept as the whole number A / z + B, 0 for none
    (compressed_depth_image_transport, codec.cpp).

    Args:
        image_format: its `format`, such as "16UC1; compressedDepth png"; it begins with the encoding.
        data: a header of 12 bytes and a PNG of 16 bits.

    Returns:
        float32 [height, width], m; 0 or not finite where nothing was measured.

    Raises:
        ImageError: another format, or no PNG of 16 bits.
    """
    encoding = image_format.partition(";")[0].strip()
    content = np.frombuffer(data, dtype=np.uint8)
    try:
        picture = cv2.imdecode(content[_HEADER.size :], cv2.IMREAD_UNCHANGED) if content.size > _HEADER.size else None
    except cv2.error:  # such as a size beyond all bounds
        picture = None
    if encoding not in _BYTES or picture is None or picture.dtype != np.uint16 or picture.ndim != 2:
        raise ImageError(
            f"format '{image_format}' does not hold depth as a PNG of 16 bits; record the raw depth image."
        )
    levels: NDArray[np.float32] = picture.astype(np.float32)
    if encoding != "32FC1":
        levels *= _MILLIMETRE
        return levels
    _, a, b = _HEADER.unpack(content[: _HEADER.size].tobytes())
    levels[levels == 0] = np.nan
    metres: NDArray[np.float32] = np.float32(a) / (levels - np.float32(b))
    return metres
