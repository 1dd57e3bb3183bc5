"""Decodes sensor_msgs/Image to uint8 colour, for recordings and the ROS node."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ImageError
from seg_perception.sensor_data.images.header import MAX_IMAGE_PIXELS, check_pixels
from seg_perception.utils.short_text import shortened

ChannelOrder = Literal["rgb", "bgr"]

# Packed encodings: name -> (channels, bytes per channel, order of the colour channels).
# The names are those of sensor_msgs/image_encodings.hpp; 8UC3 has no order of its own, OpenCV's is bgr.
_PACKED: dict[str, tuple[int, int, ChannelOrder]] = {
    "rgb8": (3, 1, "rgb"),
    "bgr8": (3, 1, "bgr"),
    "8UC3": (3, 1, "bgr"),
    "rgba8": (4, 1, "rgb"),
    "bgra8": (4, 1, "bgr"),
    "mono8": (1, 1, "bgr"),
    "8UC1": (1, 1, "bgr"),
    "rgb16": (3, 2, "rgb"),
    "bgr16": (3, 2, "bgr"),
    "rgba16": (4, 2, "rgb"),
    "bgra16": (4, 2, "bgr"),
    "mono16": (1, 2, "bgr"),
    "16UC1": (1, 2, "bgr"),
}

# ROS names a Bayer pattern by the first two pixels of the first row and of the second row; OpenCV's classic constants
# by the second and third pixel of the second row and of the third. So ROS rggb is OpenCV "BG", and so on.
_BAYER = {
    "rggb": cv2.COLOR_BayerBG2BGR,
    "bggr": cv2.COLOR_BayerRG2BGR,
    "gbrg": cv2.COLOR_BayerGR2BGR,
    "grbg": cv2.COLOR_BayerGB2BGR,
}
_BAYER_DEPTHS = {f"bayer_{pattern}{bits}": (code, bits // 8) for pattern, code in _BAYER.items() for bits in (8, 16)}

# 4:2:2, two bytes per pixel; "uyvy" and "yuyv" are the newer names of the same two layouts.
_YUV422 = {
    "yuv422": cv2.COLOR_YUV2BGR_UYVY,
    "uyvy": cv2.COLOR_YUV2BGR_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2BGR_YUY2,
    "yuyv": cv2.COLOR_YUV2BGR_YUY2,
}
# 4:2:0, a plane of luma and one of interleaved chroma at half size below it. nv12 is not in sensor_msgs, but is used.
_YUV420 = {"nv12": cv2.COLOR_YUV2BGR_NV12, "nv21": cv2.COLOR_YUV2BGR_NV21}

SUPPORTED_ENCODINGS = (*_PACKED, *_BAYER_DEPTHS, *_YUV422, *_YUV420)


def check_encoding(encoding: str) -> None:
    """Raise ImageError unless `decode_image` reads this encoding."""
    if encoding not in SUPPORTED_ENCODINGS:
        raise ImageError(
            f"image encoding '{shortened(encoding)}' is not supported; convert the images to one of "
            f"{', '.join(SUPPORTED_ENCODINGS)}."
        )


def decode_image(
    height: int,
    width: int,
    encoding: str,
    is_bigendian: bool,
    step: int,
    data: bytes | memoryview | NDArray[np.uint8],
    max_pixels: int = MAX_IMAGE_PIXELS,
) -> tuple[NDArray[np.uint8], ChannelOrder]:
    """The content of a sensor_msgs/Image as 8-bit colour.

    16-bit values keep their high byte (v >> 8: exact for 8-bit values widened by 257). YUV is BT.601, limited range.

    Args:
        height: rows of pixels.
        width: pixels in a row.
        encoding: one of SUPPORTED_ENCODINGS.
        is_bigendian: byte order of 16-bit values.
        step: bytes from one row to the next, padding included.
        data: step * height bytes (nv12, nv21: half as much again); any flat buffer of bytes.
        max_pixels: largest number of pixels.

    Returns:
        uint8 [height, width, 3] and the order of its channels; grey images have three equal ones. For rgb8, bgr8 and
        8UC3 a read-only view of `data`.

    Raises:
        ImageError: the encoding is unknown, the sizes are inconsistent, or the image is too large.
    """
    check_encoding(encoding)
    if height <= 0 or width <= 0:
        raise ImageError(f"a {encoding} image of {width}x{height} pixels is empty; check its publisher.")
    check_pixels(width, height, max_pixels)
    if encoding in _PACKED:
        channels, depth, order = _PACKED[encoding]
        rows = rows_of(height, width * channels * depth, encoding, step, data)
        return _colour(_high_bytes(rows, depth, is_bigendian).reshape(height, width, channels), order), order
    if encoding in _BAYER_DEPTHS:
        _check_even(width, height, encoding)
        code, depth = _BAYER_DEPTHS[encoding]
        rows = rows_of(height, width * depth, encoding, step, data)
        return _converted(_high_bytes(rows, depth, is_bigendian), code), "bgr"
    if encoding in _YUV422:
        _check_even(width, 2, encoding)
        rows = rows_of(height, width * 2, encoding, step, data)
        return _converted(rows.reshape(height, width, 2), _YUV422[encoding]), "bgr"
    _check_even(width, height, encoding)
    rows = rows_of(height * 3 // 2, width, encoding, step, data)
    return _converted(rows, _YUV420[encoding]), "bgr"


def rows_of(
    height: int, row_bytes: int, encoding: str, step: int, data: bytes | memoryview | NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """`data` as a read-only uint8 [height, row_bytes] view without the padding.

    Args:
        height: rows.
        row_bytes: bytes of a row that hold pixels.
        encoding: for messages.
        step: bytes from one row to the next.
        data: step * height bytes.

    Raises:
        ImageError: the sizes are inconsistent.
    """
    flat: NDArray[np.uint8] = np.frombuffer(data, dtype=np.uint8)
    if step < row_bytes:
        raise ImageError(
            f"a row of a {encoding} image takes {row_bytes} bytes, but its step says {step}; check its publisher."
        )
    if flat.size != step * height:
        raise ImageError(
            f"a {encoding} image with step {step} must hold {step * height} bytes, not {flat.size}; "
            "check its publisher."
        )
    flat.setflags(write=False)
    return flat.reshape(height, step)[:, :row_bytes]


def _check_even(width: int, height: int, encoding: str) -> None:
    if width % 2 or height % 2:
        raise ImageError(
            f"a {encoding} image must have even sides, not {width}x{height}: its colours span pixel pairs; "
            "check its publisher."
        )


def _high_bytes(rows: NDArray[np.uint8], depth: int, is_bigendian: bool) -> NDArray[np.uint8]:
    return rows if depth == 1 else rows[:, 0 if is_bigendian else 1 :: 2]


def _colour(pixels: NDArray[np.uint8], order: ChannelOrder) -> NDArray[np.uint8]:
    """[H, W, 1|3|4] -> [H, W, 3] in the same order."""
    if pixels.shape[2] == 1:
        return _converted(pixels, cv2.COLOR_GRAY2BGR)
    if pixels.shape[2] == 4:
        return _converted(pixels, cv2.COLOR_BGRA2BGR)
    return pixels


def _converted(pixels: NDArray[np.uint8], code: int) -> NDArray[np.uint8]:
    converted = cv2.cvtColor(pixels, code)
    return converted.astype(np.uint8, copy=False)
