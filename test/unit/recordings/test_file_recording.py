"""Videos, image files and folders as recordings."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.reading import CAMERA, GIVEN, MOUNT, read, reasons, refused, write_images, write_video
from support.small_bags import (
    SECOND,
    picture,
)

from seg_perception.geometry.camera import Camera
from seg_perception.recordings.readers.open_recording import SourceOptions, open_recording
from seg_perception.sensor_data.frame import Frame


def test_an_image_folder_is_read_in_the_order_of_its_numbers_at_ten_hertz(tmp_path: Path) -> None:
    names = ["a1.png", "a2.png", "a10.png", "b1.png"]
    write_images(tmp_path / "images", names)
    (tmp_path / "images" / "README.txt").write_text("not an image")
    (tmp_path / "images" / "._a1.png").write_bytes(b"resource fork")
    with open_recording(str(tmp_path / "images"), GIVEN) as recording:
        assert [file.name for file in recording.files] == names
        assert recording.expected_items == 4
        assert recording.description["kind"] == "4 images at 10 Hz"
        frames = list(recording.frames())
        assert [frame.stamp_ns for frame in recording.frames(3)] == [frames[3].stamp_ns]
    for index, frame in enumerate(frames):
        assert isinstance(frame, Frame)
        assert frame.stamp_ns == (index + 1) * SECOND // 10
        np.testing.assert_array_equal(frame.image, picture(index))
        assert (frame.camera, frame.base_from_optical, frame.channel_order) == (CAMERA, MOUNT, "bgr")
        np.testing.assert_array_equal(frame.odom_from_base.rotation, np.eye(3))


def test_a_glob_and_a_single_image_are_read_too(tmp_path: Path) -> None:
    write_images(tmp_path / "images", ["a1.png", "a2.png", "b1.png"])
    with open_recording(str(tmp_path / "images" / "a*.png"), GIVEN) as recording:
        assert [file.name for file in recording.files] == ["a1.png", "a2.png"]
        assert len(list(recording.frames())) == 2
    assert reasons(read(tmp_path / "images" / "b1.png", GIVEN)) == ["frame"]


def test_large_jpegs_are_decoded_small_and_unreadable_ones_dropped(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    write_images(folder, ["1.jpg", "2.jpg", "3.jpg", "4.png"])
    (folder / "2.jpg").write_bytes(b"\xff\xd8 no jpeg")
    cv2.imwrite(str(folder / "3.jpg"), picture(3, 32, 32))
    options = SourceOptions(camera=CAMERA, mount=MOUNT, wanted_size=(32, 24), rate_hz=5)
    items = read(folder, options)
    assert reasons(items) == [
        "frame",
        "image cannot be decoded",
        "image size is not that of the calibration",
        "frame",
    ]
    assert items[0].image.shape == (24, 32, 3) and items[0].camera == CAMERA.resized(32, 24)
    assert items[3].image.shape == (48, 64, 3) and items[3].camera == CAMERA
    assert [item.stamp_ns for item in items] == [SECOND // 5 * index for index in (1, 2, 3, 4)]


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_a_video_is_read_at_its_own_rate(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"drive{suffix}")
    with open_recording(str(path), GIVEN) as recording:
        assert recording.expected_items == 12
        frames = list(recording.frames())
        assert [frame.stamp_ns for frame in recording.frames(10)] == [frame.stamp_ns for frame in frames[10:]]
        assert not recording.problems
    assert [frame.stamp_ns for frame in frames] == [(index + 1) * SECOND // 25 for index in range(12)]
    for index, frame in enumerate(frames):
        assert isinstance(frame, Frame)
        assert np.abs(frame.image.astype(int) - picture(index)).mean() < 12
    slow = read(path, SourceOptions(camera=CAMERA, mount=MOUNT, rate_hz=5))
    assert slow[1].stamp_ns == 2 * SECOND // 5


def test_the_real_video_gives_all_its_frames(real_data: Path) -> None:
    camera = Camera(960, 540, "plumb_bob", np.array([[800.0, 0, 480], [0, 800, 270], [0, 0, 1]]), ())
    options = SourceOptions(camera=camera, mount=MOUNT)
    with open_recording(str(real_data / "road_video" / "solidWhiteRight.mp4"), options) as recording:
        assert recording.expected_items == 221
        first = next(iter(recording.frames()))
    assert isinstance(first, Frame)
    assert first.image.shape == (540, 960, 3) and first.stamp_ns == SECOND // 25


def test_images_must_have_the_size_of_the_calibration(real_data: Path) -> None:
    camera = Camera.from_yaml(real_data / "road_calibrated" / "camera.yaml")
    folder = real_data / "road_calibrated"
    items = read(folder, SourceOptions(camera=camera, mount=MOUNT, wanted_size=(480, 360)))
    assert reasons(items) == ["frame"] * 8
    assert all(item.image.shape == (360, 640, 3) for item in items)
    assert "calibration is for 64x48" in refused(folder / "images", GIVEN)


def test_files_need_calibration_and_extrinsics_from_the_options(tmp_path: Path) -> None:
    write_images(tmp_path / "images", ["1.png"])
    for path in (tmp_path / "images", write_video(tmp_path / "drive.avi")):
        assert "--camera" in refused(path, SourceOptions(mount=MOUNT))
        assert "--mount" in refused(path, SourceOptions(camera=CAMERA))
        assert "--image-topic" in refused(path, SourceOptions(camera=CAMERA, mount=MOUNT, image_topics=("/camera",)))
        assert "--poses" in refused(path, SourceOptions(camera=CAMERA, mount=MOUNT, poses="tf"))
        assert "rate" in refused(path, SourceOptions(camera=CAMERA, mount=MOUNT, rate_hz=0))
        other = SourceOptions(camera=CAMERA.resized(32, 24), mount=MOUNT)
        assert "64x48" in refused(path, other) and "32x24" in refused(path, other)
