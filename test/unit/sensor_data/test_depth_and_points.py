"""Decoding of depth images and point clouds, from the bytes of a message to metres."""

from __future__ import annotations

import re
import struct
import zlib
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg_perception.errors import ImageError, PointCloudError
from seg_perception.sensor_data.images.depth import decode_compressed_depth, decode_depth
from seg_perception.sensor_data.point_clouds.decode import decode_points

METRES = np.float32([[0.0, 1.25, 2.5], [65.535, 0.001, 7.0]])


def field(name: str, offset: int, datatype: int = 7, count: int = 1) -> SimpleNamespace:
    return SimpleNamespace(name=name, offset=offset, datatype=datatype, count=count)


XYZ = [field("x", 0), field("y", 4), field("z", 8)]


@settings(max_examples=60, deadline=None)
@given(
    st.permutations(["x", "y", "z", "intensity", "ring"]),
    st.lists(st.sampled_from([3, 5, 7, 8]), min_size=5, max_size=5),
    st.lists(st.integers(0, 5), min_size=6, max_size=6),
    st.booleans(),
    st.tuples(st.integers(1, 4), st.integers(0, 7), st.integers(0, 9)),
)
def test_a_cloud_of_any_layout_gives_its_coordinates(
    names: list[str], datatypes: list[int], gaps: list[int], big: bool, shape: tuple[int, int, int]
) -> None:
    """Packed by struct, value by value, with gaps between fields, after points and after rows."""
    height, width, row_gap = shape
    generator = np.random.default_rng(3)
    points = [{name: int(generator.integers(-30000, 30000)) for name in names} for _ in range(height * width)]
    codes = {3: "h", 5: "i", 7: "f", 8: "d"}
    fields, offset = [], 0
    for name, datatype, gap in zip(names, datatypes, gaps, strict=False):
        offset += gap
        fields.append(field(name, offset, datatype))
        offset += struct.calcsize(codes[datatype])
    step, data = offset + gaps[5], bytearray()
    for row in range(height):
        for point in points[row * width : (row + 1) * width]:
            packed = bytearray(step)
            for entry in fields:
                order = ">" if big else "<"
                struct.pack_into(order + codes[entry.datatype], packed, entry.offset, point[entry.name])
            data += packed
        data += bytes(row_gap)
    xyz = decode_points(height, width, fields, big, step, step * width + row_gap, bytes(data))
    assert xyz.dtype == np.float32
    assert xyz.tolist() == [[point[axis] for axis in "xyz"] for point in points]


@pytest.mark.parametrize(
    ("fields", "step", "row_step", "size", "sentence"),
    [
        (XYZ[:2], 12, 24, 24, "no field z (its fields: x, y)"),
        ([*XYZ[:2], field("z", 8, 9)], 12, 24, 24, "datatype 9"),
        ([*XYZ[:2], field("z", 8, 7, 3)], 12, 24, 24, "count 3"),
        ([*XYZ[:2], field("z", 10)], 12, 24, 24, "ends at byte 14"),
        (XYZ, 12, 23, 24, "with rows of 23"),
        (XYZ, 12, 24, 23, "cannot lie in 23 bytes"),
        ([field("a\n" * 900, 0), *XYZ[:2]], 12, 24, 24, "no field z (its fields: a a a a a a a a a a a a a a"),
    ],
)
def test_an_inconsistent_cloud_is_refused_with_one_sentence(
    fields: list[Any], step: int, row_step: int, size: int, sentence: str
) -> None:
    with pytest.raises(PointCloudError, match=re.escape(sentence)):
        decode_points(1, 2, fields, False, step, row_step, bytes(size))


@pytest.mark.parametrize("shape", [(0, 1), (1, 0)])
def test_points_too_long_for_numpy_are_refused_even_where_there_are_none(shape: tuple[int, int]) -> None:
    row_step = 2**32 - 1 if shape[0] == 0 else 0
    with pytest.raises(PointCloudError, match="points of 4294967295 bytes"):
        decode_points(*shape, XYZ, False, 2**32 - 1, row_step, b"")
    assert decode_points(*shape, XYZ, False, 12, 12 * shape[1], b"").shape == (0, 3)


@pytest.mark.parametrize("big", [False, True])
def test_depth_images_are_metres_whatever_their_encoding(big: bool) -> None:
    order = ">" if big else "<"
    for encoding, values in (("16UC1", np.rint(METRES * 1000).astype(f"{order}u2")), ("32FC1", METRES)):
        rows = np.ascontiguousarray(values.astype(values.dtype.newbyteorder(order))).view(np.uint8).reshape(2, -1)
        padded = np.concatenate([rows, np.full((2, 5), 99, np.uint8)], axis=1)
        metres = decode_depth(2, 3, encoding, big, padded.shape[1], padded.tobytes())
        assert metres.dtype == np.float32
        np.testing.assert_allclose(metres, METRES, rtol=1e-6)
    with pytest.raises(ImageError, match="not a depth encoding"):
        decode_depth(2, 3, "bgr8", False, 9, bytes(18))
    with pytest.raises(ImageError, match="0x3 pixels"):
        decode_depth(3, 0, "16UC1", False, 0, b"")
    with pytest.raises(ImageError, match="step"):
        decode_depth(2, 3, "16UC1", False, 6, bytes(11))


def compressed_depth(values: np.ndarray, a: float = 0.0, b: float = 0.0) -> bytes:
    return struct.pack("<iff", 1, a, b) + cv2.imencode(".png", values.astype(np.uint16))[1].tobytes()


def png_size(width: int, height: int) -> bytes:
    """The beginning of a PNG's first chunk with its checksum, which covers it (PNG specification, 11.2.2)."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    return chunk + struct.pack(">I", zlib.crc32(chunk))


def test_compressed_depth_is_read_back_as_it_was_quantised() -> None:
    millimetres = np.rint(METRES * 1000)
    metres = decode_compressed_depth("16UC1; compressedDepth png", compressed_depth(millimetres))
    np.testing.assert_allclose(metres, METRES, rtol=1e-6)
    # The transport's defaults: 10 m at most, resolved to 1/100 of a metre at 1 m and ever more coarsely beyond.
    a, b = 100.0 * 101.0, 1.0 - 100.0 * 101.0 / 10.0
    depth = np.array([[0.5, 1.0, 4.0, 9.0]])
    found = decode_compressed_depth("32FC1; compressedDepth", compressed_depth(np.rint(a / depth + b), a, b))
    np.testing.assert_allclose(found, depth, rtol=0.01)
    assert np.isnan(decode_compressed_depth("32FC1; compressedDepth", compressed_depth(np.zeros((2, 2)), a, b))).all()
    for image_format, data in (
        ("16UC1; compressedDepth rvl", b"\0" * 40),
        ("16UC1; compressedDepth png", b""),
        ("bgr8; jpeg compressed bgr8", compressed_depth(millimetres)),
        ("16UC1; compressedDepth png", compressed_depth(millimetres).replace(png_size(3, 2), png_size(3, 20))[:-5]),
    ):
        with pytest.raises(ImageError, match="does not hold depth"):
            decode_compressed_depth(image_format, data)
