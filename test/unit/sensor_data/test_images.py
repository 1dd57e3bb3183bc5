"""sensor_msgs/Image and CompressedImage content against OpenCV and hand-made pixels."""

from __future__ import annotations

import struct
import time

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from seg_perception.errors import ImageError
from seg_perception.sensor_data.images.compressed import (
    channel_order,
    check_format,
    decode_compressed,
    reduction,
    size_of,
)
from seg_perception.sensor_data.images.raw import SUPPORTED_ENCODINGS, decode_image

WIDTH, HEIGHT = 6, 4
RED, GREEN, BLUE = 200, 120, 40


def noise(*shape: int, dtype: type = np.uint8) -> NDArray[np.generic]:
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def test_rgb8_and_bgr8_are_passed_on_without_a_copy() -> None:
    pixels = noise(HEIGHT, WIDTH, 3)
    for encoding in ("rgb8", "bgr8", "8UC3"):
        data = pixels.tobytes()
        image, order = decode_image(HEIGHT, WIDTH, encoding, False, WIDTH * 3, data)
        assert order == ("rgb" if encoding == "rgb8" else "bgr")
        np.testing.assert_array_equal(image, pixels)
        assert np.shares_memory(image, np.frombuffer(data, np.uint8))
        assert not image.flags.writeable


def test_row_padding_is_skipped_for_every_encoding() -> None:
    for encoding in SUPPORTED_ENCODINGS:
        rows, row_bytes = _layout(encoding)
        tight = noise(rows, row_bytes)
        padded = np.concatenate([tight, np.full((rows, 10), 77, np.uint8)], axis=1)
        plain, order = decode_image(HEIGHT, WIDTH, encoding, False, row_bytes, tight.tobytes())
        image, padded_order = decode_image(HEIGHT, WIDTH, encoding, False, row_bytes + 10, padded.tobytes())
        assert image.shape == (HEIGHT, WIDTH, 3) and image.dtype == np.uint8 and order == padded_order
        np.testing.assert_array_equal(image, plain, err_msg=encoding)


def test_alpha_is_dropped_and_the_order_kept() -> None:
    pixels = noise(HEIGHT, WIDTH, 4)
    for encoding, order in (("rgba8", "rgb"), ("bgra8", "bgr")):
        image, actual = decode_image(HEIGHT, WIDTH, encoding, False, WIDTH * 4, pixels.tobytes())
        assert actual == order
        np.testing.assert_array_equal(image, pixels[..., :3])


def test_grey_becomes_three_equal_channels() -> None:
    pixels = noise(HEIGHT, WIDTH)
    for encoding in ("mono8", "8UC1"):
        image, _ = decode_image(HEIGHT, WIDTH, encoding, False, WIDTH, pixels.tobytes())
        np.testing.assert_array_equal(image, np.repeat(pixels[..., None], 3, axis=2))


@pytest.mark.parametrize("encoding", ["mono16", "16UC1", "rgb16", "bgr16", "rgba16", "bgra16"])
@pytest.mark.parametrize("is_bigendian", [False, True])
def test_sixteen_bits_keep_their_high_byte_in_either_byte_order(encoding: str, is_bigendian: bool) -> None:
    channels = {"rgb": 3, "bgr": 3}.get(encoding[:-2], 4 if "a16" in encoding else 1)
    values = noise(HEIGHT, WIDTH, channels, dtype=np.uint16)
    data = values.astype(">u2" if is_bigendian else "<u2").tobytes()
    image, order = decode_image(HEIGHT, WIDTH, encoding, is_bigendian, WIDTH * channels * 2, data)
    assert order == ("rgb" if encoding.startswith("rgb") else "bgr")
    np.testing.assert_array_equal(image, np.broadcast_to((values >> 8)[..., :3], (HEIGHT, WIDTH, 3)))


def test_an_eight_bit_value_survives_being_widened_by_257() -> None:
    values = np.arange(256, dtype=np.uint16).reshape(16, 16)
    image, _ = decode_image(16, 16, "mono16", False, 32, (values * 257).astype("<u2").tobytes())
    np.testing.assert_array_equal(image[..., 0], values)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_bayer_mosaic_of_one_colour_gives_that_colour_back(pattern: str, bits: int) -> None:
    value = {"r": RED, "g": GREEN, "b": BLUE}
    tile = np.array([[value[pattern[0]], value[pattern[1]]], [value[pattern[2]], value[pattern[3]]]], np.uint16)
    mosaic = np.tile(tile, (8, 8)) if bits == 8 else np.tile(tile * 257, (8, 8))
    data = mosaic.astype(np.uint8 if bits == 8 else "<u2").tobytes()
    image, order = decode_image(16, 16, f"bayer_{pattern}{bits}", False, 16 * bits // 8, data)
    assert order == "bgr"
    np.testing.assert_array_equal(image, np.broadcast_to(np.array([BLUE, GREEN, RED], np.uint8), (16, 16, 3)))


# BT.601, limited range: the primaries of a colour bar as (Y, U, V), and what they look like as (B, G, R).
COLOUR_BAR = {
    "red": ((81, 90, 240), (0, 0, 255)),
    "green": ((145, 54, 34), (0, 255, 0)),
    "blue": ((41, 240, 110), (255, 0, 0)),
}


@pytest.mark.parametrize("colour", COLOUR_BAR)
@pytest.mark.parametrize("encoding", ["yuv422", "uyvy", "yuv422_yuy2", "yuyv", "nv12", "nv21"])
def test_yuv_colour_bars_decode_to_their_colours(encoding: str, colour: str) -> None:
    (y, u, v), bgr = COLOUR_BAR[colour]
    if encoding in ("nv12", "nv21"):
        luma = np.full((HEIGHT, WIDTH), y, np.uint8)
        chroma = np.tile(np.array([u, v] if encoding == "nv12" else [v, u], np.uint8), (HEIGHT // 2, WIDTH // 2))
        data, step = np.concatenate([luma, chroma]).tobytes(), WIDTH
    else:
        pair = [u, y, v, y] if encoding in ("yuv422", "uyvy") else [y, u, y, v]
        data, step = np.tile(np.array(pair, np.uint8), (HEIGHT, WIDTH // 2)).tobytes(), WIDTH * 2
    image, order = decode_image(HEIGHT, WIDTH, encoding, False, step, data)
    assert order == "bgr"
    assert np.abs(image.astype(int) - np.array(bgr)).max() <= 2


def test_any_flat_buffer_of_bytes_is_read() -> None:
    pixels = noise(HEIGHT, WIDTH, 3)
    for data in (pixels.tobytes(), bytearray(pixels.tobytes()), memoryview(pixels.tobytes()), pixels.ravel()):
        np.testing.assert_array_equal(decode_image(HEIGHT, WIDTH, "bgr8", False, WIDTH * 3, data)[0], pixels)


@pytest.mark.parametrize(
    ("height", "width", "encoding", "step", "size", "words"),
    [
        (4, 6, "32FC1", 24, 96, ["32FC1", "rgb8"]),
        (4, 6, "", 18, 72, ["''", "rgb8"]),
        (0, 6, "rgb8", 18, 0, ["6x0"]),
        (4, 0, "rgb8", 0, 0, ["0x4"]),
        (4, 6, "rgb8", 17, 68, ["18 bytes", "17"]),
        (4, 6, "rgb8", 18, 71, ["72", "71"]),
        (4, 6, "rgb8", 18, 73, ["72", "73"]),
        (4, 6, "nv12", 6, 24, ["36", "24"]),
        (4, 7, "yuv422", 14, 56, ["even", "7x2"]),
        (5, 6, "nv21", 6, 45, ["even", "6x5"]),
        (5, 6, "bayer_rggb8", 6, 30, ["even", "6x5"]),
        (4, 6, "mono16", 12, 0, ["48", "not 0"]),
    ],
)
def test_inconsistent_sizes_are_refused_with_one_sentence(
    height: int, width: int, encoding: str, step: int, size: int, words: list[str]
) -> None:
    with pytest.raises(ImageError) as caught:
        decode_image(height, width, encoding, False, step, bytes(size))
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert message.endswith(".") and "\n" not in message


def test_jpeg_and_png_decode_as_opencv_does() -> None:
    image_in = cv2.resize(noise(6, 8, 3), (64, 48), interpolation=cv2.INTER_CUBIC)
    for suffix, tolerance in ((".png", 0), (".jpg", 30)):
        data = cv2.imencode(suffix, image_in)[1].tobytes()
        image = decode_compressed(data)
        assert image.shape == image_in.shape
        assert np.abs(image.astype(int) - image_in).max() <= tolerance


def test_a_jpeg_decoded_at_half_size_is_the_mean_of_its_pixels() -> None:
    image_in = cv2.resize(noise(6, 8, 3), (64, 48), interpolation=cv2.INTER_CUBIC)
    data = cv2.imencode(".jpg", image_in, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    half = decode_compressed(data, 2)
    assert half.shape == (24, 32, 3)
    mean = image_in.reshape(24, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.abs(half - mean).mean() < 4


def test_a_png_is_not_scaled() -> None:
    data = cv2.imencode(".png", noise(48, 64, 3))[1].tobytes()
    assert decode_compressed(data, 2).shape == (48, 64, 3)


@pytest.mark.parametrize("part", [0.0, 0.02, 0.3, 0.6, 0.98])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_cut_image_is_refused_and_never_filled_up(suffix: str, part: float) -> None:
    data = cv2.imencode(suffix, noise(64, 64, 3))[1].tobytes()
    with pytest.raises(ImageError, match="cannot be decoded"):
        decode_compressed(data[: int(len(data) * part)])


def test_trailing_padding_after_a_jpeg_does_not_matter() -> None:
    data = cv2.imencode(".jpg", noise(16, 16, 3))[1].tobytes()
    assert decode_compressed(data + bytes(3000)).shape == (16, 16, 3)


def test_random_bytes_are_refused() -> None:
    with pytest.raises(ImageError, match="500 bytes"):
        decode_compressed(noise(500))


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)])
@pytest.mark.parametrize(("width", "height"), [(64, 48), (641, 479), (1, 3)])
def test_the_size_of_a_jpeg_is_in_its_header(options: tuple[int, ...], width: int, height: int) -> None:
    data = cv2.imencode(".jpg", noise(height, width, 3), options)[1].tobytes()
    comment = b"\xff\xfe" + struct.pack(">H", 2 + 20) + b"\xff\xc0" * 10  # holds what looks like a frame's marker
    for content in (data, data[:2] + comment + data[2:]):
        assert size_of(content) == (width, height)
        assert decode_compressed(content).shape == (height, width, 3)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp"])
def test_the_size_of_other_formats_is_found_too(suffix: str) -> None:
    assert size_of(cv2.imencode(suffix, noise(48, 65, 3))[1].tobytes()) == (65, 48)


def test_a_size_that_no_camera_has_is_refused_before_memory_is_allocated() -> None:
    for suffix, marker, offset, layout in ((".jpg", b"\xff\xc0", 5, ">HH"), (".png", b"IHDR", 4, ">II")):
        data = bytearray(cv2.imencode(suffix, noise(48, 64, 3))[1].tobytes())
        struct.pack_into(layout, data, data.index(marker) + offset, 16001, 16001)
        with pytest.raises(ImageError, match="16001x16001 pixels are more than the limit of 25000000; "):
            size_of(bytes(data))


@pytest.mark.parametrize(("suffix", "marker", "size_ends"), [(".jpg", b"\xff\xc0", 9), (".png", b"IHDR", 12)])
def test_a_header_that_ends_before_the_size_is_refused(suffix: str, marker: bytes, size_ends: int) -> None:
    data = cv2.imencode(suffix, noise(16, 24, 3))[1].tobytes()
    for length in range(data.index(marker) + size_ends):
        with pytest.raises(ImageError, match="cannot be decoded"):
            size_of(data[:length])


def test_a_png_that_claims_gigabytes_is_refused_at_once() -> None:
    data = bytearray(cv2.imencode(".png", noise(16, 24, 3))[1].tobytes())
    data[data.index(b"IDAT") - 4] = 0x66  # the first byte of the length of the pixels' chunk
    start = time.monotonic()
    with pytest.raises(ImageError, match="cannot be decoded"):
        decode_compressed(bytes(data))
    assert time.monotonic() - start < 0.5, "to take that much memory lasts seconds"


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_any_damaged_byte_is_refused_or_read_but_breaks_nothing(suffix: str) -> None:
    data = cv2.imencode(suffix, noise(16, 24, 3))[1].tobytes()
    random = np.random.default_rng(3)
    for position in random.integers(0, 200, 300):
        broken = bytearray(data)
        broken[position] = random.integers(256)
        try:
            size = size_of(bytes(broken))
            decode_compressed(bytes(broken), reduction(size, (4, 4)))
        except ImageError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("image_format", "order"),
    [
        ("jpeg", "bgr"),
        ("png", "bgr"),
        ("rgb8; jpeg compressed bgr8", "bgr"),
        ("rgb8; jpeg compressed ", "bgr"),
        ("rgb8; png compressed rgb8", "rgb"),
        ("mono8; jpeg compressed mono8", "bgr"),
    ],
)
def test_the_channel_order_follows_the_format(image_format: str, order: str) -> None:
    check_format(image_format)
    assert channel_order(image_format) == order


@pytest.mark.parametrize("image_format", ["16UC1; compressedDepth png", "32FC1; compressedDepth", "h264", "HEVC"])
def test_depth_and_video_formats_are_refused(image_format: str) -> None:
    with pytest.raises(ImageError, match=image_format):
        check_format(image_format)


def test_reduction_never_goes_below_the_wanted_size_nor_leaves_a_remainder() -> None:
    assert reduction((1280, 720), (480, 360)) == 2
    assert reduction((960, 720), (480, 360)) == 2
    assert reduction((1920, 1440), (480, 360)) == 4
    assert reduction((3840, 2880), (480, 360)) == 8
    assert reduction((958, 720), (480, 360)) == 1
    assert reduction((1922, 1440), (480, 360)) == 2
    assert reduction((320, 240), (480, 360)) == 1


def _layout(encoding: str) -> tuple[int, int]:
    """Rows and bytes per row of a WIDTH x HEIGHT image."""
    if encoding.startswith("nv"):
        return HEIGHT * 3 // 2, WIDTH
    if encoding.startswith("bayer_"):
        return HEIGHT, WIDTH * (2 if encoding.endswith("16") else 1)
    if "yuv" in encoding or "yuyv" in encoding or "uyvy" in encoding:
        return HEIGHT, WIDTH * 2
    channels = 1 if encoding.startswith("mono") or encoding.endswith("C1") else 4 if "a" in encoding else 3
    return HEIGHT, WIDTH * channels * (2 if "16" in encoding else 1)
