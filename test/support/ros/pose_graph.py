"""A node with a pose source and one that publishes poses, over real DDS."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import rclpy
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy

from seg_perception.ros.inputs import poses
from seg_perception.ros.messages import time_of
from seg_perception.ros.parameters.conversion import read_node_settings
from seg_perception.ros.parameters.node_settings import NodeSettings

SECOND = 10**9
MOUNT = (0.3, 0.0, 1.0, 0.0, 0.2, 0.0)
_NUMBERS = count(1)


class PoseGraph:
    """A node with a pose source and one that publishes poses; both spin in a thread."""

    def __init__(self, settings: NodeSettings) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        number = next(_NUMBERS)
        self.node = rclpy.create_node(f"pose_source_{number}", context=self.context)
        self.publisher_node = rclpy.create_node(f"pose_publisher_{number}", context=self.context)
        self.source = poses.open_poses(self.node, settings)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._executor.add_node(self.publisher_node)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def _spin(self) -> None:
        while not self._stop.is_set():
            self._executor.spin_once(timeout_sec=0.02)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.source.close()
        self._executor.shutdown()
        self.node.destroy_node()
        self.publisher_node.destroy_node()
        rclpy.shutdown(context=self.context)

    def odometry(self, reliability: str = "RELIABLE") -> Any:
        publisher = self.publisher_node.create_publisher(
            Odometry, "odometry", QoSProfile(depth=10, reliability=ReliabilityPolicy[reliability])
        )
        wait_for(publisher.get_subscription_count)
        return publisher


def wait_for(condition: Callable[[], Any], timeout: float = 5.0) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "timeout"
        time.sleep(0.01)


def odometry(stamp_ns: int, x: float, yaw: float = 0.0, **changes: Any) -> Odometry:
    message = Odometry(child_frame_id="base_link")
    message.header.frame_id = "odom"
    message.header.stamp = time_of(stamp_ns)
    message.pose.pose.position.x = x
    message.pose.pose.orientation.z, message.pose.pose.orientation.w = math.sin(yaw / 2), math.cos(yaw / 2)
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def pose_graphs() -> Iterator[Callable[..., PoseGraph]]:
    """For a fixture: a function that starts graphs with parameters; closes them at the end."""
    graphs: list[PoseGraph] = []

    def start_one(**changes: Any) -> PoseGraph:
        values = {"pose_source": "odometry", "mount": list(MOUNT), **changes}
        graphs.append(PoseGraph(read_node_settings(values)))
        return graphs[-1]

    yield start_one
    for graph in graphs:
        graph.close()
