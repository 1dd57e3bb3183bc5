"""The player as a process of its own, heard over real DDS: what arrives is what was recorded, when it was recorded."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

import ros_support

ros_support.isolate()

from nav_msgs.msg import Odometry
from robot import LATCHED, Robot, nanoseconds
from ros_support import NodeProcess
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from small_bags import HEIGHT, MATRIX, SECOND, START, WIDTH, SmallBag, drive, image_stamp, picture
from std_msgs.msg import String

from seg_perception.cli import main
from seg_perception.ros.optional import optional

IMAGE, INFO = "/camera/image_raw", "/camera/camera_info"
CALIBRATION = f"""
image_width: {WIDTH}
image_height: {HEIGHT}
distortion_model: plumb_bob
camera_matrix: {{rows: 3, cols: 3, data: [40.0, 0, 31.5, 0, 40.0, 23.5, 0, 0, 1]}}
distortion_coefficients: {{rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}}
"""
HAS_TF = optional("tf2_msgs.msg") is not None
lacks_tf = pytest.mark.skipif(HAS_TF, reason="tf2_msgs is installed, so /tf is published as it is")
has_tf = pytest.mark.skipif(not HAS_TF, reason="tf2_msgs is not installed")


class Listener(Robot):
    """Hears what the player publishes; publishes nothing."""

    def __init__(self, **topics: type) -> None:
        super().__init__("listener")
        self.stop_camera()
        for message_type, name in ((Clock, "/clock"), (CameraInfo, INFO), (Odometry, "/odom"), (Image, IMAGE)):
            self.listen(message_type, name, ALL)

    def stamps(self, topic: str) -> list[int]:
        return [nanoseconds(message.header.stamp) for message in self.heard[topic]]

    def clock(self) -> list[int]:
        return [nanoseconds(message.clock) for message in self.heard["/clock"]]

    def hear(self, player: NodeProcess, seconds: float = 30.0) -> str:
        """Until the player ends by itself; returns what it printed."""
        self.wait(lambda: player.returncode is not None, "the end of the player", seconds)
        self.spin(0.2)
        assert player.returncode == 0, player.output
        return player.output
