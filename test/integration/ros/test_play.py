"""The player as a process of its own, heard over real DDS: what arrives is what was recorded, in its own time."""

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

from support import node_process as ros_support

ros_support.isolate()

from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile
from rosbags.rosbag2 import StoragePlugin, Writer
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String
from support.node_process import NodeProcess
from support.robot import LATCHED, Robot, nanoseconds
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


class Listener(Robot):
    """Hears what the player publishes, with the time of arrival; publishes nothing."""

    def __init__(self) -> None:
        super().__init__("listener")
        self.stop_camera()
        self.arrivals: dict[str, list[float]] = defaultdict(list)
        for message_type, topic in ((Clock, "/clock"), (CameraInfo, INFO), (Odometry, ODOMETRY), (Image, IMAGE)):
            self.listen(message_type, topic, MANY)
        self.node.create_subscription(Image, IMAGE, lambda _: self.arrivals[IMAGE].append(time.monotonic()), MANY)

    def stamps(self, topic: str) -> list[int]:
        return [nanoseconds(message.header.stamp) for message in self.heard[topic]]

    def clock(self) -> list[int]:
        return [nanoseconds(message.clock) for message in self.heard["/clock"]]

    def hear_out(self, player: NodeProcess) -> str:
        """Until the player ends by itself; returns what it printed."""
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
    """A bag whose /robot_description was latched, with images for 2 s after it."""
    bag = SmallBag()
    types = bag.types
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        name = "std_msgs/msg/String"
        latched = [drive_bag._LATCHED]
        told = writer.add_connection("/robot_description", name, typestore=types, offered_qos_profiles=latched)
        for index, text in enumerate(texts):
            writer.write(told, START + index, types.serialize_cdr(bag.make(name, data=text), name))
        for index in range(20):
            bag.image(index, image_stamp(index))
        images = writer.add_connection(IMAGE, "sensor_msgs/msg/Image", typestore=types)
        for _, image_type, time_ns, message in bag.items:
            writer.write(images, time_ns, types.serialize_cdr(message, image_type))
    return path


@pytest.mark.parametrize("kind", ["mcap-zstd", "bag-lz4"])
def test_a_bag_arrives_whole_in_order_and_with_its_own_stamps(tmp_path: Path, kind: str) -> None:
    bag = drive(kind)
    for tick in range(18):
        bag.odometry(START + tick * SECOND // 20, 0.1 * tick, 0.02 * tick)
    with Listener() as listener, player(tmp_path, bag.write(tmp_path, kind), "--playback-rate", 0.5) as process:
        said = listener.hear_out(process)
    assert listener.stamps(IMAGE) == [image_stamp(index) for index in range(8)]
    for index, message in enumerate(listener.heard[IMAGE]):
        np.testing.assert_array_equal(pixels(message), picture(index))
        assert (message.encoding, message.step, message.header.frame_id) == ("bgr8", 3 * WIDTH, "camera_optical")
    (info,) = listener.heard[INFO]
    assert list(info.k) == list(MATRIX) and (info.width, info.height) == (WIDTH, HEIGHT)
    assert list(info.d) == [0.1, -0.05, 0.0, 0.0, 0.0] and info.distortion_model == "plumb_bob"
    assert [message.pose.pose.position.x for message in listener.heard[ODOMETRY]] == pytest.approx(
        [0.1 * tick for tick in range(18)]
    )
    assert "odometry on" not in said, "there is odometry of its own"

    clock = listener.clock()
    assert clock == sorted(clock) and clock[0] == START and clock[-1] == START + 17 * SECOND // 20
    bag_seconds = (clock[-1] - clock[0]) / SECOND
    assert len(clock) > 0.6 * 100 * bag_seconds / 0.5, "100 Hz of the steady clock; a busy machine is forgiven some"
    arrivals = listener.arrivals[IMAGE]
    assert 0.8 * 0.7 / 0.5 < arrivals[-1] - arrivals[0] < 3.0


@pytest.mark.skipif(HAS_TF, reason="tf2_msgs is installed, so /tf is published as it is")
def test_where_tf2_msgs_is_missing_the_poses_come_as_odometry(tmp_path: Path) -> None:
    bag = drive(count=3).write(tmp_path)
    with Listener() as listener, player(tmp_path, bag) as process:
        said = listener.hear_out(process).splitlines()
    for topic in ("/tf", "/tf_static"):
        assert said.count(f"{topic}: left out, because tf2_msgs/msg/TFMessage is not installed here.") == 1
    assert said.count("/tf: its poses are published as odometry on /odom.") == 1
    assert listener.stamps(ODOMETRY) == [START + tick * SECOND // 20 for tick in range(8)]
    for tick, message in enumerate(listener.heard[ODOMETRY]):
        seconds = tick * 0.05
        assert message.header.frame_id == "odom" and message.child_frame_id == "base_link"
        assert message.pose.pose.position.x == pytest.approx(2 * seconds)
        turn = message.pose.pose.orientation
        assert 2 * np.arctan2(turn.z, turn.w) == pytest.approx(0.1 * seconds)
    assert len(listener.stamps(IMAGE)) == 3


@pytest.mark.skipif(not HAS_TF, reason="tf2_msgs is not installed")
def test_where_tf2_msgs_is_installed_transforms_are_published_as_they_are(tmp_path: Path) -> None:
    from tf2_msgs.msg import TFMessage

    bag = drive(count=3).write(tmp_path)
    with Listener() as listener, player(tmp_path, bag) as process:
        listener.listen(TFMessage, "/tf", MANY)
        listener.listen(TFMessage, "/tf_static", MANY)
        said = listener.hear_out(process)
    assert "left out" not in said and not listener.heard[ODOMETRY]
    stamps = [nanoseconds(message.transforms[0].header.stamp) for message in listener.heard["/tf"]]
    assert stamps == [START + tick * SECOND // 20 for tick in range(8)]
    assert listener.heard["/tf_static"][0].transforms[0].child_frame_id == "camera_optical"


def test_who_comes_late_still_gets_every_message_that_was_latched(tmp_path: Path) -> None:
    texts = [f"robot {index}" for index in range(15)]  # as many broadcasters latch one message each on /tf_static
    with Listener() as listener, player(tmp_path, write_latched(tmp_path / "bag", texts)):
        listener.wait(lambda: len(listener.heard[IMAGE]) >= 5, "the first images")
        listener.listen(String, "/robot_description", LATCHED)
        listener.wait(lambda: len(listener.heard["/robot_description"]) >= len(texts), "what was latched")
    assert [message.data for message in listener.heard["/robot_description"]] == texts


def test_a_loop_starts_again_and_ctrl_c_ends_it_quietly(tmp_path: Path) -> None:
    bag = drive(count=3).write(tmp_path)
    with Listener() as listener, player(tmp_path, bag, "--loop") as process:
        listener.wait(lambda: len(listener.heard[IMAGE]) >= 7, "the third round")
        assert process.interrupt() == 130
        listener.spin(0.2)
    assert listener.stamps(IMAGE)[:7] == [image_stamp(index % 3) for index in range(7)]
    back = np.flatnonzero(np.diff(listener.clock()) < 0)
    assert len(back) >= 2 and all(listener.clock()[index + 1] == START for index in back)
    assert "Traceback" not in process.output and "interrupted" in process.output


def test_image_files_come_with_their_calibration(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(4):
        cv2.imwrite(str(folder / f"{index}.png"), picture(index))
    (folder / "4.png").write_bytes(b"no picture")
    mount = ["0", "0", "1", "0", "0.5", "0"]
    words = [folder, "--camera", write_calibration(tmp_path), "--mount", *mount, "--rate", "20"]
    with Listener() as listener, player(tmp_path, *words) as process:
        said = listener.hear_out(process)
    stamps = [(index + 1) * SECOND // 20 for index in range(4)]
    assert listener.stamps(IMAGE) == listener.stamps(INFO) == stamps
    for index, message in enumerate(listener.heard[IMAGE]):
        assert message.encoding == "bgr8"
        np.testing.assert_array_equal(pixels(message), picture(index))
    assert all(info.k[0] == FOCAL for info in listener.heard[INFO])
    assert "no poses are recorded here" in said and "4.png" in said and "left out" in said


def test_a_given_calibration_outranks_the_recorded_one(tmp_path: Path) -> None:
    bag = SmallBag()
    bag.camera_info()
    for index in range(3):
        _, jpeg = cv2.imencode(".jpg", picture(index))
        bag.compressed(image_stamp(index), jpeg.tobytes())
    words = [bag.write(tmp_path), "--camera", write_calibration(tmp_path), "--no-clock"]
    with Listener() as listener, player(tmp_path, *words) as process:
        listener.listen(CompressedImage, f"{IMAGE}/compressed", MANY)
        said = listener.hear_out(process)
    assert listener.stamps(f"{IMAGE}/compressed") == listener.stamps(INFO) == [image_stamp(index) for index in range(3)]
    assert {info.k[0] for info in listener.heard[INFO]} == {FOCAL}
    assert f"{INFO}: is what --camera says" in said
    assert not listener.heard["/clock"]


def test_where_nobody_listens_it_says_so_and_plays_all_but_what_is_broken(tmp_path: Path) -> None:
    bag = drive("bag", count=2)
    for _ in range(2):
        bag.add("/said", "std_msgs/msg/String", START, b"\xff\xff\xff\xff")
    with player(tmp_path, bag.write(tmp_path, "bag")) as process:
        assert process.wait(20.0) == 0
    assert f"{IMAGE}: nobody has subscribed in 5 s; playing anyway." in process.output
    (line,) = (line for line in process.output.splitlines() if "/said" in line)
    assert line.endswith("It is left out, and all that are like it.")


def test_as_launch_starts_it_topics_are_remapped(tmp_path: Path) -> None:
    bag = drive(count=2).write(tmp_path)
    words = [sys.executable, ROOT / "scripts/play", bag, "--ros-args", "-r", f"{IMAGE}:=/front"]
    environment = {**os.environ, **ros_support.ros_environment(), "PYTHONPATH": str(ROOT)}
    with Listener() as listener, subprocess.Popen(words, env=environment) as process:
        listener.listen(Image, "/front", MANY)
        try:
            listener.wait(lambda: process.poll() is not None, "the end of the player")
        finally:
            process.kill()
        listener.spin(0.2)
    assert process.returncode == 0
    assert listener.stamps("/front") == [image_stamp(0), image_stamp(1)] and not listener.heard[IMAGE]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere.mcap"], "nowhere.mcap: no such file or folder; check the path."),
        (["{bag}", "--playback-rate", "0"], "--playback-rate 0: must be above 0."),
        (["{bag}", "--image-topic", "/other"], "there is no /other with messages"),
        (["{strange}"], "none of its topics can be published; install their message packages."),
    ],
)
def test_what_cannot_be_played_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    bag, strange = drive(count=1), SmallBag()
    (tmp_path / "strange").mkdir()
    strange.types.register({"nobody_msgs/msg/Nothing": ([], [("x", (1, ("uint8", 0)))])})
    strange.add("/nothing", "nobody_msgs/msg/Nothing", START, strange.make("nobody_msgs/msg/Nothing", x=1))
    paths = {"bag": bag.write(tmp_path), "strange": strange.write(tmp_path / "strange")}
    assert main(["play", *(word.format(**paths) for word in words)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and sentence in said


def test_without_ros_2_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "seg_perception.ros.tools.play", raising=False)
    monkeypatch.setitem(sys.modules, "rclpy", None)
    assert main(["play", "some_bag"]) == 2
    said = capsys.readouterr().err
    assert "source your ROS 2 installation" in said and "pip install 'seg_perception[ros]'" in said
