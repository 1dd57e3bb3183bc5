"""Small files that declare large images: refused by their header, before memory is taken."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from seg_perception.errors import ConfigError, ImageError
from seg_perception.sensor_data.images.compressed import decode_compressed, size_of
from seg_perception.sensor_data.images.depth import decode_compressed_depth, decode_depth, depth_of
from seg_perception.sensor_data.images.folder import read_image
from seg_perception.sensor_data.images.header import MAX_IMAGE_PIXELS, check_pixels, declared_size
from seg_perception.sensor_data.images.labelled_files import decode_image_file, image_file_size, open_image_file
from seg_perception.sensor_data.images.raw import decode_image

NOISE = np.random.default_rng(2).integers(0, 256, (33, 47, 3), dtype=np.uint8)


def png(width: int, height: int, bits: int = 8, kind: int = 0, notes: bytes = b"", rows: bytes | None = None) -> bytes:
    """A PNG of zeros with right checksums, or with other compressed rows."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    if rows is None:
        packer = zlib.compressobj(9)
        row = bytes(1 + (width * bits * channels + 7) // 8)
        rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + notes + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def encoded(suffix: str) -> bytes:
    return cv2.imencode(suffix, NOISE)[1].tobytes()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp", ".ppm"])
def test_the_declared_size_is_that_of_the_decoded_image(suffix: str) -> None:
    content = encoded(suffix)
    assert declared_size(content) == size_of(content) == (47, 33)
    np.testing.assert_array_equal(decode_compressed(content), cv2.imdecode(np.frombuffer(content, np.uint8), 1))


def test_pillows_files_of_every_kind_declare_their_size_too() -> None:
    image = Image.fromarray(NOISE)
    for file_format, options in (
        ("TIFF", {"compression": "tiff_lzw"}), ("TIFF", {"big_tiff": False}), ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"}), ("BMP", {}), ("PPM", {}), ("JPEG", {"progressive": True}),
    ):  # fmt: skip
        buffer = io.BytesIO()
        image.save(buffer, file_format, **options)
        assert declared_size(buffer.getvalue()) == (47, 33), (file_format, options)


def test_a_pixel_more_than_the_limit_is_refused() -> None:
    check_pixels(5000, 5000)
    for size, sentence in (
        (
            (5001, 5000),
            "5001x5000 pixels are more than the limit of 25000000; its header is damaged, or scale the image ",
        ),
        ((65537, 1), "65537x1 pixels are no camera image, whose sides have 65536 at most; its header is damaged."),
        ((0, 4), "0x4 pixels are no image; its header is damaged."),
    ):
        with pytest.raises(ImageError) as error:
            check_pixels(*size)
        assert str(error.value).startswith(sentence)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp", ".ppm"])
def test_every_reader_takes_a_limit_of_its_own(suffix: str, tmp_path: Path) -> None:
    content, file = encoded(suffix), tmp_path / f"a{suffix}"
    file.write_bytes(content)
    pixels = 33 * 47
    assert decode_compressed(content, 1, pixels).shape == read_image(file, pixels).shape == (33, 47, 3)
    for refuse in (
        lambda: decode_compressed(content, 1, pixels - 1), lambda: size_of(content, pixels - 1),
        lambda: read_image(file, pixels - 1), lambda: decode_image_file(file, cv2.IMREAD_UNCHANGED, pixels - 1),
        lambda: image_file_size(file, pixels - 1), lambda: open_image_file(file, pixels - 1).__enter__(),
    ):  # fmt: skip
        with pytest.raises((ImageError, ConfigError), match="47x33 pixels are more than the limit of 1550; "):
            refuse()


def test_raw_images_and_depth_are_limited_too() -> None:
    with pytest.raises(ImageError, match="6x4 pixels are more than the limit of 23"):
        decode_image(4, 6, "rgb8", False, 18, bytes(72), 23)
    with pytest.raises(ImageError, match="6x4 pixels are more than the limit of 23"):
        decode_depth(4, 6, "16UC1", False, 12, bytes(48), 23)
    with pytest.raises(ImageError, match="4294967295x4294967295 pixels are more than the limit of 25000000"):
        decode_image(2**32 - 1, 2**32 - 1, "rgb8", False, 0, b"")


def test_depth_of_a_few_kilobytes_does_not_become_gigabytes() -> None:
    data = struct.pack("<iff", 0, 0, 0) + png(30_000, 30_000, 16, rows=zlib.compress(bytes(1_000_000)))
    assert len(data) < 2000
    for read in (lambda: decode_compressed_depth("16UC1; compressedDepth png", data), lambda: depth_of(Message(data))):
        with pytest.raises(ImageError, match="30000x30000 pixels are more than the limit of 25000000"):
            read()


class Message:
    format = "16UC1; compressedDepth png"

    def __init__(self, data: bytes) -> None:
        self.data = data


@pytest.mark.filterwarnings("error")
def test_absurd_quantisation_gives_depth_that_is_not_finite_and_no_warning() -> None:
    levels = cv2.imencode(".png", np.array([[0, 1, 5, 65535]], np.uint16))[1].tobytes()
    for a, b in ((1e38, 5.0), (float("nan"), 0.0), (float("inf"), float("inf")), (3e38, 0.9999)):
        metres = decode_compressed_depth("32FC1; compressedDepth", struct.pack("<iff", 0, a, b) + levels)
        assert metres.shape == (1, 4) and np.isnan(metres[0, 0])


def test_a_mask_of_145_bytes_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mask.png"
    file.write_bytes(png(65_000, 65_000, 1, rows=zlib.compress(bytes(100))))
    assert len(file.read_bytes()) < 145
    for read in (image_file_size, read_image, lambda path: decode_image_file(path, -1)):
        with pytest.raises(
            (ConfigError, ImageError), match=r"mask\.png: .* pixels are more than the limit of 25000000"
        ):
            read(file)


def test_texts_and_profiles_of_a_png_are_not_inflated() -> None:
    bomb = zlib.compress(bytes(7_000_000), 9)
    notes = chunk(b"iCCP", b"a\0\0" + bomb) + b"".join(chunk(b"zTXt", b"k%d\0\0" % n + bomb) for n in range(150))
    content = png(24, 16, 8, 2, notes)
    assert len(content) < 1_200_000
    script = (
        "import pathlib, sys\n"
        "from seg_perception.sensor_data.images.compressed import decode_compressed\n"
        "decode_compressed(sys.stdin.buffer.read())\n"
        "print(int(pathlib.Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0]) // 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], input=content, capture_output=True, check=True)
    assert int(done.stdout) < 300, "MB; the texts hold 1000"


def test_notes_change_no_pixel() -> None:
    plain = encoded(".png")
    noted = plain[:33] + chunk(b"zTXt", b"k\0\0" + zlib.compress(b"text")) + chunk(b"tEXt", b"k\0text") + plain[33:]
    np.testing.assert_array_equal(decode_compressed(noted), NOISE)


def test_a_jpeg_of_a_thousand_scans_is_refused() -> None:
    content = cv2.imencode(".jpg", NOISE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    scan = content[content.rindex(b"\xff\xda") : -2]
    with pytest.raises(ImageError, match="cannot be decoded"):
        decode_compressed(content[:-2] + scan * 1000 + content[-2:])


def test_a_tile_larger_than_the_image_is_refused() -> None:
    entries = [
        (256, 64),
        (257, 64),
        (258, 8),
        (259, 1),
        (262, 1),
        (277, 1),
        (322, 2**15),
        (323, 2**15),
        (324, 8),
        (325, 64),
    ]
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries
    )
    content = b"II*\0" + struct.pack("<I", 8) + directory + bytes(4)
    with pytest.raises(ImageError, match="32768x32768 pixels are more than the limit"):
        decode_compressed(content)
    wide = content.replace(struct.pack("<HHII", 258, 4, 1, 8), struct.pack("<HHII", 258, 4, 1, 200))
    with pytest.raises(ImageError, match="200 bits per pixel are more than the limit of 128; convert the image"):
        decode_compressed(wide)


@pytest.mark.parametrize("start", [b"GIF89a", b"\0\0\0\x0cjP  ", b"#?RADIANCE", b"Pf\n9 9\n1\n", b"P7\n", b""])
def test_formats_whose_size_is_not_known_are_not_decoded(start: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(ImageError, match="cannot be decoded"):
        decode_compressed(start + bytes(100))
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_the_largest_image_allowed_is_decoded() -> None:
    assert MAX_IMAGE_PIXELS == 25_000_000
    assert decode_compressed(png(5000, 5000, 1)).shape == (5000, 5000, 3)
