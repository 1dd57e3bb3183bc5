"""Reads the size that a compressed image declares, and checks it against a limit, before anything is decoded.

A decoder allocates what the header declares: a file of a few hundred bytes can take gigabytes. So a format whose header
is not read here is not decoded.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Callable, Iterator

from seg_perception.errors import ImageError

MAX_IMAGE_PIXELS = 25_000_000
"""Default of the largest number of pixels of an image that is decoded: 75 MB of colour."""

MAX_IMAGE_BYTES = 256_000_000
"""Largest image file; 25 million pixels of four 16-bit channels without compression take 200 MB."""

JPEG_START, PNG_START = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"

Size = tuple[int, int]
"""Width and height, pixels."""

_MAX_SIDE = 1 << 16
_MAX_PIXEL_BITS = 128  # four channels of 32 bits

_JPEG_SCAN = b"\xff\xda"
_JPEG_TABLES = (0xC4, 0xC8, 0xCC)  # among the frame markers, but none: Huffman tables, an extension, arithmetic coding
_JPEG_BARE = (0x00, 0x01, *range(0xD0, 0xD8), 0xFF)  # no length follows: stuffing, markers without a segment, filling
# Every scan of a progressive JPEG passes over the whole image. Encoders write 10, and a preview in the header has some.
_MAX_JPEG_SCANS = 64

_MAX_PNG_CHUNKS = 100_000
_PNG_COMPRESSED_NOTES = (b"iCCP", b"iTXt", b"zTXt")  # some decoders inflate them; the pixels do not need them

_PNM = re.compile(rb"P[1-6](?:\s|#[^\r\n]*[\r\n])+([0-9]{1,9})(?:\s|#[^\r\n]*[\r\n])+([0-9]{1,9})\s")
_TIFF_STARTS = {b"II*\0": "<", b"MM\0*": ">"}
# Tags of TIFF 6.0, section 8 and 15.
_TIFF_TAGS = {256: "width", 257: "height", 258: "bits", 277: "channels", 322: "tile_width", 323: "tile_height"}
_TIFF_TYPES = {1: "B", 3: "H", 4: "I"}


def check_pixels(width: int, height: int, max_pixels: int = MAX_IMAGE_PIXELS) -> None:
    """Check the size of an image before memory is allocated for it.

    Raises:
        ImageError: it is empty, has more than `max_pixels`, or a side no camera has.
    """
    if min(width, height) < 1:
        raise ImageError(f"{width}x{height} pixels are no image; its header is damaged.")
    if width * height > max_pixels:
        raise ImageError(
            f"{width}x{height} pixels are more than the limit of {max_pixels}; its header is damaged, or scale the "
            "image down."
        )
    if max(width, height) > _MAX_SIDE:
        raise ImageError(
            f"{width}x{height} pixels are no camera image, whose sides have {_MAX_SIDE} at most; its header is damaged."
        )


def declared_size(content: bytes, max_pixels: int = MAX_IMAGE_PIXELS) -> Size:
    """Width and height that the header of a compressed image declares.

    Args:
        content: a JPEG, PNG, BMP, TIFF, WebP, PBM, PGM or PPM.
        max_pixels: largest number of pixels allowed.

    Raises:
        ImageError: the header is damaged or of another format, or the image is too large.
    """
    size = next((read(content) for start, read in _READERS if content.startswith(start)), None)
    if size is None or min(size) < 1:
        raise undecodable(content)
    check_pixels(*size, max_pixels)
    if content[:4] in _TIFF_STARTS:
        _check_tiff(content, size, max_pixels)
    return size


def undecodable(content: bytes) -> ImageError:
    """The error for content that no decoder reads."""
    return ImageError(f"{len(content)} bytes of compressed image cannot be decoded; they are damaged or not an image.")


def without_compressed_notes(content: bytes) -> bytes:
    """A PNG without profile and texts that its decoder would inflate; any other image as it is.

    OpenCV allocates the length of a chunk before it reads the data: gigabytes if the length is damaged.

    Raises:
        ImageError: a PNG is not complete, or has a second header or a hundred thousand chunks.
    """
    if not content.startswith(PNG_START):
        return content
    chunks = list(itertools.islice(_png_chunks(content), _MAX_PNG_CHUNKS))
    kinds = [kind for kind, _, _ in chunks]
    if kinds[-1:] != [b"IEND"] or kinds.count(b"IHDR") != 1 or chunks[-1][2] > len(content):
        raise undecodable(content)
    if not any(kind in _PNG_COMPRESSED_NOTES for kind in kinds):
        return content
    kept = (content[start:end] for kind, start, end in chunks if kind not in _PNG_COMPRESSED_NOTES)
    return b"".join([PNG_START, *kept])


def _jpeg_size(content: bytes) -> Size | None:
    """From the frame header (ITU-T T.81, B.2.2), one of the segments before the scan.

    The search skips fill bytes and damage as libjpeg does. A size that only the decoder finds could allocate gigabytes.
    """
    if content.count(_JPEG_SCAN) > _MAX_JPEG_SCANS:
        return None
    position = content.find(b"\xff", 2)
    while 0 <= position <= len(content) - 9:
        marker = content[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in _JPEG_TABLES:
            height, width = struct.unpack_from(">HH", content, position + 5)
            return width, height
        position += 1
        if marker not in _JPEG_BARE:
            position += 1 + int.from_bytes(content[position + 1 : position + 3], "big")
        position = content.find(b"\xff", position)
    return None


def _png_size(content: bytes) -> Size | None:
    if len(content) < 24 or content[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", content, 16)
    return width, height


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of each chunk (length, type, data, checksum) up to IEND; the last may lack its end."""
    position = len(PNG_START)
    while position + 12 <= len(content):
        kind, end = (
            content[position + 4 : position + 8],
            position + 12 + int.from_bytes(content[position : position + 4], "big"),
        )
        yield kind, position, end
        if kind == b"IEND":
            return
        position = end


def _bmp_size(content: bytes) -> Size | None:
    if len(content) < 26:
        return None
    if content[14:18] == b"\x0c\0\0\0":  # the header of OS/2
        width, height = struct.unpack_from("<HH", content, 18)
    else:
        width, height = struct.unpack_from("<ii", content, 18)
    return width, abs(height)  # a negative height means that the first row is the top one


def _webp_size(content: bytes) -> Size | None:
    """From the first chunk (RFC 9649): lossy, lossless or extended."""
    if len(content) < 30 or content[8:12] != b"WEBP":
        return None
    kind = content[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8X":
        return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
    return None


def _pnm_size(content: bytes) -> Size | None:
    match = _PNM.match(content[:4096])
    return (int(match[1]), int(match[2])) if match else None


def _tiff_size(content: bytes) -> Size | None:
    tags = _tiff_tags(content)
    return (tags["width"], tags["height"]) if "width" in tags and "height" in tags else None


def _check_tiff(content: bytes, size: Size, max_pixels: int) -> None:
    """Check what else its decoder allocates: one tile, which may be larger than the image, and wide pixels."""
    tags = _tiff_tags(content)
    pixel_bits = tags.get("channels", 1) * tags.get("bits", 1)
    if pixel_bits > _MAX_PIXEL_BITS:
        raise ImageError(
            f"{pixel_bits} bits per pixel are more than the limit of {_MAX_PIXEL_BITS}; convert the image."
        )
    if "tile_width" in tags or "tile_height" in tags:
        check_pixels(tags.get("tile_width", size[0]), tags.get("tile_height", size[1]), max_pixels)


def _tiff_tags(content: bytes) -> dict[str, int]:
    """The first value of some tags of the first image file directory (TIFF 6.0, section 2)."""
    order = _TIFF_STARTS[content[:4]]
    tags: dict[str, int] = {}
    try:
        (start,) = struct.unpack_from(f"{order}I", content, 4)
        (count,) = struct.unpack_from(f"{order}H", content, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, length = struct.unpack_from(f"{order}HHI", content, entry)
            if tag not in _TIFF_TAGS or kind not in _TIFF_TYPES:
                continue
            layout, where = f"{order}{_TIFF_TYPES[kind]}", entry + 8
            if length * struct.calcsize(layout) > 4:  # the values are elsewhere: bits, a number per channel
                (where,) = struct.unpack_from(f"{order}I", content, where)
            (value,) = struct.unpack_from(layout, content, where)
            tags.setdefault(_TIFF_TAGS[tag], value)
    except struct.error:  # cut short
        pass
    return tags


_READERS: tuple[tuple[bytes, Callable[[bytes], Size | None]], ...] = (
    (JPEG_START, _jpeg_size),
    (PNG_START, _png_size),
    (b"BM", _bmp_size),
    (b"RIFF", _webp_size),
    *((start, _tiff_size) for start in _TIFF_STARTS),
    *((b"P%d" % kind, _pnm_size) for kind in range(1, 7)),
)
