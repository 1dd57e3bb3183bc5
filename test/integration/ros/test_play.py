"""The player as its own process, over real DDS: messages arrive as recorded, with their own timing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from support.ros import node_process

node_process.isolate()

from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile
from rosbags.rosbag2 import StoragePlugin, Writer
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String
from support.ros.node_process import NodeProcess
from support.ros.robot import LATCHED, Robot, nanoseconds
from support.small_bags import HEIGHT, MATRIX, SECOND, START, WIDTH, SmallBag, drive, image_stamp, picture

from seg_perception.cli.__main__ import main
from seg_perception.ros.optional import optional
from seg_perception.simulation import drive_bag

IMAGE, INFO, ODOMETRY = "/camera/image_raw", "/camera/camera_info", "/odom"
FOCAL = 40.0
CALIBRATION = f"""
image_width: {WIDTH}
image_height: {HEIGHT}
distortion_model: plumb_bob
camera_matrix: {{rows: 3, cols: 3, data: [{FOCAL}, 0, 31.5, 0, {FOCAL}, 23.5, 0, 0, 1]}}
distortion_coefficients: {{rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}}
"""
ROOT = Path(__file__).resolve().parents[3]
HAS_TF = optional("tf2_msgs.msg") is not None
MANY = QoSProfile(depth=1000)


class PlaybackSubscriber(Robot):
    """Receives the player's messages, with their times of arrival; publishes nothing."""

    def __init__(self) -> None:
        super().__init__("subscriber")
        self.stop_camera()
        self.arrival_times: dict[str, list[float]] = defaultdict(list)
        for message_type, topic in ((Clock, "/clock"), (CameraInfo, INFO), (Odometry, ODOMETRY), (Image, IMAGE)):
            self.subscribe(message_type, topic, MANY)
        self.node.create_subscription(Image, IMAGE, lambda _: self.arrival_times[IMAGE].append(time.monotonic()), MANY)

    def stamps(self, topic: str) -> list[int]:
        return [nanoseconds(message.header.stamp) for message in self.received[topic]]

    def clock(self) -> list[int]:
        return [nanoseconds(message.clock) for message in self.received["/clock"]]

    def wait_for_end(self, player: NodeProcess) -> str:
        """Wait until the player ends by itself; returns its output."""
        self.wait(lambda: player.returncode is not None, "the end of the player", 30.0)
        self.spin(0.2)
        assert player.returncode == 0, player.output
        return player.output


def player(folder: Path, *words: object) -> NodeProcess:
    return NodeProcess(folder / "player.log", "seg_perception.cli", arguments=["play", *map(str, words)])


def pixels(message: Image) -> np.ndarray:
    return np.array(message.data, np.uint8).reshape(message.height, message.width, 3)


def write_calibration(folder: Path) -> Path:
    path = folder / "calibration.yaml"
    path.write_text(CALIBRATION)
    return path


def write_latched(path: Path, texts: list[str]) -> Path:
    """A bag with a latched /robot_description, followed by images for 2 s."""
    bag = SmallBag()
    types = bag.types
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        name = "std_msgs/msg/String"
        latched = [drive_bag._LATCHED]
        connection = writer.add_connection("/robot_description", name, typestore=types, offered_qos_profiles=latched)
        for index, text in enumerate(texts):
            writer.write(connection, START + index, types.serialize_cdr(bag.make(name, data=text), name))
        for index in range(20):
            bag.image(index, image_stamp(index))
        images = writer.add_connection(IMAGE, "sensor_msgs/msg/Image", typestore=types)
        for _, image_type, time_ns, message in bag.items:
            writer.write(images, time_ns, types.serialize_cdr(message, image_type))
    return path


@pytest.mark.parametrize("kind", ["mcap-zstd", "bag-lz4"])
def test_bag_is_played_completely_in_order_with_its_stamps(tmp_path: Path, kind: str) -> None:
    bag = drive(kind)
    for tick in range(18):
        bag.odometry(START + tick * SECOND // 20, 0.1 * tick, 0.02 * tick)
    with (
        PlaybackSubscriber() as subscriber,
        player(tmp_path, bag.write(tmp_path, kind), "--playback-rate", 0.5) as process,
    ):
        output = subscriber.wait_for_end(process)
    assert subscriber.stamps(IMAGE) == [image_stamp(index) for index in range(8)]
    for index, message in enumerate(subscriber.received[IMAGE]):
        np.testing.assert_array_equal(pixels(message), picture(index))
        assert (message.encoding, message.step, message.header.frame_id) == ("bgr8", 3 * WIDTH, "camera_optical")
    (info,) = subscriber.received[INFO]
    assert list(info.k) == list(MATRIX) and (info.width, info.height) == (WIDTH, HEIGHT)
    assert list(info.d) == [0.1, -0.05, 0.0, 0.0, 0.0] and info.distortion_model == "plumb_bob"
    assert [message.pose.pose.position.x for message in subscriber.received[ODOMETRY]] == pytest.approx(
        [0.1 * tick for tick in range(18)]
    )
    assert "odometry on" not in output, "the bag has odometry"

    clock = subscriber.clock()
    assert clock == sorted(clock) and clock[0] == START and clock[-1] == START + 17 * SECOND // 20
    bag_seconds = (clock[-1] - clock[0]) / SECOND
    assert len(clock) > 0.6 * 100 * bag_seconds / 0.5, "100 Hz of the steady clock, less on a busy machine"
    arrival_times = subscriber.arrival_times[IMAGE]
    assert 0.8 * 0.7 / 0.5 < arrival_times[-1] - arrival_times[0] < 3.0


@pytest.mark.skipif(HAS_TF, reason="tf2_msgs is installed, so /tf is published unchanged")
def test_without_tf2_msgs_poses_are_published_as_odometry(tmp_path: Path) -> None:
    bag = drive(count=3).write(tmp_path)
    with PlaybackSubscriber() as subscriber, player(tmp_path, bag) as process:
        output = subscriber.wait_for_end(process).splitlines()
    for topic in ("/tf", "/tf_static"):
        assert output.count(f"{topic}: skipped, because tf2_msgs/msg/TFMessage is not installed.") == 1
    assert output.count("/tf: its poses are published as odometry on /odom.") == 1
    assert subscriber.stamps(ODOMETRY) == [START + tick * SECOND // 20 for tick in range(8)]
    for tick, message in enumerate(subscriber.received[ODOMETRY]):
        seconds = tick * 0.05
        assert message.header.frame_id == "odom" and message.child_frame_id == "base_link"
        assert message.pose.pose.position.x == pytest.approx(2 * seconds)
        turn = message.pose.pose.orientation
        assert 2 * np.arctan2(turn.z, turn.w) == pytest.approx(0.1 * seconds)
    assert len(subscriber.stamps(IMAGE)) == 3


@pytest.mark.skipif(not HAS_TF, reason="tf2_msgs is not installed")
def test_with_tf2_msgs_transforms_are_published_unchanged(tmp_path: Path) -> None:
    from tf2_msgs.msg import TFMessage

    bag = drive(count=3).write(tmp_path)
    with PlaybackSubscriber() as subscriber, player(tmp_path, bag) as process:
        subscriber.subscribe(TFMessage, "/tf", MANY)
        subscriber.subscribe(TFMessage, "/tf_static", MANY)
        output = subscriber.wait_for_end(process)
    assert "skipped" not in output and not subscriber.received[ODOMETRY]
    stamps = [nanoseconds(message.transforms[0].header.stamp) for message in subscriber.received["/tf"]]
    assert stamps == [START + tick * SECOND // 20 for tick in range(8)]
    assert subscriber.received["/tf_static"][0].transforms[0].child_frame_id == "camera_optical"


def test_late_subscriber_receives_every_latched_message(tmp_path: Path) -> None:
    texts = [f"robot {index}" for index in range(15)]  # on /tf_static each broadcaster latches one message
    with PlaybackSubscriber() as subscriber, player(tmp_path, write_latched(tmp_path / "bag", texts)):
        subscriber.wait(lambda: len(subscriber.received[IMAGE]) >= 5, "the first images")
        subscriber.subscribe(String, "/robot_description", LATCHED)
        subscriber.wait(lambda: len(subscriber.received["/robot_description"]) >= len(texts), "the latched messages")
    assert [message.data for message in subscriber.received["/robot_description"]] == texts


def test_loop_restarts_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    bag = drive(count=3).write(tmp_path)
    with PlaybackSubscriber() as subscriber, player(tmp_path, bag, "--loop") as process:
        subscriber.wait(lambda: len(subscriber.received[IMAGE]) >= 7, "the third round")
        assert process.interrupt() == 130
        subscriber.spin(0.2)
    assert subscriber.stamps(IMAGE)[:7] == [image_stamp(index % 3) for index in range(7)]
    back = np.flatnonzero(np.diff(subscriber.clock()) < 0)
    assert len(back) >= 2 and all(subscriber.clock()[index + 1] == START for index in back)
    assert "Traceback" not in process.output and "interrupted" in process.output


def test_image_files_are_played_with_their_calibration(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(4):
        cv2.imwrite(str(folder / f"{index}.png"), picture(index))
    (folder / "4.png").write_bytes(b"no picture")
    mount = ["0", "0", "1", "0", "0.5", "0"]
    words = [folder, "--camera", write_calibration(tmp_path), "--mount", *mount, "--rate", "20"]
    with PlaybackSubscriber() as subscriber, player(tmp_path, *words) as process:
        output = subscriber.wait_for_end(process)
    stamps = [(index + 1) * SECOND // 20 for index in range(4)]
    assert subscriber.stamps(IMAGE) == subscriber.stamps(INFO) == stamps
    for index, message in enumerate(subscriber.received[IMAGE]):
        assert message.encoding == "bgr8"
        np.testing.assert_array_equal(pixels(message), picture(index))
    assert all(info.k[0] == FOCAL for info in subscriber.received[INFO])
    assert "the recording has no poses" in output and "4.png" in output and "skips it" in output


def test_camera_option_overrides_the_recorded_calibration(tmp_path: Path) -> None:
    bag = SmallBag()
    bag.camera_info()
    for index in range(3):
        _, jpeg = cv2.imencode(".jpg", picture(index))
        bag.compressed(image_stamp(index), jpeg.tobytes())
    words = [bag.write(tmp_path), "--camera", write_calibration(tmp_path), "--no-clock"]
    with PlaybackSubscriber() as subscriber, player(tmp_path, *words) as process:
        subscriber.subscribe(CompressedImage, f"{IMAGE}/compressed", MANY)
        output = subscriber.wait_for_end(process)
    assert (
        subscriber.stamps(f"{IMAGE}/compressed")
        == subscriber.stamps(INFO)
        == [image_stamp(index) for index in range(3)]
    )
    assert {info.k[0] for info in subscriber.received[INFO]} == {FOCAL}
    assert f"{INFO}: is taken from --camera" in output
    assert not subscriber.received["/clock"]


def test_without_subscribers_it_plays_after_a_timeout_and_skips_invalid_messages(tmp_path: Path) -> None:
    bag = drive("bag", count=2)
    for _ in range(2):
        bag.add("/said", "std_msgs/msg/String", START, b"\xff\xff\xff\xff")
    with player(tmp_path, bag.write(tmp_path, "bag")) as process:
        assert process.wait(20.0) == 0
    assert f"{IMAGE}: no node has subscribed in 5 s; playing anyway." in process.output
    (line,) = (line for line in process.output.splitlines() if "/said" in line)
    assert line.endswith("The player skips it and all further ones like it.")


def test_script_of_the_launch_file_remaps_topics(tmp_path: Path) -> None:
    bag = drive(count=2).write(tmp_path)
    words = [sys.executable, ROOT / "scripts/play", bag, "--ros-args", "-r", f"{IMAGE}:=/front"]
    environment = {**os.environ, **node_process.ros_environment(), "PYTHONPATH": str(ROOT)}
    with PlaybackSubscriber() as subscriber, subprocess.Popen(words, env=environment) as process:
        subscriber.subscribe(Image, "/front", MANY)
        try:
            subscriber.wait(lambda: process.poll() is not None, "the end of the player")
        finally:
            process.kill()
        subscriber.spin(0.2)
    assert process.returncode == 0
    assert subscriber.stamps("/front") == [image_stamp(0), image_stamp(1)] and not subscriber.received[IMAGE]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere.mcap"], "nowhere.mcap: no such file or folder; check the path."),
        (["{bag}", "--playback-rate", "0"], "--playback-rate 0: must be above 0."),
        (["{bag}", "--image-topic", "/other"], "there is no /other with messages"),
        (["{strange}"], "none of its topics can be published; install their message packages."),
    ],
)
def test_invalid_recording_gives_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    bag, strange = drive(count=1), SmallBag()
    (tmp_path / "strange").mkdir()
    strange.types.register({"nobody_msgs/msg/Nothing": ([], [("x", (1, ("uint8", 0)))])})
    strange.add("/nothing", "nobody_msgs/msg/Nothing", START, strange.make("nobody_msgs/msg/Nothing", x=1))
    paths = {"bag": bag.write(tmp_path), "strange": strange.write(tmp_path / "strange")}
    assert main(["play", *(word.format(**paths) for word in words)]) == 2
    output = capsys.readouterr().err
    assert output.count("\n") == 1 and sentence in output


def test_without_ros_2_the_error_names_the_installation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "seg_perception.ros.tools.play", raising=False)
    monkeypatch.setitem(sys.modules, "rclpy", None)
    assert main(["play", "some_bag"]) == 2
    output = capsys.readouterr().err
    assert "source your ROS 2 installation" in output and "pip install 'seg_perception[ros]'" in output
