"""Decodes depth images to metres, for recordings and the ROS node."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ImageError
from seg_perception.sensor_data.images.compressed import decode_pixels
from seg_perception.sensor_data.images.header import MAX_IMAGE_PIXELS, PNG_START, check_pixels, declared_size
from seg_perception.sensor_data.images.raw import rows_of
from seg_perception.utils.short_text import shortened

# REP-118: 32FC1 in metres, NaN where nothing was measured, or 16UC1 in millimetres, 0 where nothing was. Some drivers
# call the latter mono16.
_BYTES = {"16UC1": 2, "mono16": 2, "32FC1": 4}
_MILLIMETRE = np.float32(1e-3)

DEPTH_ENCODINGS = tuple(_BYTES)

# Header that compressed_depth_image_transport writes before the PNG: kind of quantisation, and its two parameters.
_HEADER = struct.Struct("<iff")


def depth_of(message: Any, max_pixels: int = MAX_IMAGE_PIXELS) -> NDArray[np.float32]:
    """The depth in a sensor_msgs Image, or in a CompressedImage of compressed_depth_image_transport.

    Args:
        message: of a recording or of ROS; only field names matter.
        max_pixels: largest number of pixels.

    Returns:
        float32 [height, width], m; 0 or not finite where nothing was measured.

    Raises:
        ImageError: it holds no readable depth.
    """
    if hasattr(message, "format"):
        return decode_compressed_depth(message.format, message.data, max_pixels)
    layout = message.height, message.width, message.encoding, bool(message.is_bigendian), message.step
    return decode_depth(*layout, message.data, max_pixels)


def decode_depth(
    height: int,
    width: int,
    encoding: str,
    is_bigendian: bool,
    step: int,
    data: bytes | memoryview | NDArray[np.uint8],
    max_pixels: int = MAX_IMAGE_PIXELS,
) -> NDArray[np.float32]:
    """The content of a sensor_msgs/Image that holds depth.

    Args:
        height: rows of pixels.
        width: pixels in a row.
        encoding: one of DEPTH_ENCODINGS.
        is_bigendian: byte order.
        step: bytes from one row to the next, padding included.
        data: step * height bytes; any flat buffer of bytes.
        max_pixels: largest number of pixels.

    Returns:
        float32 [height, width], m; 0 or not finite where nothing was measured.

    Raises:
        ImageError: the encoding is unknown, the sizes are inconsistent, or the image is too large.
    """
    if encoding not in _BYTES:
        raise ImageError(f"encoding '{shortened(encoding)}' is not a depth encoding; use one of {', '.join(_BYTES)}.")
    if height <= 0 or width <= 0:
        raise ImageError(f"a {encoding} image of {width}x{height} pixels holds no depth; check its publisher.")
    check_pixels(width, height, max_pixels)
    kind = (">" if is_bigendian else "<") + ("f4" if encoding == "32FC1" else "u2")
    rows = rows_of(height, width * _BYTES[encoding], encoding, step, data)
    values: NDArray[np.float32] = np.ascontiguousarray(rows).view(kind).astype(np.float32)
    return values if encoding == "32FC1" else values * _MILLIMETRE


def decode_compressed_depth(
    image_format: str, data: bytes | memoryview | NDArray[np.uint8], max_pixels: int = MAX_IMAGE_PIXELS
) -> NDArray[np.float32]:
    """The content of a sensor_msgs/CompressedImage from compressed_depth_image_transport.

    A 16UC1 image is kept as it is. Of a 32FC1 image, depth z is kept as the whole number A / z + B, 0 for none
    (compressed_depth_image_transport, codec.cpp).

    Args:
        image_format: its `format`, such as "16UC1; compressedDepth png"; it begins with the encoding.
        data: a header of 12 bytes and a PNG of 16 bits.
        max_pixels: largest number of pixels that the PNG may declare.

    Returns:
        float32 [height, width], m; 0 or not finite where nothing was measured.

    Raises:
        ImageError: the format is unknown, the data is not a PNG of 16 bits, or the image is too large.
    """
    encoding = image_format.partition(";")[0].strip()
    content = np.frombuffer(data, dtype=np.uint8).tobytes()
    png = content[_HEADER.size :]
    if encoding in _BYTES and png.startswith(PNG_START):
        declared_size(png, max_pixels)
        decoded = _decoded(png, max_pixels)
    else:
        decoded = None
    if decoded is None or decoded.dtype != np.uint16 or decoded.ndim != 2:
        raise ImageError(
            f"format '{shortened(image_format)}' does not hold depth as a PNG of 16 bits; record the raw depth image."
        )
    levels: NDArray[np.float32] = decoded.astype(np.float32)
    if encoding != "32FC1":
        levels *= _MILLIMETRE
        return levels
    _, a, b = _HEADER.unpack(content[: _HEADER.size])
    levels[levels == 0] = np.nan
    with np.errstate(all="ignore"):  # a damaged header gives values that are not finite: nothing was measured
        metres: NDArray[np.float32] = np.float32(a) / (levels - np.float32(b))
    return metres


def _decoded(png: bytes, max_pixels: int) -> NDArray[Any] | None:
    try:
        return decode_pixels(png, cv2.IMREAD_UNCHANGED, max_pixels)
    except ImageError:
        return None
