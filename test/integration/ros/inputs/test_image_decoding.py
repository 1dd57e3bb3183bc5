"""Decoding of image messages, with real message classes and without publishing."""

from __future__ import annotations

import array
import sys
import types
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image

from seg_perception.errors import ImageError
from seg_perception.ros import messages
from seg_perception.sensor_data.images.raw import SUPPORTED_ENCODINGS, decode_image

WIDTH, HEIGHT = 64, 48


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def smooth(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.asarray(cv2.resize(noise(6, 8, 3), (width, height), interpolation=cv2.INTER_CUBIC))


def raw(pixels: np.ndarray | None = None, **changes: Any) -> Image:
    pixels = noise(HEIGHT, WIDTH, 3) if pixels is None else pixels
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding="bgr8", step=pixels[0].nbytes)
    message.data = array.array("B", pixels.tobytes())
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def compressed(suffix: str = ".jpg", image_format: str = "jpeg", pixels: np.ndarray | None = None) -> CompressedImage:
    data = cv2.imencode(suffix, smooth() if pixels is None else pixels)[1].tobytes()
    return CompressedImage(format=image_format, data=array.array("B", data))


def decode(message: Any, wanted: tuple[int, int] = (WIDTH, HEIGHT)) -> messages.DecodedImage:
    return messages.decode(message, wanted)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "8UC3"])
def test_8_bit_pixels_are_a_read_only_view_of_the_message(encoding: str) -> None:
    pixels = noise(HEIGHT, WIDTH, 3)
    message = deserialize_message(serialize_message(raw(pixels, encoding=encoding)), Image)
    decoded = decode(message)
    assert np.shares_memory(decoded.pixels, np.frombuffer(message.data, np.uint8))
    assert not decoded.pixels.flags.writeable
    assert decoded.order == ("rgb" if encoding == "rgb8" else "bgr")
    assert (decoded.width, decoded.height) == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(decoded.pixels, pixels)


@pytest.mark.parametrize("is_bigendian", [0, 1])
@pytest.mark.parametrize("encoding", SUPPORTED_ENCODINGS)
def test_every_encoding_is_decoded(encoding: str, is_bigendian: int) -> None:
    step = WIDTH * 8 + 10  # wide enough for every encoding, and padded
    data = noise(HEIGHT * 3 // 2 if encoding.startswith("nv") else HEIGHT, step)
    message = raw(
        height=HEIGHT, width=WIDTH, encoding=encoding, step=step, is_bigendian=is_bigendian,
        data=array.array("B", data.tobytes()),
    )  # fmt: skip
    decoded = decode(message)
    expected, order = decode_image(HEIGHT, WIDTH, encoding, bool(is_bigendian), step, data.tobytes())
    np.testing.assert_array_equal(decoded.pixels, expected)
    assert decoded.order == order and decoded.pixels.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (7, 5), (641, 3)])
def test_odd_sizes_are_decoded(width: int, height: int) -> None:
    pixels = noise(height, width, 3)
    np.testing.assert_array_equal(decode(raw(pixels)).pixels, pixels)
    assert decode(compressed(pixels=pixels), (1, 1)).pixels.shape == (height, width, 3)


@pytest.mark.parametrize(
    ("wanted", "shape"), [((64, 48), (48, 64)), ((33, 24), (48, 64)), ((32, 24), (24, 32)), ((5, 5), (6, 8))]
)
def test_jpeg_is_decoded_at_the_smallest_sufficient_size(wanted: tuple[int, int], shape: tuple[int, int]) -> None:
    decoded = decode(compressed(), wanted)
    assert decoded.pixels.shape == (*shape, 3)
    assert (decoded.width, decoded.height) == (WIDTH, HEIGHT), "the size of the calibration"
    expected = cv2.resize(smooth(), shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(decoded.pixels.astype(int) - expected).mean() < 8


def test_jpeg_of_odd_size_is_not_reduced() -> None:
    decoded = decode(compressed(pixels=smooth(47, 63)), (8, 8))
    assert decoded.pixels.shape == (47, 63, 3) and (decoded.width, decoded.height) == (63, 47)


@pytest.mark.parametrize(
    ("image_format", "order"),
    [("png", "bgr"), ("rgb8; png compressed bgr8", "bgr"), ("rgb8; png compressed rgb8", "rgb")],
)
def test_png_keeps_its_pixels_and_its_format_gives_the_channel_order(image_format: str, order: str) -> None:
    decoded = decode(compressed(".png", image_format), (8, 8))
    np.testing.assert_array_equal(decoded.pixels, smooth())
    assert decoded.order == order and (decoded.width, decoded.height) == (WIDTH, HEIGHT)


def cut(message: CompressedImage, length: int) -> CompressedImage:
    message.data = message.data[:length]
    return message


def with_size(message: CompressedImage, width: int, height: int) -> CompressedImage:
    """A JPEG whose header claims another size."""
    frame = message.data.tobytes().index(b"\xff\xc0")
    message.data[frame + 5 : frame + 9] = array.array("B", [*height.to_bytes(2, "big"), *width.to_bytes(2, "big")])
    return message


MALFORMED: dict[str, tuple[Callable[[], Any], str]] = {
    "an unknown encoding": (
        lambda: raw(encoding="flir16"), "'flir16' is not supported; convert the images to one of rgb8, bgr8, 8UC3,",
    ),
    "an encoding of depth": (lambda: raw(encoding="32FC1"), "or install cv_bridge, which supports a few more."),
    "no encoding": (lambda: raw(encoding=""), "image encoding '' is not supported"),
    "no message filled in": (lambda: Image(), "image encoding '' is not supported"),
    "no pixels": (lambda: raw(width=0, height=0), "a bgr8 image of 0x0 pixels is empty"),
    "no rows": (lambda: raw(height=0), "a bgr8 image of 64x0 pixels is empty"),
    "no bytes": (lambda: raw(data=array.array("B")), "must hold 9216 bytes, not 0"),
    "a byte too few": (lambda: raw(data=array.array("B", bytes(9215))), "must hold 9216 bytes, not 9215"),
    "a byte too many": (lambda: raw(data=array.array("B", bytes(9217))), "must hold 9216 bytes, not 9217"),
    "no step": (lambda: raw(step=0), "takes 192 bytes, but its step says 0"),
    "a step shorter than a row": (lambda: raw(step=191), "takes 192 bytes, but its step says 191"),
    "a step longer than the data": (lambda: raw(step=193), "with step 193 must hold 9264 bytes, not 9216"),
    "the largest size there is": (
        lambda: raw(width=2**32 - 1, height=2**32 - 1, step=2**32 - 1), "pixels are more than the limit of 25000000",
    ),
    "a mosaic of odd size": (
        lambda: raw(noise(5, 6), encoding="bayer_rggb8"), "a bayer_rggb8 image must have even sides, not 6x5",
    ),
    "chroma that is missing": (lambda: raw(noise(4, 6), encoding="nv12"), "must hold 36 bytes, not 24"),
    "chroma over an odd row": (
        lambda: raw(noise(4, 14), width=7, encoding="yuyv"), "a yuyv image must have even sides, not 7x2",
    ),
    "16 bits with bytes of 8": (lambda: raw(noise(4, 6), encoding="mono16"), "takes 12 bytes, but its step says 6"),
    "a compressed message that is empty": (
        lambda: CompressedImage(format="jpeg"), "0 bytes of compressed image cannot be decoded",
    ),
    "a compressed message of noise": (
        lambda: CompressedImage(format="jpeg", data=array.array("B", noise(500).tobytes())), "damaged or not an image",
    ),
    "a JPEG cut in its header": (lambda: cut(compressed(), 100), "100 bytes of compressed image cannot be decoded"),
    "a JPEG cut in its picture": (lambda: cut(compressed(), 700), "700 bytes of compressed image cannot be decoded"),
    "a JPEG without rows": (lambda: with_size(compressed(), WIDTH, 0), "cannot be decoded"),
    "a JPEG larger than any camera's": (
        lambda: with_size(compressed(), 65000, 65000), "65000x65000 pixels are more than the limit of 25000000",
    ),
    "a PNG cut in its header": (lambda: cut(compressed(".png"), 20), "20 bytes of compressed image cannot be decoded"),
    "a PNG cut in its picture": (lambda: cut(compressed(".png"), 900), "900 bytes of compressed image cannot be"),
    "a depth image": (
        lambda: compressed(".png", "16UC1; compressedDepth png"), "a depth image, not a colour image; choose",
    ),
    "video": (lambda: compressed(image_format="h264"), "format 'h264' is a video stream"),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_image_raises_one_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv_bridge", None)
    make, words = MALFORMED[name]
    message = make()
    received = deserialize_message(serialize_message(message), type(message))
    with pytest.raises(ImageError) as caught:
        decode(received)
    sentence = str(caught.value)
    assert words in sentence
    assert sentence.endswith(".") and "\n" not in sentence


def install_bridge(monkeypatch: pytest.MonkeyPatch, convert: Callable[[Image, str], np.ndarray]) -> None:
    """Install a fake cv_bridge, because the ROS 2 wheels have none."""
    module = types.ModuleType("cv_bridge")
    module.CvBridge = lambda: types.SimpleNamespace(imgmsg_to_cv2=convert)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cv_bridge", module)


def test_cv_bridge_converts_only_unknown_encodings(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    grey = np.full((HEIGHT, WIDTH, 3), 7, np.uint8)
    install_bridge(monkeypatch, lambda message, encoding: asked.append((message.encoding, encoding)) or grey)
    decoded = decode(raw(encoding="nv24"))
    np.testing.assert_array_equal(decoded.pixels, grey)
    assert decoded.order == "bgr" and (decoded.width, decoded.height) == (WIDTH, HEIGHT)
    decode(raw())
    assert asked == [("nv24", "bgr8")]


def test_error_of_cv_bridge_raises_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(message: Image, encoding: str) -> np.ndarray:
        raise RuntimeError(f"[{message.encoding}] is not a color format,\n  but [{encoding}] is.")

    install_bridge(monkeypatch, refuse)
    with pytest.raises(ImageError) as caught:
        decode(raw(encoding="32FC1"))
    assert str(caught.value) == (
        "cv_bridge cannot convert image encoding '32FC1': [32FC1] is not a color format, but [bgr8] is."
    )


def test_the_real_cv_bridge_converts_nv24() -> None:
    pytest.importorskip("cv_bridge", reason="cv_bridge is not installed; it comes with a ROS distribution")
    luma, chroma = np.full((HEIGHT, WIDTH), 81, np.uint8), np.tile(np.array([90, 240], np.uint8), (HEIGHT, WIDTH))
    data = array.array("B", np.concatenate([luma.ravel(), chroma.ravel()]).tobytes())
    decoded = decode(raw(height=HEIGHT, width=WIDTH, encoding="nv24", step=WIDTH, data=data))
    assert np.abs(decoded.pixels.astype(int) - [0, 0, 255]).max() <= 2, "red, by BT.601"
