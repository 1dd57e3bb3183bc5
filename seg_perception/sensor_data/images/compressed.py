"""Decodes sensor_msgs/CompressedImage and image files to uint8 colour, no larger than the network needs."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ImageError
from seg_perception.sensor_data.images.header import (
    JPEG_START,
    MAX_IMAGE_PIXELS,
    declared_size,
    undecodable,
    without_compressed_notes,
)
from seg_perception.sensor_data.images.raw import ChannelOrder
from seg_perception.utils.short_text import shortened

_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"
_REDUCED_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_VIDEO_CODECS = ("h264", "h265", "hevc", "av1", "vp9")


def check_format(image_format: str) -> None:
    """Raise ImageError for a CompressedImage format that is known not to hold colour images."""
    if "compresseddepth" in image_format.lower():
        raise ImageError(
            f"format '{shortened(image_format)}' is a depth image, not a colour image; choose the camera's colour "
            "topic."
        )
    if any(codec in image_format.lower() for codec in _VIDEO_CODECS):
        raise ImageError(
            f"format '{shortened(image_format)}' is a video stream, whose messages are not complete images; "
            "re-publish the topic as JPEG or raw images."
        )


def channel_order(image_format: str) -> ChannelOrder:
    """Order of the decoded channels for a format such as "rgb8; jpeg compressed bgr8".

    The word after "compressed" names the layout of the image that the encoder read as bgr. Most publishers convert to
    bgr first ("... compressed bgr8", or the codec alone). Otherwise red and blue are swapped inside the JPEG.
    """
    _, _, stored = image_format.lower().partition("compressed")
    return "rgb" if stored.strip().startswith("rgb") else "bgr"


def size_of(data: bytes | memoryview | NDArray[np.uint8], max_pixels: int = MAX_IMAGE_PIXELS) -> tuple[int, int]:
    """(width, height) of a compressed image from its header alone.

    Raises:
        ImageError: the header is damaged or not that of an image, or the image has more than `max_pixels`.
    """
    return declared_size(np.frombuffer(data, dtype=np.uint8).tobytes(), max_pixels)


def reduction(size: tuple[int, int], wanted: tuple[int, int]) -> int:
    """The factor by which a JPEG may be scaled down while it is decoded.

    Args:
        size: (width, height) of the image.
        wanted: smallest (width, height) of the result, normally the network's input size.

    Returns:
        1, 2, 4 or 8: the largest that divides both sides evenly, so that the intrinsics scale exactly.
    """
    return max(
        factor
        for factor in _REDUCED_FLAGS
        if factor == 1
        or all(side % factor == 0 and side // factor >= least for side, least in zip(size, wanted, strict=True))
    )


def decode_compressed(
    data: bytes | memoryview | NDArray[np.uint8], factor: int = 1, max_pixels: int = MAX_IMAGE_PIXELS
) -> NDArray[np.uint8]:
    """Decode a JPEG, PNG, BMP, TIFF, WebP, PBM, PGM or PPM.

    Orientation tags are ignored, because a calibration refers to the pixels as the sensor delivers them.

    Args:
        data: the file content.
        factor: 1, 2, 4 or 8; JPEGs are decoded at 1/factor of their size, which is faster; other formats at full size.
        max_pixels: largest number of pixels at full size.

    Returns:
        uint8 [H, W, 3] in the channel order that the encoder got, bgr by OpenCV's convention (see `channel_order`).

    Raises:
        ImageError: the data cannot be decoded, or its header gives a size above the limit.
    """
    content = np.frombuffer(data, dtype=np.uint8).tobytes()
    is_jpeg = content.startswith(JPEG_START)
    declared_size(content, max_pixels)
    # Some decoders fill the missing part of a cut JPEG with grey. Within a scan 0xff is stuffed, so markers are real.
    if is_jpeg and content.rfind(_JPEG_END) < content.rfind(_JPEG_SCAN):
        raise undecodable(content)
    flags = _REDUCED_FLAGS[factor if is_jpeg else 1] | cv2.IMREAD_IGNORE_ORIENTATION
    return _decode(content, flags).astype(np.uint8, copy=False)


def decode_pixels(content: bytes, flags: int, max_pixels: int = MAX_IMAGE_PIXELS) -> NDArray[Any]:
    """Decode an image as OpenCV does with these flags; a cut JPEG is filled up.

    Args:
        content: of the file.
        flags: of cv2.imdecode.
        max_pixels: largest number of pixels.

    Returns:
        [H, W] or [H, W, channels].

    Raises:
        ImageError: the data cannot be decoded, or its header gives a size above the limit.
    """
    declared_size(content, max_pixels)
    return _decode(content, flags)


def _decode(content: bytes, flags: int) -> NDArray[Any]:
    """Decode an image whose declared size was checked."""
    try:
        image = cv2.imdecode(np.frombuffer(without_compressed_notes(content), np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise undecodable(content)
    return np.asarray(image)
