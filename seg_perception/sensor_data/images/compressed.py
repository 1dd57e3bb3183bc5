"""sensor_msgs/CompressedImage and image files -> uint8 colour image, no larger than the network needs."""

from __future__ import annotations

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ImageError
from seg_perception.sensor_data.images.raw import ChannelOrder

_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_JPEG_TABLES = (0xC4, 0xC8, 0xCC)  # among the frame markers, but none: Huffman tables, an extension, arithmetic coding
_JPEG_BARE = (0x00, 0x01, *range(0xD0, 0xD8), 0xFF)  # no length follows: stuffing, markers without a segment, filling
_JPEG_SIZE = struct.Struct(">HH")
_PNG_START, _PNG_END, _PNG_SIZE = b"\x89PNG\r\n\x1a\n", b"IEND", struct.Struct(">II")
_REDUCED_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_MOST_PIXELS = 2**27  # more than any camera has; a damaged header must not cost gigabytes
_VIDEO_CODECS = ("h264", "h265", "hevc", "av1", "vp9")


def check_format(image_format: str) -> None:
    """Raise ImageError for a CompressedImage format that is known not to hold colour pictures."""
    if "compresseddepth" in image_format.lower():
        raise ImageError(f"format '{image_format}' is a depth image, not a picture; choose the camera's colour topic.")
    if any(codec in image_format.lower() for codec in _VIDEO_CODECS):
        raise ImageError(
            f"format '{image_format}' is a video stream, whose messages are no pictures of their own; "
            "re-publish the topic as JPEG or raw images."
        )


def channel_order(image_format: str) -> ChannelOrder:
    """Order of the channels that come out of the decoder for a format such as "rgb8; jpeg compressed bgr8".

    What follows "compressed" names the layout that was handed to the encoder as if it were bgr. Most publishers convert
    first ("... compressed bgr8", or the codec alone); one that did not has red and blue swapped inside the JPEG.
    """
    _, _, stored = image_format.lower().partition("compressed")
    return "rgb" if stored.strip().startswith("rgb") else "bgr"


def size_of(data: bytes | memoryview | NDArray[np.uint8]) -> tuple[int, int]:
    """(width, height) of a compressed picture; of a JPEG or PNG from its header alone.

    Raises:
        ImageError: the data is damaged, no picture, or larger than any camera's.
    """
    size = _stated_size(np.frombuffer(data, dtype=np.uint8).tobytes())
    if size is None:
        height, width = decode_compressed(data).shape[:2]
        size = width, height
    return size


def _stated_size(content: bytes) -> tuple[int, int] | None:
    """(width, height) by the header of a JPEG or PNG, None for other formats; raises as `size_of` does."""
    if content.startswith(_JPEG_START):
        size = _jpeg_size(content)
    elif content.startswith(_PNG_START) and len(content) >= _PNG_SIZE.size + 16:
        size = _PNG_SIZE.unpack_from(content, 16)
    else:
        return None
    if size is None or min(size) == 0:
        raise _undecodable(content)
    if size[0] * size[1] > _MOST_PIXELS:
        raise ImageError(f"{size[0]}x{size[1]} pixels are more than any camera has; the image's header is damaged.")
    return size


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """From the frame header (ITU-T T.81, B.2.2), which stands among the segments before the scan.

    Finds it as libjpeg does, past fill bytes and damage: a size that only the decoder saw could cost gigabytes.
    """
    position = content.find(b"\xff", 2)
    while 0 <= position <= len(content) - 9:
        marker = content[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in _JPEG_TABLES:
            height, width = _JPEG_SIZE.unpack_from(content, position + 5)
            return width, height
        position += 1
        if marker not in _JPEG_BARE:
            position += 1 + int.from_bytes(content[position + 1 : position + 3], "big")
        position = content.find(b"\xff", position)
    return None


def reduction(size: tuple[int, int], wanted: tuple[int, int]) -> int:
    """By how much a JPEG may be scaled down while it is decoded.

    Args:
        size: (width, height) of the image.
        wanted: (width, height) that must at least remain, normally the network's input size.

    Returns:
        1, 2, 4 or 8: the largest that divides both sides evenly, so that the intrinsics scale exactly.
    """
    return max(
        factor
        for factor in _REDUCED_FLAGS
        if factor == 1
        or all(side % factor == 0 and side // factor >= least for side, least in zip(size, wanted, strict=True))
    )


def decode_compressed(data: bytes | memoryview | NDArray[np.uint8], factor: int = 1) -> NDArray[np.uint8]:
    """Decode a JPEG, PNG or other still picture that OpenCV reads.

    Orientation tags are ignored: a calibration belongs to the pixels as the sensor delivers them.

    Args:
        data: the file content.
        factor: 1, 2, 4 or 8; JPEGs come out this much smaller (and are decoded that much faster), others full size.

    Returns:
        uint8 [H, W, 3] in the order the encoder was given, by OpenCV's convention bgr (see `channel_order`).

    Raises:
        ImageError: the data cannot be decoded, or by its header is larger than any camera's.
    """
    flat: NDArray[np.uint8] = np.frombuffer(data, dtype=np.uint8)
    content = flat.tobytes()
    _stated_size(content)
    is_jpeg = content.startswith(_JPEG_START)
    # Some decoders fill what a cut JPEG lacks with grey. Within a scan 0xff is stuffed, so the markers found are real.
    is_cut = is_jpeg and content.rfind(_JPEG_END) < content.rfind(_JPEG_SCAN)
    is_cut |= content.startswith(_PNG_START) and not _is_whole_png(content)
    flags = _REDUCED_FLAGS[factor if is_jpeg else 1] | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(flat, flags) if content and not is_cut else None
    except cv2.error:
        image = None
    if image is None:
        raise _undecodable(content)
    return image.astype(np.uint8, copy=False)


def _undecodable(content: bytes) -> ImageError:
    return ImageError(f"{len(content)} bytes of compressed image cannot be decoded; they are damaged or no picture.")


def _is_whole_png(content: bytes) -> bool:
    """Whether its chunks (length, type, data, checksum) lead from one to the next up to the last.

    OpenCV takes the memory that a length asks for, gigabytes if it is damaged, before it looks for the data.
    """
    position = len(_PNG_START)
    while position + 12 <= len(content):
        if content[position + 4 : position + 8] == _PNG_END:
            return True
        position += 12 + int.from_bytes(content[position : position + 4], "big")
    return False
