"""A camera driver as its own process: publishes images, calibration and odometry at a fixed rate, then ends.

Usage: python camera_driver.py WIDTH HEIGHT RATE COUNT [best_effort|reliable]
"""

from __future__ import annotations

import array
import sys
import time

import rclpy
from builtin_interfaces.msg import Time
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import CameraInfo, Image


def main(width: int, height: int, rate: int, count: int, reliability: str = "best_effort") -> None:
    rclpy.init()
    node = rclpy.create_node("camera_driver")
    qos = QoSProfile(depth=5, reliability=ReliabilityPolicy[reliability.upper()])
    images = node.create_publisher(Image, "image", qos)
    infos = node.create_publisher(CameraInfo, "camera_info", qos)
    odometry = node.create_publisher(Odometry, "odometry", 10)
    while not (
        images.get_subscription_count() and infos.get_subscription_count() and odometry.get_subscription_count()
    ):
        time.sleep(0.02)
    time.sleep(0.5)
    info = CameraInfo(width=width, height=height, distortion_model="plumb_bob", d=[0.0] * 5)
    info.k = [0.75 * width, 0.0, (width - 1) / 2, 0.0, 0.75 * width, (height - 1) / 2, 0.0, 0.0, 1.0]
    image = Image(width=width, height=height, encoding="bgr8", step=3 * width)
    image.data = array.array("B", bytes(3 * width * height))
    pose = Odometry(child_frame_id="base_link")
    pose.header.frame_id = "odom"
    pose.pose.pose.orientation.w = 1.0

    def publish_pose(stamp_ns: int) -> None:
        pose.header.stamp = Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
        odometry.publish(pose)

    start = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, start + number / rate - time.monotonic()))
        now_ns = int(node.get_clock().now().nanoseconds)
        publish_pose(now_ns - 1_000_000)
        publish_pose(now_ns + 1_000_000)
        infos.publish(info)
        image.header.stamp = Time(sec=now_ns // 10**9, nanosec=now_ns % 10**9)
        images.publish(image)
    time.sleep(1.0)
    rclpy.shutdown()


if __name__ == "__main__":
    words = remove_ros_args(sys.argv)[1:]
    main(*map(int, words[:4]), *words[4:])
