"""Bags of every kind give the same frames; images that cannot be used are dropped with a reason."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.reading import read, reasons
from support.small_bags import (
    HEIGHT,
    KINDS,
    MATRIX,
    SECOND,
    START,
    WIDTH,
    drive,
    image_stamp,
    picture,
)

from seg_perception.geometry.transforms import mount_to_base_from_optical
from seg_perception.recordings.readers import bag_recording
from seg_perception.recordings.readers.open_recording import Dropped, SourceOptions, open_recording
from seg_perception.sensor_data.frame import Frame


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_bag_gives_the_same_frames_with_interpolated_poses(tmp_path: Path, kind: str) -> None:
    path = drive(kind).write(tmp_path, kind)
    with open_recording(str(path), SourceOptions()) as recording:
        assert recording.expected_items == 8
        assert all(file.is_file() for file in recording.files)
        assert recording.description["poses"] == "/tf, 'odom' to 'base_link'"
        assert recording.description["mount"] == "transforms, 'base_link' to 'camera_optical'"
        assert "/camera/image_raw" in recording.description["images"]
        frames = list(recording.frames())
        assert not recording.problems
    assert len(frames) == 8
    for index, frame in enumerate(frames):
        assert isinstance(frame, Frame)
        assert frame.stamp_ns == image_stamp(index)
        np.testing.assert_array_equal(frame.image, picture(index))
        assert (frame.channel_order, frame.frame_id) == ("bgr", "camera_optical")
        seconds = (frame.stamp_ns - START) / SECOND
        np.testing.assert_allclose(frame.odom_from_base.translation, (2 * seconds, 0, 0), atol=1e-6)
        np.testing.assert_allclose(frame.odom_from_base.rpy(), (0, 0, 0.1 * seconds), atol=1e-6)
        expected = mount_to_base_from_optical(0.5, 0, 1.2, 0, 0, 0)
        np.testing.assert_allclose(frame.base_from_optical.rotation, expected.rotation, atol=1e-6)
        np.testing.assert_allclose(frame.base_from_optical.translation, (0.5, 0, 1.2))
        assert (frame.camera.width, frame.camera.height, frame.camera.model) == (WIDTH, HEIGHT, "plumb_bob")
        np.testing.assert_array_equal(frame.camera.matrix.ravel(), MATRIX)
        assert frame.camera.distortion[0] == 0.1


def test_a_bag_can_be_read_twice_and_resumes_after_any_number_of_items(tmp_path: Path) -> None:
    bag = drive()
    bag.image(99, image_stamp(3), time_ns=image_stamp(3) + 1)  # a repeated stamp: one item is dropped
    path = bag.write(tmp_path)
    with open_recording(str(path), SourceOptions()) as recording:
        whole = list(recording.frames())
        for skip in range(len(whole) + 2):
            rest = list(recording.frames(skip))
            assert [item.stamp_ns for item in rest] == [item.stamp_ns for item in whole[skip:]]
            assert reasons(rest) == reasons(whole[skip:])


def test_a_transform_recorded_after_its_image_is_waited_for(tmp_path: Path) -> None:
    bag = drive()
    late = [(t, n, time + SECOND // 2 if t == "/tf" else time, m) for t, n, time, m in bag.items]
    bag.items = late
    assert reasons(read(bag.write(tmp_path))) == ["frame"] * 8


def test_an_image_whose_transform_never_comes_is_dropped_with_the_reason(tmp_path: Path) -> None:
    bag = drive()
    for index in range(3):  # before, and long after, the transforms
        bag.image(50 + index, START - SECOND + index)
        bag.image(60 + index, START + 10 * SECOND + index)
    items = read(bag.write(tmp_path))
    assert reasons(items) == ["no pose at its stamp"] * 3 + ["frame"] * 8 + ["no pose at its stamp"] * 3
    assert isinstance(items[0], Dropped) and "base_link" in items[0].detail


def test_repeated_backward_and_missing_stamps_are_dropped_each_with_its_reason(tmp_path: Path) -> None:
    bag = drive()
    bag.image(10, image_stamp(2), time_ns=image_stamp(4) + 1)
    bag.image(11, image_stamp(4), time_ns=image_stamp(4) + 2)
    bag.image(12, 0, time_ns=image_stamp(5) + 1)
    expected = ["frame"] * 5 + ["stamp not after that of the frame before"] * 2 + ["frame", "no stamp"] + ["frame"] * 2
    assert reasons(read(bag.write(tmp_path))) == expected


def test_a_broken_image_is_dropped_and_the_next_ones_are_read(tmp_path: Path) -> None:
    bag = drive()
    bag.items = [item for item in bag.items if item[2] not in (image_stamp(2), image_stamp(4), image_stamp(6))]
    bag.image(2, image_stamp(2), data=np.zeros(100, np.uint8))
    bag.image(4, image_stamp(4), encoding="32FC1")
    bag.add("/camera/image_raw", "sensor_msgs/msg/Image", image_stamp(6), b"\x00\x01\x00\x00rubbish")
    items = read(bag.write(tmp_path))
    assert reasons(items) == ["frame", "frame", *["image cannot be decoded", "frame"] * 3]
    assert isinstance(items[2], Dropped) and "100" in items[2].detail


def test_an_image_of_another_size_than_the_calibration_is_dropped(tmp_path: Path) -> None:
    bag = drive(count=3)
    small = {"width": 32, "height": 24, "step": 96, "data": np.zeros(32 * 24 * 3, np.uint8)}
    bag.image(9, image_stamp(2) + SECOND // 100, **small)
    assert reasons(read(bag.write(tmp_path)))[-1] == "image size is not that of the calibration"


def test_a_broken_transform_is_counted_and_drops_no_image(tmp_path: Path) -> None:
    bag = drive()
    bag.add("/tf", "tf2_msgs/msg/TFMessage", START + SECOND // 3, b"\x00\x01\x00\x00\xff\xff\xff\xff")
    bag.transform("odom", "base_link", START + SECOND // 3, (float("nan"), 0, 0))
    bag.transform("map", "base_link", START + SECOND // 3, (0, 0, 0))
    with open_recording(str(bag.write(tmp_path)), SourceOptions()) as recording:
        assert reasons(list(recording.frames())) == ["frame"] * 8
        assert recording.problems.total() == 3
        problems = " ".join(recording.problems)
    assert "unreadable messages on /tf" in problems and "finite" in problems and "two parents" in problems


def test_compressed_images_are_decoded_no_larger_than_the_network_needs(tmp_path: Path) -> None:
    bag = drive()
    bag.items = [item for item in bag.items if item[0] != "/camera/image_raw"]
    for index in range(4):
        bag.compressed(image_stamp(index), cv2.imencode(".jpg", picture(index))[1].tobytes())
    bag.compressed(image_stamp(4), cv2.imencode(".jpg", picture(4))[1].tobytes()[:400])
    bag.compressed(image_stamp(5), cv2.imencode(".png", picture(5))[1].tobytes(), "bgr8; png compressed bgr8")
    path = bag.write(tmp_path)
    full = read(path)
    half = read(path, SourceOptions(wanted_size=(30, 20)))
    assert reasons(full) == reasons(half) == ["frame"] * 4 + ["image cannot be decoded", "frame"]
    for frame in half[:4]:
        assert isinstance(frame, Frame)
        assert frame.image.shape == (HEIGHT // 2, WIDTH // 2, 3)
        assert frame.camera == full[0].camera.resized(WIDTH // 2, HEIGHT // 2)
    assert half[5].image.shape == (HEIGHT, WIDTH, 3) and half[5].camera == full[5].camera


def test_images_that_wait_for_a_transform_are_bounded_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bag_recording, "_WAITING_BYTES", 3 * WIDTH * HEIGHT * 3)
    bag = drive(count=2)
    for index in range(6):  # stamped ahead of all transforms that have come so far
        bag.image(index, image_stamp(1) + index + 1, time_ns=START + index)
    bag.items = [(t, n, time + SECOND // 2 if t == "/tf" else time, m) for t, n, time, m in bag.items]
    items = read(bag.write(tmp_path))
    assert reasons(items)[:4] == ["no pose at its stamp"] * 4
    assert "frame" in reasons(items)
