"""Recordings of every kind become the same frames; broken ones become one sentence."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.small_bags import (
    HEIGHT,
    KINDS,
    MATRIX,
    OPTICAL_RPY,
    SECOND,
    START,
    WIDTH,
    SmallBag,
    drive,
    image_stamp,
    picture,
)

from seg_perception.errors import GeometryError, RecordingError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.recordings.readers import bag_recording
from seg_perception.recordings.readers.bag import Bag
from seg_perception.recordings.readers.open_recording import Dropped, Recording, SourceOptions, open_recording
from seg_perception.recordings.readers.poses import choose_poses
from seg_perception.sensor_data.frame import Frame

CAMERA = Camera(WIDTH, HEIGHT, "plumb_bob", np.reshape(MATRIX, (3, 3)), ())
MOUNT = mount_to_base_from_optical(0.2, 0.0, 0.8, 0.0, 0.3, 0.0)
GIVEN = SourceOptions(camera=CAMERA, mount=MOUNT)


def read(path: Path | str, options: SourceOptions | None = None, skip: int = 0) -> list[Frame | Dropped]:
    with open_recording(str(path), options or SourceOptions()) as recording:
        return list(recording.frames(skip))


def refused(path: Path | str, options: SourceOptions | None = None) -> str:
    """The sentence that opening the recording ends in."""
    with pytest.raises(RecordingError) as caught:
        open_recording(str(path), options or SourceOptions())
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message and len(message) < 700, message
    return message


def reasons(items: list[Frame | Dropped]) -> list[str]:
    return [item.reason if isinstance(item, Dropped) else "frame" for item in items]


# --- bags ---------------------------------------------------------------------------------------------------------


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


def test_a_bag_can_be_read_twice_and_goes_on_after_any_number_of_items(tmp_path: Path) -> None:
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


def test_a_broken_transform_costs_no_image_and_is_counted(tmp_path: Path) -> None:
    bag = drive()
    bag.add("/tf", "tf2_msgs/msg/TFMessage", START + SECOND // 3, b"\x00\x01\x00\x00\xff\xff\xff\xff")
    bag.transform("odom", "base_link", START + SECOND // 3, (float("nan"), 0, 0))
    bag.transform("map", "base_link", START + SECOND // 3, (0, 0, 0))
    with open_recording(str(bag.write(tmp_path)), SourceOptions()) as recording:
        assert reasons(list(recording.frames())) == ["frame"] * 8
        assert recording.problems.total() == 3
        told = " ".join(recording.problems)
    assert "unreadable messages on /tf" in told and "finite" in told and "two parents" in told


def test_other_frame_names_are_taken_as_asked(tmp_path: Path) -> None:
    bag = drive(count=3)
    for tick in range(10):
        bag.transform("map", "odom", START + tick * SECOND // 20, (0, 5, 0))
    frames = read(bag.write(tmp_path), SourceOptions(odom_frame="map"))
    assert isinstance(frames[1], Frame)
    assert frames[1].odom_from_base.translation[1] == pytest.approx(5)


def test_a_given_mount_and_calibration_outrank_the_recorded_ones(tmp_path: Path) -> None:
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


def test_odometry_of_another_frame_is_carried_to_the_base_by_fixed_transforms(tmp_path: Path) -> None:
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


def test_what_a_bag_lacks_is_told_before_the_first_frame(tmp_path: Path) -> None:
    def without(*topics: str) -> SmallBag:
        bag = drive(count=3)
        bag.items = [item for item in bag.items if item[0] not in topics]
        return bag

    def told(name: str, bag: SmallBag, options: SourceOptions | None = None) -> str:
        (tmp_path / name).mkdir()
        with pytest.raises(RecordingError) as caught:
            open_recording(str(bag.write(tmp_path / name)), options or SourceOptions())
        message = str(caught.value)
        assert str(tmp_path / name) in message and message.endswith(".") and "\n" not in message
        return message

    message = told("images", without("/camera/image_raw"))
    assert "no topic with images" in message and "/tf" in message
    message = told("info", without("/camera/camera_info"))
    assert "/camera/camera_info" in message and "--camera" in message
    message = told("mount", without("/tf_static"))
    assert "camera_optical" in message and "--mount" in message
    message = told("frames", drive(), SourceOptions(odom_frame="world"))
    assert "'world'" in message and "--odom-frame" in message and "odom" in message
    message = told("odometry", drive(), SourceOptions(poses="odometry"))
    assert "0 topics with odometry" in message
    bag = without("/tf")
    bag.odometry(START, 0, 0, topic="/odom")
    bag.odometry(START, 0, 0, topic="/wheel/odom")
    message = told("odometries", bag)
    assert "/odom, /wheel/odom" in message and "--odometry-topic" in message
    assert "/visual" in told("visual", bag, SourceOptions(odometry_topic="/visual"))
    bag = without("/tf")
    bag.odometry(START, 0, 0, child="imu")
    assert "--base-frame imu" in told("imu", bag)
    bag = without("/camera/camera_info")
    bag.camera_info(k=(0,) * 9)
    message = told("uncalibrated", bag)
    assert "not calibrated" in message and "--camera" in message
    bag = without("/camera/camera_info")
    bag.camera_info(width=640, height=480)
    message = told("size", bag)
    assert "64x48" in message and "640x480" in message
    bag = without("/tf_static")
    bag.transform("base_link", "camera_optical", START, (0.5, 0, 1.2), topic="/tf_static")
    message = told("body", bag)
    assert "sky" in message and "--mount" in message
    bag = without("/camera/image_raw")
    bag.image(0, image_stamp(0), encoding="32FC1", step=256, data=np.zeros(256 * 48, np.uint8))
    message = told("depth", bag)
    assert "32FC1" in message and "/camera/image_raw" in message
    bag = without("/camera/image_raw")
    bag.compressed(image_stamp(0), b"...", "h264")
    assert "h264" in told("codec", bag)
    bag = without("/camera/image_raw")
    bag.add("/camera/image_raw", "sensor_msgs/msg/Image", START, b"\x00\x01\x00\x00rubbish")
    assert "broken" in told("broken", bag)


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


def test_images_that_wait_for_a_transform_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bag_recording, "_WAITING_BYTES", 3 * WIDTH * HEIGHT * 3)
    bag = drive(count=2)
    for index in range(6):  # stamped ahead of all transforms that have come so far
        bag.image(index, image_stamp(1) + index + 1, time_ns=START + index)
    bag.items = [(t, n, time + SECOND // 2 if t == "/tf" else time, m) for t, n, time, m in bag.items]
    items = read(bag.write(tmp_path))
    assert reasons(items)[:4] == ["no pose at its stamp"] * 4
    assert "frame" in reasons(items)


# --- files --------------------------------------------------------------------------------------------------------


def write_images(folder: Path, names: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    for index, name in enumerate(names):
        cv2.imwrite(str(folder / name), picture(index))


def write_video(path: Path, count: int = 12, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    codec = "MJPG" if path.suffix == ".avi" else "mp4v"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 25.0, size)
    if not writer.isOpened():
        pytest.skip(f"this OpenCV writes no {path.suffix}")
    for index in range(count):
        writer.write(picture(index, *size))
    writer.release()
    return path


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


def test_a_real_calibrated_folder_must_fit_its_calibration(real_data: Path) -> None:
    camera = Camera.from_yaml(real_data / "road_calibrated" / "camera.yaml")
    folder = real_data / "road_calibrated"
    items = read(folder, SourceOptions(camera=camera, mount=MOUNT, wanted_size=(480, 360)))
    assert reasons(items) == ["frame"] * 8
    assert all(item.image.shape == (360, 640, 3) for item in items)
    assert "calibration is for 64x48" in refused(folder / "images", GIVEN)


def test_what_files_lack_must_be_given(tmp_path: Path) -> None:
    write_images(tmp_path / "images", ["1.png"])
    for path in (tmp_path / "images", write_video(tmp_path / "drive.avi")):
        assert "--camera" in refused(path, SourceOptions(mount=MOUNT))
        assert "--mount" in refused(path, SourceOptions(camera=CAMERA))
        assert "--image-topic" in refused(path, SourceOptions(camera=CAMERA, mount=MOUNT, image_topics=("/camera",)))
        assert "--poses" in refused(path, SourceOptions(camera=CAMERA, mount=MOUNT, poses="tf"))
        assert "rate" in refused(path, SourceOptions(camera=CAMERA, mount=MOUNT, rate_hz=0))
        other = SourceOptions(camera=CAMERA.resized(32, 24), mount=MOUNT)
        assert "64x48" in refused(path, other) and "32x24" in refused(path, other)


# --- missing, empty, damaged and wrong ----------------------------------------------------------------------------

SUFFIXES = [".mcap", ".db3", ".bag", ".mp4", ".mov", ".avi", ".mkv", ".webm", ".jpg", ".png", ".tif", ".webp"]


def test_a_missing_path_and_an_empty_match_are_told(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "nowhere", GIVEN)
    assert "no such file" in refused(tmp_path / "nowhere.mcap", GIVEN)
    assert "matches no image" in refused(tmp_path / "*.png", GIVEN)


def test_folders_without_a_recording_are_told(tmp_path: Path) -> None:
    assert "neither a bag nor images" in refused(tmp_path, GIVEN)
    (tmp_path / "notes.txt").write_text("hello")
    assert "neither a bag nor images" in refused(tmp_path, GIVEN)
    (tmp_path / "1.mcap").write_bytes(b"x")
    assert "1.mcap" in refused(tmp_path, GIVEN)
    (tmp_path / "2.mcap").write_bytes(b"x")
    assert "ros2 bag reindex" in refused(tmp_path, GIVEN)


def test_a_folder_stands_for_the_only_recording_in_it_and_several_are_listed(tmp_path: Path) -> None:
    write_images(tmp_path / "left", ["1.png"])
    (tmp_path / "empty").mkdir()
    assert reasons(read(tmp_path, GIVEN)) == ["frame"]
    drive().write(tmp_path)
    assert f"give {tmp_path / 'left'} or {tmp_path / 'recording'}." in refused(tmp_path, GIVEN)


def test_a_folder_with_one_storage_file_needs_no_metadata(tmp_path: Path) -> None:
    path = drive().write(tmp_path)
    (path / "metadata.yaml").unlink()
    assert reasons(read(path)) == ["frame"] * 8


@pytest.mark.parametrize("content", ["", "text: [", "rosbag2_bagfile_information: {}", "- 1"])
def test_damaged_metadata_is_told(tmp_path: Path, content: str) -> None:
    path = drive().write(tmp_path)
    (path / "metadata.yaml").write_text(content)
    assert str(path) in refused(path)


def test_a_bag_folder_without_its_storage_file_is_told(tmp_path: Path) -> None:
    path = drive().write(tmp_path)
    next(path.glob("*.mcap")).unlink()
    assert "missing" in refused(path)


def test_a_file_of_no_known_kind_is_told(tmp_path: Path) -> None:
    for name in ("notes.txt", "camera.yaml", "recording.mcap.zstd", "noend"):
        (tmp_path / name).write_text("hello")
        assert name in refused(tmp_path / name, GIVEN)
        assert ".mcap" in refused(tmp_path / name, GIVEN)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_empty_files_random_bytes_and_text_are_told_for_every_suffix(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"recording{suffix}"
    rng = np.random.default_rng(5)
    contents = [b"", b"x", rng.bytes(10), rng.bytes(5000), b"This is a text file.\n" * 50, bytes(3000)]
    for content in contents:
        path.write_bytes(content)
        assert str(path) in refused(path, GIVEN)
        assert path.read_bytes() == content


@pytest.mark.parametrize("suffix", [".mcap", ".db3", ".bag"])
def test_a_bag_under_the_name_of_another_kind_is_told(tmp_path: Path, suffix: str) -> None:
    real = {".mcap": "db3-file", ".db3": "bag", ".bag": "mcap-file"}[suffix]
    path = tmp_path / f"wrong{suffix}"
    path.write_bytes(drive(real).write(tmp_path, real).read_bytes())
    assert str(path) in refused(path)


@pytest.mark.parametrize("part", [0.0005, 0.01, 0.2, 0.5, 0.9, 0.99, 0.9999])
@pytest.mark.parametrize("kind", ["mcap", "mcap-file", "db3", "db3-file", "db3-file-zstd", "bag"])
def test_a_bag_cut_anywhere_is_told(tmp_path: Path, kind: str, part: float) -> None:
    path = drive(kind, count=20).write(tmp_path, kind)
    storage = path if path.is_file() else next(file for file in path.iterdir() if file.suffix != ".yaml")
    content = storage.read_bytes()
    storage.write_bytes(content[: int(len(content) * part)])
    message = refused(path)
    assert str(path) in message and re.search("again|reindex|recover", message)


@pytest.mark.parametrize("part", [0.0005, 0.01, 0.2, 0.5, 0.9, 0.99, 0.9999])
def test_an_mp4_cut_anywhere_is_told_wherever_its_index_lies(tmp_path: Path, part: float, real_data: Path) -> None:
    camera = Camera(960, 540, "plumb_bob", np.array([[800.0, 0, 480], [0, 800, 270], [0, 0, 1]]), ())
    index_first = (real_data / "road_video" / "solidWhiteRight.mp4").read_bytes()
    index_last = write_video(tmp_path / "whole.mp4").read_bytes()
    path = tmp_path / "cut.mp4"
    for content, options in ((index_first, SourceOptions(camera=camera, mount=MOUNT)), (index_last, GIVEN)):
        path.write_bytes(content[: int(len(content) * part)])
        assert str(path) in refused(path, options)


def test_a_video_that_ends_early_says_so_among_the_problems(tmp_path: Path) -> None:
    path = write_video(tmp_path / "drive.avi", count=40)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    try:
        recording: Recording = open_recording(str(path), GIVEN)
    except RecordingError:
        return  # this OpenCV notices at once
    frames = list(recording.frames())
    assert len(frames) < 40
    expected = recording.expected_items
    assert recording.problems or expected is None or expected - len(frames) <= 3


def test_damage_within_a_bag_ends_in_a_sentence_after_what_could_be_read(tmp_path: Path) -> None:
    path = drive("mcap-zstd", count=400).write(tmp_path, "mcap-zstd")
    storage = next(path.glob("*.mcap"))
    content = bytearray(storage.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    storage.write_bytes(content)
    items: list[Frame | Dropped] = []
    with open_recording(str(path), SourceOptions()) as recording, pytest.raises(RecordingError, match="damaged after"):
        for item in recording.frames():
            items.append(item)
    assert len(items) > 20


def test_a_bag_that_tells_where_other_sensors_sit_but_not_the_camera_is_refused(tmp_path: Path) -> None:
    bag = drive(count=2)
    bag.items = [item for item in bag.items if item[0] != "/tf_static"]
    bag.transform("base_link", "lidar", START, (0, 0, 1), OPTICAL_RPY, topic="/tf_static")
    message = refused(bag.write(tmp_path))
    assert "lidar" in message and "camera_optical" in message
