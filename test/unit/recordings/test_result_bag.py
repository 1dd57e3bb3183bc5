"""result.mcap: other readers read it, it is complete whenever the process ends, and it resumes byte for byte."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from support.small_bags import drive, image_stamp

from seg_perception.errors import RecordingError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.offline.checkpoint import Checkpoint, fingerprint
from seg_perception.recordings.readers.open_recording import SourceOptions, open_recording
from seg_perception.recordings.result_bag import mcap_file
from seg_perception.recordings.result_bag.mcap_file import McapFile
from seg_perception.recordings.result_bag.mcap_records import Channel
from seg_perception.recordings.result_bag.messages import FrameNames
from seg_perception.recordings.result_bag.reader import LabelInfo, ResultFrame, read_label_info, read_result
from seg_perception.recordings.result_bag.writer import ResultWriter
from seg_perception.sensor_data.frame import Frame

WIDTH, HEIGHT, ROWS, COLS = 32, 24, 10, 14
CAMERA = Camera(WIDTH, HEIGHT, "plumb_bob", np.array([[30.0, 0, 15.5], [0, 30, 11.5], [0, 0, 1]]), (0.1, -0.2, 0, 0, 0))
MOUNT = mount_to_base_from_optical(0.5, 0.0, 1.2, 0.0, 0.1, 0.0)
LABELS = LabelInfo(("Road", "Çar"), np.array([[128, 64, 128], [0, 0, 142]], np.uint8), (0.0, 2540.0))
NAMES = FrameNames("odom", "base_link", "camera_optical")
TOPICS = {
    "/camera/image/compressed": "sensor_msgs/msg/CompressedImage",
    "/camera/camera_info": "sensor_msgs/msg/CameraInfo",
    "/perception/labels": "sensor_msgs/msg/Image",
    "/perception/most_probable": "sensor_msgs/msg/Image",
    "/perception/confidence": "sensor_msgs/msg/Image",
    "/perception/expected_cost": "sensor_msgs/msg/Image",
    "/perception/overlay/compressed": "sensor_msgs/msg/CompressedImage",
    "/perception/costmap": "nav_msgs/msg/OccupancyGrid",
    "/perception/latency": "diagnostic_msgs/msg/DiagnosticArray",
    "/tf": "tf2_msgs/msg/TFMessage",
}


def make_frame(index: int) -> ResultFrame:
    rng = np.random.default_rng(index)
    planes = rng.integers(0, 256, (4, HEIGHT, WIDTH), dtype=np.uint8)
    jpeg = cv2.imencode(".jpg", np.repeat(planes[0][..., None], 3, axis=2))[1].tobytes()
    return ResultFrame(
        stamp_ns=1_700_000_000_123_456_789 + index * 100_000_000,
        camera_jpeg=jpeg,
        overlay_jpeg=jpeg[::-1],
        labels=planes[0],
        most_probable=planes[1],
        confidence=planes[2],
        expected_cost=planes[3],
        costmap=rng.integers(-1, 101, (ROWS, COLS), dtype=np.int8),
        resolution=0.25,
        origin_xy=(index * 0.25, -3.5),
        odom_from_base=Transform.from_xyz_rpy(index * 0.3, 1.0, 0.0, 0.01, -0.02, 0.1 * index),
        latency_ms={"decode": 1.25, "network": 15.5 + index},
    )


def write_result(path: Path, count: int) -> None:
    with ResultWriter.create(path, LABELS, NAMES) as writer:
        for index in range(count):
            writer.write(make_frame(index), CAMERA, MOUNT)


def assert_same(actual: ResultFrame, expected: ResultFrame) -> None:
    for name in ("stamp_ns", "camera_jpeg", "overlay_jpeg", "resolution", "origin_xy", "latency_ms"):
        assert getattr(actual, name) == getattr(expected, name), name
    for name in ("labels", "most_probable", "confidence", "expected_cost", "costmap"):
        np.testing.assert_array_equal(getattr(actual, name), getattr(expected, name), err_msg=name)
        assert getattr(actual, name).dtype == getattr(expected, name).dtype
    np.testing.assert_allclose(actual.odom_from_base.rotation, expected.odom_from_base.rotation, atol=1e-12)
    np.testing.assert_allclose(actual.odom_from_base.translation, expected.odom_from_base.translation, atol=1e-12)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "result.mcap"
    write_result(path, 5)
    frames = list(read_result(path))
    assert len(frames) == 5
    for index, frame in enumerate(frames):
        assert_same(frame, make_frame(index))
    info = read_label_info(path)
    assert (info.classes, info.costs) == (LABELS.classes, LABELS.costs)
    np.testing.assert_array_equal(info.colours, LABELS.colours)


def test_a_ros_reader_finds_every_topic_type_and_original_stamp(tmp_path: Path) -> None:
    path = tmp_path / "result.mcap"
    write_result(path, 3)
    stamps = [make_frame(index).stamp_ns for index in range(3)]
    with AnyReader([path]) as reader:
        assert {c.topic: c.msgtype for c in reader.connections} == {
            **TOPICS,
            "/perception/label_info": "std_msgs/msg/String",
        }
        assert {c.topic: c.msgcount for c in reader.connections if c.topic in TOPICS} == dict.fromkeys(TOPICS, 3)
        for connection, time_ns, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            if connection.topic == "/tf":
                headers = [transform.header for transform in message.transforms]
            elif connection.topic == "/perception/label_info":
                assert time_ns == stamps[0]
                continue
            else:
                headers = [message.header]
            assert time_ns in stamps
            assert all(h.stamp.sec * 10**9 + h.stamp.nanosec == time_ns for h in headers)


def test_the_costmap_message_places_its_cells_in_odom(tmp_path: Path) -> None:
    path = tmp_path / "result.mcap"
    write_result(path, 2)
    with AnyReader([path]) as reader:
        connections = [c for c in reader.connections if c.topic == "/perception/costmap"]
        _, _, data = list(reader.messages(connections))[1]
        grid = reader.deserialize(data, connections[0].msgtype)
    assert grid.header.frame_id == "odom"
    assert (grid.info.width, grid.info.height, grid.info.resolution) == (COLS, ROWS, 0.25)
    assert (grid.info.origin.position.x, grid.info.origin.position.y, grid.info.origin.orientation.w) == (0.25, -3.5, 1)
    np.testing.assert_array_equal(grid.data, make_frame(1).costmap.ravel())


def test_tf_links_odom_to_the_camera_and_camera_info_holds_its_intrinsics(tmp_path: Path) -> None:
    path = tmp_path / "result.mcap"
    write_result(path, 1)
    with AnyReader([path]) as reader:
        messages = {c.topic: reader.deserialize(data, c.msgtype) for c, _, data in reader.messages()}
    links = [(t.header.frame_id, t.child_frame_id) for t in messages["/tf"].transforms]
    assert links == [("odom", "base_link"), ("base_link", "camera_optical")]
    mount = messages["/tf"].transforms[1].transform
    assert (mount.translation.x, mount.translation.z) == pytest.approx((0.5, 1.2))
    info = messages["/camera/camera_info"]
    assert (info.width, info.height, info.distortion_model) == (WIDTH, HEIGHT, "plumb_bob")
    np.testing.assert_array_equal(info.k.reshape(3, 3), CAMERA.matrix)
    np.testing.assert_array_equal(info.p.reshape(3, 4)[:, :3], CAMERA.matrix)
    np.testing.assert_array_equal(info.d, CAMERA.distortion)
    assert messages["/perception/labels"].encoding == "mono8"
    assert messages["/perception/labels"].header.frame_id == "camera_optical"


def test_the_file_is_complete_after_every_flush_and_before_the_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "result.mcap"
    writer = ResultWriter.create(path, LABELS, NAMES)
    assert list(read_result(path)) == []
    with pytest.raises(RecordingError, match="no frame"):
        read_label_info(path)
    for index in range(4):
        writer.write(make_frame(index), CAMERA, MOUNT)
        writer.flush()
        assert len(list(read_result(path))) == index + 1
    writer.close()
    writer.close()
    assert len(list(read_result(path))) == 4


@pytest.mark.slow
def test_a_killed_process_leaves_all_frames_up_to_its_last_flush(tmp_path: Path) -> None:
    path = tmp_path / "result.mcap"
    script = (
        "import sys; sys.path[:0] = sys.argv[2].split(':')\n"
        "from pathlib import Path\n"
        "from test_result_bag import *\n"
        "writer = ResultWriter.create(Path(sys.argv[1]), LABELS, NAMES)\n"
        "for index in range(7):\n"
        "    writer.write(make_frame(index), CAMERA, MOUNT)\n"
        "    if index == 4: writer.flush()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    here = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", script, str(path), f"{here}:{here.parents[1]}"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(read_result(path))) == 5


def test_a_resumed_file_is_byte_identical_wherever_the_old_one_was_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fake pipeline: 12 frames, checkpoint after 5; the file then ends at an arbitrary byte behind the checkpoint."""
    monkeypatch.setattr(mcap_file, "monotonic", lambda: 0.0)  # no flush between the ones asked for
    whole = tmp_path / "whole.mcap"
    with ResultWriter.create(whole, LABELS, NAMES) as writer:
        for index in range(12):
            writer.write(make_frame(index), CAMERA, MOUNT)
            if index == 4:
                position = writer.flush()
    expected = whole.read_bytes()
    end = len(expected)
    for cut in (position, position + 1, position + 20, (position + end) // 2, end - 1, end):
        path = tmp_path / "cut.mcap"
        path.write_bytes(expected[:cut])
        with ResultWriter.resume(path, position, LABELS, NAMES) as writer:
            assert len(list(read_result(path))) == 5  # whole again at once
            for index in range(5, 12):
                writer.write(make_frame(index), CAMERA, MOUNT)
        assert path.read_bytes() == expected, cut
    with AnyReader([path]) as reader:
        counts = Counter({c.topic: c.msgcount for c in reader.connections})
    assert counts == {**dict.fromkeys(TOPICS, 12), "/perception/label_info": 1}


def replay(recording: Path, out: Path, *, resume: bool = False, stop_after: int = 10**9) -> None:
    """A replay with a map that depends on all images so far; stops without closing after so many items."""
    out.mkdir(exist_ok=True)
    grid, done, stamp = np.zeros((ROWS, COLS), np.float32), fingerprint([recording], {}), out / "checkpoint.npz"
    items = 0
    if resume:
        checkpoint = Checkpoint.load(stamp, done)
        grid, items = checkpoint.arrays["grid"], checkpoint.items
        writer = ResultWriter.resume(out / "result.mcap", checkpoint.position, LABELS, NAMES)
    else:
        writer = ResultWriter.create(out / "result.mcap", LABELS, NAMES)
    with open_recording(str(recording), SourceOptions()) as source:
        for item in source.frames(items):
            if items == stop_after:
                return
            items += 1
            if isinstance(item, Frame):
                grid = grid * np.float32(0.9) + item.image[:ROWS, :COLS, 0]
                costmap = (grid % 100).astype(np.int8)
                result = replace(make_frame(0), stamp_ns=item.stamp_ns, costmap=costmap, odom_from_base=MOUNT)
                writer.write(result, CAMERA, item.base_from_optical)
            if items % 3 == 0:
                Checkpoint(done, writer.flush(), items, {"grid": grid}, {}).save(stamp)
    writer.close()


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [3, 4, 8, 11, 13])
def test_a_replay_killed_anywhere_and_resumed_ends_like_one_that_was_not(tmp_path: Path, stop_after: int) -> None:
    bag = drive("db3", count=12)
    bag.image(50, image_stamp(2), time_ns=image_stamp(2) + 1)  # dropped: its stamp repeats
    bag.image(51, image_stamp(9), time_ns=image_stamp(9) + 1)
    recording = bag.write(tmp_path, "db3-file")
    replay(recording, tmp_path / "whole")
    replay(recording, tmp_path / "parts", stop_after=stop_after)
    replay(recording, tmp_path / "parts", resume=True)
    whole, parts = (list(read_result(tmp_path / name / "result.mcap")) for name in ("whole", "parts"))
    assert len(whole) == 12
    assert [frame.stamp_ns for frame in parts] == [frame.stamp_ns for frame in whole]
    assert [frame.costmap.tobytes() for frame in parts] == [frame.costmap.tobytes() for frame in whole]
    with AnyReader([tmp_path / "whole" / "result.mcap"]) as one, AnyReader([tmp_path / "parts" / "result.mcap"]) as two:
        assert one.message_count == two.message_count == 12 * len(TOPICS) + 1


def test_garbage_behind_the_checkpoint_is_dropped_on_resume(tmp_path: Path) -> None:
    path = tmp_path / "result.mcap"
    with ResultWriter.create(path, LABELS, NAMES) as writer:
        writer.write(make_frame(0), CAMERA, MOUNT)
        position = writer.flush()
    content = path.read_bytes()
    path.write_bytes(content[:position] + os.urandom(100_000))
    ResultWriter.resume(path, position, LABELS, NAMES).close()
    assert path.read_bytes() == content


def test_a_file_that_cannot_be_resumed_is_reported_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "result.mcap"
    with ResultWriter.create(path, LABELS, NAMES) as writer:
        writer.write(make_frame(0), CAMERA, MOUNT)
        position = writer.flush()
    whole = path.read_bytes()
    for content, wrong_position in ((whole[: position - 1], position), (b"", 10), (b"hello", 3), (whole, position - 1)):
        path.write_bytes(content)
        with pytest.raises(RecordingError, match="cannot be resumed") as caught:
            ResultWriter.resume(path, wrong_position, LABELS, NAMES)
        assert str(path) in str(caught.value)
        assert path.read_bytes() == content
    with pytest.raises(RecordingError, match=r"missing\.mcap: cannot be resumed"):
        ResultWriter.resume(tmp_path / "missing.mcap", position, LABELS, NAMES)


def test_a_result_that_cannot_be_written_or_read_is_reported(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="cannot be written"):
        ResultWriter.create(tmp_path / "no" / "result.mcap", LABELS, NAMES)
    path = tmp_path / "result.mcap"
    with pytest.raises(RecordingError, match="cannot be read"):
        list(read_result(path))
    write_result(path, 2)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(RecordingError, match="--resume"):
        list(read_result(path))
    McapFile.create(path, [Channel("/a", "std_msgs/msg/String", "string data")]).close()
    with pytest.raises(RecordingError, match="not the result of a replay"):
        list(read_result(path))
