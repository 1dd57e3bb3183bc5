"""Depth images and point clouds: from the bytes of a message to the frames of a recording."""

from __future__ import annotations

import json
import re
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import tiny_networks
from support.small_bags import HEIGHT, SECOND, START, WIDTH, SmallBag, drive, image_stamp

from seg_perception.cli.__main__ import main
from seg_perception.errors import ImageError, PointsError, RecordingError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform, footprint_of
from seg_perception.projection.range.cloud_points import cloud_points
from seg_perception.recordings.readers.open_recording import Dropped, SourceOptions, open_recording
from seg_perception.sensor_data.frame import Frame
from seg_perception.sensor_data.images.depth import decode_compressed_depth, decode_depth
from seg_perception.sensor_data.point_clouds.decode import decode_points
from seg_perception.settings.projection import ProjectionSettings
from seg_perception.simulation.drive import Drive, Scenario
from seg_perception.simulation.drive_bag import write_drive

ALIGNED, CLOUD = "/camera/aligned_depth_to_color/image_raw", "/lidar/points"
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
    ],
)
def test_a_cloud_that_contradicts_itself_is_one_sentence(
    fields: list[Any], step: int, row_step: int, size: int, sentence: str
) -> None:
    with pytest.raises(PointsError, match=re.escape(sentence)):
        decode_points(1, 2, fields, False, step, row_step, bytes(size))


@pytest.mark.parametrize("big", [False, True])
def test_depth_images_are_metres_whatever_their_encoding(big: bool) -> None:
    order = ">" if big else "<"
    for encoding, values in (("16UC1", np.rint(METRES * 1000).astype(f"{order}u2")), ("32FC1", METRES)):
        rows = np.ascontiguousarray(values.astype(values.dtype.newbyteorder(order))).view(np.uint8).reshape(2, -1)
        padded = np.concatenate([rows, np.full((2, 5), 99, np.uint8)], axis=1)
        metres = decode_depth(2, 3, encoding, big, padded.shape[1], padded.tobytes())
        assert metres.dtype == np.float32
        np.testing.assert_allclose(metres, METRES, rtol=1e-6)
    with pytest.raises(ImageError, match="none of depth"):
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
        ("16UC1; compressedDepth png", compressed_depth(millimetres).replace(png_size(3, 2), png_size(10**5, 10**5))),
    ):
        with pytest.raises(ImageError, match="does not hold depth"):
            decode_compressed_depth(image_format, data)


def test_a_drive_with_depth_and_a_lidar_reads_back_and_both_measure_the_same_world(tmp_path: Path) -> None:
    camera = Camera.from_fields(160, 120, "plumb_bob", [120, 0, 79.5, 0, 120, 59.5, 0, 0, 1], [])
    scenario = Scenario(camera, seed=5, duration=0.2, fps=10.0, robot="pavement")
    write_drive(tmp_path / "drive", scenario, depth=True, points=True)
    with open_recording(str(tmp_path / "drive"), SourceOptions()) as recording:
        frames = [item for item in recording.frames() if isinstance(item, Frame)]
        assert recording.description["ranging"] == f"depth from {ALIGNED}, points from {CLOUD}"
        assert not recording.problems
    assert len(frames) == 2
    for frame, truth in zip(frames, Drive(scenario).frames(), strict=True):
        assert frame.depth is not None and frame.points is not None
        assert frame.depth.stamp_ns == frame.points.stamp_ns == frame.stamp_ns
        true_depth = np.where(truth.view.depth < 20, truth.view.depth, 0)
        np.testing.assert_allclose(frame.depth.metres, true_depth, atol=6e-4)
        footprint_from_odom = footprint_of(frame.odom_from_base).inverse()
        footprint_from_optical = footprint_from_odom @ frame.odom_from_base @ frame.base_from_optical
        footprint_from_lidar = footprint_from_odom @ frame.points.odom_from_sensor
        seen = cloud_points(
            frame.points.xyz, footprint_from_lidar, camera, footprint_from_optical, ProjectionSettings()
        )
        assert len(seen.xyz) > 1000
        u, v = np.rint(((seen.cells + 1) * [160, 120] - 1) / 2).astype(int).T
        z = footprint_from_optical.inverse().apply(seen.xyz)[:, 2]
        there = frame.depth.metres[v.clip(0, 119), u.clip(0, 159)]
        same = np.abs(there / z - 1) < 0.05
        assert same[seen.has_class & (there > 0)].mean() > 0.93, (
            "but for edges, where a pixel's middle misses the thing"
        )


def add_depth(bag: SmallBag, stamp_ns: int, metres: float, topic: str = ALIGNED, **changes: Any) -> None:
    data = np.full(HEIGHT * WIDTH, round(metres * 1000), np.uint16).view(np.uint8)
    bag.image(0, stamp_ns, topic=topic, encoding="16UC1", **{"step": 2 * WIDTH, "data": data, **changes})


def add_cloud(bag: SmallBag, stamp_ns: int, frame_id: str = "lidar", topic: str = CLOUD) -> None:
    name = "sensor_msgs/msg/PointCloud2"
    fields = [
        bag.make("sensor_msgs/msg/PointField", name=axis, offset=4 * index, datatype=7, count=1)
        for index, axis in enumerate("xyz")
    ]
    message = bag.make(
        name,
        header=bag.header(stamp_ns, frame_id),
        height=1,
        width=1,
        fields=fields,
        is_bigendian=False,
        point_step=12,
        row_step=12,
        data=np.float32([1, 2, 3]).view(np.uint8),
        is_dense=True,
    )
    bag.add(topic, name, stamp_ns, message)


def frames_of(path: Path, options: SourceOptions | None = None) -> tuple[list[Frame | Dropped], Any]:
    with open_recording(str(path), options or SourceOptions()) as recording:
        return list(recording.frames()), recording


@pytest.mark.parametrize("kind", ["mcap", "bag"])
def test_each_image_gets_the_depth_and_the_points_next_to_it_in_time_placed_at_their_own(
    tmp_path: Path, kind: str
) -> None:
    bag = drive(kind, count=4)
    bag.transform("base_link", "lidar", START, (0.2, 0, 1.5), topic="/tf_static")
    for index in range(4):
        add_depth(bag, image_stamp(index) - 3 * 10**7, 1.0 + index)
        add_depth(bag, image_stamp(index) + 2 * 10**7, 5.0 + index)
        add_cloud(bag, image_stamp(index) - 10**7)
    frames, recording = frames_of(bag.write(tmp_path, kind))
    assert len(frames) == 4 and not recording.problems
    for index, frame in enumerate(frames):
        assert frame.depth.metres[3, 3] == pytest.approx(5.0 + index)
        assert frame.depth.stamp_ns == frame.stamp_ns + 2 * 10**7
        assert frame.points.xyz.tolist() == [[1.0, 2.0, 3.0]]
        seconds = (frame.points.stamp_ns - START) / SECOND
        expected = Transform.from_xyz_rpy(2 * seconds, 0, 0, 0, 0, 0.1 * seconds).apply(np.array([0.2, 0, 1.5]))
        np.testing.assert_allclose(frame.points.odom_from_sensor.translation, expected, atol=1e-3)
        moved = frame.depth.odom_from_optical.translation - (frame.odom_from_base @ frame.base_from_optical).translation
        assert moved[0] == pytest.approx(0.04, abs=2e-3), "2 m/s for 20 ms"


def test_depth_that_is_not_said_to_be_aligned_and_one_of_many_clouds_must_be_named(tmp_path: Path) -> None:
    bag = drive(count=2)
    for topic in ("/lidar/front", "/lidar/back"):
        add_cloud(bag, image_stamp(0), "camera_optical", topic)
    add_depth(bag, image_stamp(0), 2.0, "/stereo/depth")
    path = bag.write(tmp_path)
    pictures = SourceOptions(image_topics=("/camera/image_raw",))
    frames, recording = frames_of(path, pictures)
    assert frames[0].depth is None and frames[0].points is None
    assert recording.description["ranging"] == "none: flat ground"
    named = SourceOptions(depth_topic="/stereo/depth", points_topic="/lidar/back")
    frames, _ = frames_of(path, named)
    assert frames[0].depth.metres[0, 0] == 2.0 and frames[0].points is not None
    with pytest.raises(
        RecordingError, match=r"nothing on /camera/depth for --depth-topic; .*: /camera/image_raw, /ster"
    ):
        frames_of(path, SourceOptions(depth_topic="/camera/depth"))
    with pytest.raises(RecordingError, match="meant: /lidar/back, /lidar/front"):
        frames_of(path, SourceOptions(points_topic="/camera/image_raw"))


def test_what_cannot_be_read_or_placed_is_counted_and_costs_no_image(tmp_path: Path) -> None:
    bag = drive(count=3)
    for index in range(3):
        add_cloud(bag, image_stamp(index), "a frame that no transform knows")
        add_depth(bag, image_stamp(index), 2.0, **({"step": 5} if index == 1 else {}))
    frames, recording = frames_of(bag.write(tmp_path))
    assert [frame.depth is None for frame in frames] == [False, True, False]
    assert [frame.points for frame in frames] == [None] * 3
    assert recording.problems == {f"unplaced messages on {CLOUD}": 3, f"unreadable messages on {ALIGNED}": 1}


def test_depth_of_another_frame_than_the_images_is_not_aligned_and_not_used(tmp_path: Path) -> None:
    bag = drive(count=2)
    add_depth(bag, image_stamp(0), 2.0, frame_id="depth_optical")
    add_depth(bag, image_stamp(1), 2.0, frame_id="/camera_optical")
    frames, recording = frames_of(bag.write(tmp_path))
    assert [frame.depth is None for frame in frames] == [True, False]
    assert recording.problems == {f"messages of another frame than the images on {ALIGNED}": 1}


def test_an_image_does_not_wait_for_a_sensor_that_has_stopped(tmp_path: Path) -> None:
    bag = drive(count=8)
    add_depth(bag, image_stamp(0), 2.0)
    frames, _ = frames_of(bag.write(tmp_path))
    assert [frame.stamp_ns for frame in frames] == [image_stamp(index) for index in range(8)]
    assert frames[7].depth.stamp_ns == image_stamp(0), "old, which the pipeline sees and refuses"


def test_the_summary_of_a_replay_says_how_its_frames_were_projected(tmp_path: Path) -> None:
    bag = drive(count=6)
    rows = np.arange(HEIGHT)[:, np.newaxis].repeat(WIDTH, axis=1)
    flat = np.where(rows > 24, 1.2 * 50.0 / np.maximum(rows - 23.5, 1), 0)
    for index in range(3):
        add_depth(bag, image_stamp(index), 0.0, data=np.rint(flat * 1000).astype(np.uint16).view(np.uint8).ravel())
    files = {
        "--model": tiny_networks.save(tmp_path, tiny_networks.network(), tiny_networks.card()),
        "--matrix": tmp_path / "matrix.yaml",
        "--config": tmp_path / "config.yaml",
        "--out": tmp_path / "out",
    }
    files["--matrix"].write_text(
        "misclassification: {default: 1, correct: 0}\n"
        "traverse: {class0: 0, class1: 50, class2: 100, class3: 400, class4: 2000}\nstanding: [class4]\nignore: []\n",
        encoding="utf-8",
    )
    files["--config"].write_text("ground: {max_range: 5.0, max_samples: 500}\n", encoding="utf-8")
    arguments = [str(text) for pair in files.items() for text in pair]
    assert main(["replay", str(bag.write(tmp_path)), *arguments]) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert summary["projections"]["used"] == {"depth": 3, "plane": 3}
    assert summary["projections"]["refused"] == {"no point cloud": 6, "depth image of another time than the image": 3}
