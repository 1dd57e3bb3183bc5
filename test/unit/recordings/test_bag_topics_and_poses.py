"""Which images, calibration, poses and extrinsics of a bag are read, and what is reported if they are missing."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from support.reading import CAMERA, GIVEN, MOUNT, read, reasons, refused
from support.small_bags import (
    OPTICAL_RPY,
    SECOND,
    START,
    SmallBag,
    drive,
    image_stamp,
)

from seg_perception.errors import GeometryError, RecordingError
from seg_perception.geometry.transforms import Transform
from seg_perception.recordings.readers.bag import Bag
from seg_perception.recordings.readers.open_recording import SourceOptions, open_recording
from seg_perception.recordings.readers.poses import choose_poses
from seg_perception.sensor_data.frame import Frame


def test_other_frame_names_are_used_as_given(tmp_path: Path) -> None:
    bag = drive(count=3)
    for tick in range(10):
        bag.transform("map", "odom", START + tick * SECOND // 20, (0, 5, 0))
    frames = read(bag.write(tmp_path), SourceOptions(odom_frame="map"))
    assert isinstance(frames[1], Frame)
    assert frames[1].odom_from_base.translation[1] == pytest.approx(5)


def test_given_extrinsics_and_calibration_replace_the_recorded_ones(tmp_path: Path) -> None:
    frames = read(drive(count=2).write(tmp_path), GIVEN)
    assert all(isinstance(frame, Frame) and frame.camera == CAMERA for frame in frames)
    assert all(isinstance(frame, Frame) and frame.base_from_optical is MOUNT for frame in frames)


def test_a_bag_without_transforms_uses_its_odometry(tmp_path: Path) -> None:
    bag = drive()
    bag.items = [item for item in bag.items if not item[0].startswith("/tf")]
    for tick in range(20):
        bag.odometry(START + tick * SECOND // 20, tick * 0.3, 0.02 * tick)
    with open_recording(str(bag.write(tmp_path)), SourceOptions(mount=MOUNT)) as recording:
        assert recording.description["poses"] == "/odom, 'odom' to 'base_link'"
        frames = list(recording.frames())
    ticks = [(image_stamp(index) - START) / SECOND * 20 for index in range(8)]
    assert [f.odom_from_base.translation[0] for f in frames] == pytest.approx([0.3 * tick for tick in ticks])
    assert [f.odom_from_base.rpy()[2] for f in frames] == pytest.approx([0.02 * tick for tick in ticks])


def test_fixed_transforms_bring_odometry_of_another_frame_to_the_base(tmp_path: Path) -> None:
    bag = drive()
    bag.items = [item for item in bag.items if item[0] != "/tf"]
    bag.transform("base_footprint", "base_link", START, (0, 0, 0.25), topic="/tf_static")
    for tick in range(20):
        bag.odometry(START + tick * SECOND // 20, 0.0, 0.0, child="base_footprint")
    frames = read(bag.write(tmp_path))
    assert [f.odom_from_base.translation[2] for f in frames if isinstance(f, Frame)] == pytest.approx([0.25] * 8)


def test_without_poses_the_map_moves_with_the_robot_and_the_report_says_so(tmp_path: Path) -> None:
    bag = drive()
    path = bag.write(tmp_path)
    with open_recording(str(path), SourceOptions(poses="none")) as recording:
        assert recording.description["poses"] == "none: the map moves with the robot"
        frames = list(recording.frames())
    assert reasons(frames) == ["frame"] * 8
    for frame in frames:
        assert isinstance(frame, Frame)
        np.testing.assert_array_equal(frame.odom_from_base.translation, Transform.identity().translation)
        np.testing.assert_allclose(frame.base_from_optical.translation, (0.5, 0, 1.2))


def test_the_older_transform_message_of_ros_1_is_read(tmp_path: Path) -> None:
    bag = drive("bag")
    bag.items = [item for item in bag.items if item[0] != "/tf"]
    for tick in range(20):
        stamp_ns = START + tick * SECOND // 20
        bag.transform("/odom", "/base_link", stamp_ns, (tick, 0, 0), message_type="tf/msg/tfMessage")
    assert reasons(read(bag.write(tmp_path, "bag"))) == ["frame"] * 8


def test_latched_transforms_recorded_at_the_end_hold_from_the_start(tmp_path: Path) -> None:
    bag = drive()
    bag.items = [(t, n, time + 5 * SECOND if t == "/tf_static" else time, m) for t, n, time, m in bag.items]
    assert reasons(read(bag.write(tmp_path))) == ["frame"] * 8


def test_of_several_image_topics_one_must_be_named(tmp_path: Path) -> None:
    bag = drive(count=3)
    bag.image(70, image_stamp(1), topic="/rear/image_raw")
    bag.camera_info(topic="/rear/camera_info", k=(70, 0, 31.5, 0, 70, 23.5, 0, 0, 1))
    path = bag.write(tmp_path)
    message = refused(path)
    assert "/camera/image_raw, /rear/image_raw" in message and "--image-topic" in message
    (frame,) = read(path, SourceOptions(image_topics=("/rear/image_raw",)))
    assert isinstance(frame, Frame) and frame.camera.matrix[0, 0] == 70
    for wanted in ("/camera/camera_info", "/front"):
        message = refused(path, SourceOptions(image_topics=(wanted,)))
        assert wanted in message and "/rear/image_raw" in message


def test_a_rectified_image_uses_the_projection_matrix_without_distortion(tmp_path: Path) -> None:
    bag = drive(count=2)
    bag.items = [
        ("/camera/image_rect_color" if t == "/camera/image_raw" else t, n, time, message)
        for t, n, time, message in bag.items
    ]
    frame = read(bag.write(tmp_path))[0]
    assert isinstance(frame, Frame)
    assert frame.camera.matrix[0, 0] == pytest.approx(45)
    assert not any(frame.camera.distortion)


@pytest.mark.slow
def test_what_a_bag_lacks_is_reported_before_the_first_frame(tmp_path: Path) -> None:
    def without(*topics: str) -> SmallBag:
        bag = drive(count=3)
        bag.items = [item for item in bag.items if item[0] not in topics]
        return bag

    def refusal(name: str, bag: SmallBag, options: SourceOptions | None = None) -> str:
        (tmp_path / name).mkdir()
        with pytest.raises(RecordingError) as caught:
            open_recording(str(bag.write(tmp_path / name)), options or SourceOptions())
        message = str(caught.value)
        assert str(tmp_path / name) in message and message.endswith(".") and "\n" not in message
        return message

    message = refusal("images", without("/camera/image_raw"))
    assert "no topic with images" in message and "/tf" in message
    message = refusal("info", without("/camera/camera_info"))
    assert "/camera/camera_info" in message and "--camera" in message
    message = refusal("mount", without("/tf_static"))
    assert "camera_optical" in message and "--mount" in message
    message = refusal("frames", drive(), SourceOptions(odom_frame="world"))
    assert "'world'" in message and "--odom-frame" in message and "odom" in message
    message = refusal("odometry", drive(), SourceOptions(poses="odometry"))
    assert "0 topics with odometry" in message
    bag = without("/tf")
    bag.odometry(START, 0, 0, topic="/odom")
    bag.odometry(START, 0, 0, topic="/wheel/odom")
    message = refusal("odometries", bag)
    assert "/odom, /wheel/odom" in message and "--odometry-topic" in message
    assert "/visual" in refusal("visual", bag, SourceOptions(odometry_topic="/visual"))
    bag = without("/tf")
    bag.odometry(START, 0, 0, child="imu")
    assert "--base-frame imu" in refusal("imu", bag)
    bag = without("/camera/camera_info")
    bag.camera_info(k=(0,) * 9)
    message = refusal("uncalibrated", bag)
    assert "not calibrated" in message and "--camera" in message
    bag = without("/camera/camera_info")
    bag.camera_info(width=640, height=480)
    message = refusal("size", bag)
    assert "64x48" in message and "640x480" in message
    bag = without("/tf_static")
    bag.transform("base_link", "camera_optical", START, (0.5, 0, 1.2), topic="/tf_static")
    message = refusal("body", bag)
    assert "sky" in message and "--mount" in message
    bag = without("/camera/image_raw")
    bag.image(0, image_stamp(0), encoding="32FC1", step=256, data=np.zeros(256 * 48, np.uint8))
    message = refusal("depth", bag)
    assert "32FC1" in message and "/camera/image_raw" in message
    bag = without("/camera/image_raw")
    bag.compressed(image_stamp(0), b"...", "h264")
    assert "h264" in refusal("codec", bag)
    bag = without("/camera/image_raw")
    bag.add("/camera/image_raw", "sensor_msgs/msg/Image", START, b"\x00\x01\x00\x00rubbish")
    assert "broken" in refusal("broken", bag)


def test_transforms_are_forgotten_ten_seconds_later(tmp_path: Path) -> None:
    bag = drive(count=2)
    for tick in range(60 * 20):
        bag.transform("odom", "base_link", START + tick * SECOND // 20, (0.1 * tick, 0, 0))
    opened = Bag(bag.write(tmp_path))
    poses = choose_poses(opened, SourceOptions(), "camera_optical")
    for topic, _, data in opened.messages(["/tf"]):
        poses.add(opened.decode(topic, data))
    newest = START + 59 * SECOND
    for age_s, is_known in ((0, True), (9, True), (11, False), (58, False)):
        with nullcontext() if is_known else pytest.raises(GeometryError, match="not known at"):
            poses.at(newest - age_s * SECOND)


def test_a_bag_with_extrinsics_of_other_sensors_only_is_refused(tmp_path: Path) -> None:
    bag = drive(count=2)
    bag.items = [item for item in bag.items if item[0] != "/tf_static"]
    bag.transform("base_link", "lidar", START, (0, 0, 1), OPTICAL_RPY, topic="/tf_static")
    message = refused(bag.write(tmp_path))
    assert "lidar" in message and "camera_optical" in message
