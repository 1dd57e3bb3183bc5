"""Conversion of results and calibration to and from ROS messages, with real message classes and without publishing."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header, String

from seg_perception.errors import GeometryError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.stamped_transform import stamp_of
from seg_perception.recordings.result_bag.result_frame import LabelInfo
from seg_perception.ros import messages

WIDTH, HEIGHT = 64, 48
STAMP_NS = 1_700_000_000_123_456_789
INFO = LabelInfo(("road", "grass"), np.array([[128, 64, 128], [0, 200, 0]], np.uint8), (0.0, 120.0))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def decode(message: Image) -> messages.DecodedImage:
    return messages.decode(message, (WIDTH, HEIGHT))


@pytest.mark.parametrize("encoding", ["bgr8", "rgb8"])
def test_image_message_round_trip(encoding: str) -> None:
    header = Header(stamp=messages.time_of(STAMP_NS), frame_id="camera_optical_frame")
    pixels = noise(HEIGHT, WIDTH, 3)
    sent = messages.image_message(header, pixels, encoding)
    received = deserialize_message(serialize_message(sent), Image)
    assert received.header == header and stamp_of(received.header) == STAMP_NS
    assert (received.width, received.height, received.step, received.encoding) == (WIDTH, HEIGHT, 3 * WIDTH, encoding)
    np.testing.assert_array_equal(decode(received).pixels, pixels)


def test_message_has_its_own_copy_of_the_pixels() -> None:
    pixels = noise(HEIGHT, WIDTH)
    message = messages.image_message(Header(), pixels, "mono8")
    before = message.data.tobytes()
    pixels[:] = 0
    assert message.data.tobytes() == before


def test_crop_of_an_image_is_packed() -> None:
    pixels = noise(HEIGHT, WIDTH, 3)[3:40, 5:33, ::-1]
    message = messages.image_message(Header(), pixels, "rgb8")
    assert message.step == 28 * 3 and len(message.data) == 37 * 28 * 3
    np.testing.assert_array_equal(decode(message).pixels, pixels)


def test_float_image_holds_the_bytes_of_the_values() -> None:
    cost = np.linspace(0, 254, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
    message = messages.image_message(Header(), cost, "32FC1")
    assert message.step == 4 * WIDTH
    values = np.frombuffer(message.data, ">f4" if message.is_bigendian else "<f4").reshape(HEIGHT, WIDTH)
    np.testing.assert_array_equal(values, cost)


@pytest.mark.parametrize("stamp_ns", [0, 1, 999_999_999, 10**9, STAMP_NS, (2**31 - 1) * 10**9 + 999_999_999])
def test_stamp_round_trip_is_exact(stamp_ns: int) -> None:
    assert stamp_of(Header(stamp=messages.time_of(stamp_ns))) == stamp_ns


def info(**changes: Any) -> CameraInfo:
    k = [400.0, 0.0, 319.5, 0.0, 410.0, 239.5, 0.0, 0.0, 1.0]
    p = [380.0, 0.0, 315.0, 0.0, 0.0, 390.0, 235.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    message = CameraInfo(width=640, height=480, distortion_model="plumb_bob", d=[-0.3, 0.1, 0.0, 0.0, 0.0], k=k, p=p)
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def test_camera_of_raw_and_rectified_images() -> None:
    matrix = np.array([[400.0, 0.0, 319.5], [0.0, 410.0, 239.5], [0.0, 0.0, 1.0]])
    camera = messages.camera_of(info(), "/camera/image_raw")
    assert camera == Camera(640, 480, "plumb_bob", matrix, (-0.3, 0.1, 0.0, 0.0, 0.0))
    rectified = np.array([[380.0, 0.0, 315.0], [0.0, 390.0, 235.0], [0.0, 0.0, 1.0]])
    for topic in ("/camera/image_rect", "/camera/image_rect_color/compressed"):
        assert messages.camera_of(info(), topic) == Camera(640, 480, "plumb_bob", rectified, ())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"k": [0.0] * 9}, "not calibrated"),
        ({"k": [float("nan")] * 9}, "finite"),
        ({"k": [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0]}, "focal lengths"),
        ({"width": 0, "height": 0}, "at least 1 x 1"),
        ({"distortion_model": "magic"}, "magic"),
        ({"d": [0.1, 0.2]}, "plumb_bob"),
        ({"d": [float("inf")] * 5}, "finite"),
    ],
)
def test_invalid_camera_info_raises_one_sentence(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(GeometryError, match=words) as caught:
        messages.camera_of(info(**changes), "/camera/image_raw")
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_costmap_message_round_trip() -> None:
    costmap = np.array([[-1, 0, 98], [100, 1, 50]], np.int8)
    sent = messages.occupancy_grid(STAMP_NS, "odom", costmap, (-1.5, 2.25), 0.25)
    grid = deserialize_message(serialize_message(sent), type(sent))
    assert (grid.info.width, grid.info.height) == (3, 2) and grid.info.resolution == 0.25
    assert list(grid.data) == [-1, 0, 98, 100, 1, 50], "row by row, x running fastest"
    assert (grid.info.origin.position.x, grid.info.origin.position.y) == (-1.5, 2.25)
    assert grid.info.origin.orientation.w == 1.0
    assert grid.header.frame_id == "odom" and stamp_of(grid.header) == STAMP_NS


def test_costmap_update_round_trip() -> None:
    pytest.importorskip("map_msgs.msg", reason="map_msgs is not installed; it comes with a ROS distribution")
    block = np.arange(12, dtype=np.int8).reshape(3, 4)[1:, 1:]
    sent = messages.costmap_update(STAMP_NS, "odom", block, row=5, col=7)
    update = deserialize_message(serialize_message(sent), type(sent))
    assert (update.x, update.y, update.width, update.height) == (7, 5, 3, 2)
    assert list(update.data) == [5, 6, 7, 9, 10, 11]
    assert update.header.frame_id == "odom" and stamp_of(update.header) == STAMP_NS


def test_latency_message_has_the_stages_in_order() -> None:
    sent = messages.latency_message(STAMP_NS, {"decode": 1.25, "network": 20.0, "total": 31.5})
    message = deserialize_message(serialize_message(sent), type(sent))
    assert stamp_of(message.header) == STAMP_NS
    (status,) = message.status
    assert [(entry.key, float(entry.value)) for entry in status.values] == [
        ("decode", 1.25), ("network", 20.0), ("total", 31.5),
    ]  # fmt: skip


def test_label_info_without_vision_msgs_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", None)
    assert messages.label_info_type() is String
    text = messages.label_info(INFO, STAMP_NS).data
    assert json.loads(text)["classes"] == ["road", "grass"]
    assert LabelInfo.from_json(text).costs == INFO.costs


def test_label_info_with_vision_msgs_has_its_type() -> None:
    vision = pytest.importorskip("vision_msgs.msg", reason="vision_msgs is not installed")
    assert messages.label_info_type() is vision.LabelInfo
    sent = messages.label_info(INFO, STAMP_NS)
    message = deserialize_message(serialize_message(sent), vision.LabelInfo)
    assert [(entry.class_id, entry.class_name) for entry in message.class_map] == [(0, "road"), (1, "grass")]
    assert stamp_of(message.header) == STAMP_NS
