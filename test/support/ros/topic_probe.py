"""A node with subscriptions and a camera driver, each in its own context, over real DDS."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from support.ros import node_process

BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)


class ProbeNode:
    """A lifecycle node for subscriptions under test, and the warnings they log."""

    def __init__(self, arguments: tuple[str, ...] = ()) -> None:
        self.context = rclpy.Context()
        rclpy.init(args=["--ros-args", *arguments], context=self.context)
        self.node = LifecycleNode("probe", context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self.warnings: list[str] = []

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def wait(self, condition: Callable[[], Any], what: str, timeout: float = 10.0) -> None:
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, f"timeout of {timeout} s while waiting for {what}"
            self._executor.spin_once(timeout_sec=0.02)

    def qos(self, topic: str) -> QoSProfile:
        """QoS of the node's subscription to a topic, as discovered; ignores subscriptions to latched messages."""
        found = [each.qos_profile for each in self.node.get_subscriptions_info_by_topic(topic)]
        (own,) = (profile for profile in found if profile.durability != DurabilityPolicy.TRANSIENT_LOCAL)
        return own

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


class FakeCameraDriver:
    """A camera driver in its own context."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("camera_driver", context=self.context)

    def publisher(self, probe: ProbeNode, kind: type, topic: str, qos: QoSProfile = RELIABLE) -> Any:
        """A publisher that is connected to the node."""
        created = self.node.create_publisher(kind, topic, qos)
        probe.wait(created.get_subscription_count, f"the node to subscribe {topic}")
        probe.wait(lambda: probe.node.count_publishers(topic), f"the node to see {topic}")
        probe.spin(0.05)
        return created

    def close(self) -> None:
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


_Node = TypeVar("_Node", bound=ProbeNode)


def probe_nodes(make: Callable[[tuple[str, ...]], _Node]) -> Iterator[Callable[..., _Node]]:
    """For a fixture: a function that starts nodes with ROS arguments; closes them at the end."""
    started: list[_Node] = []

    def start_one(*arguments: str) -> _Node:
        started.append(make(arguments))
        return started[-1]

    yield start_one
    for each in started:
        each.close()


@contextmanager
def running_driver_process(width: int, height: int, rate: int, count: int, *arguments: str) -> Iterator[None]:
    """A camera driver as its own process, reliable, with the default shared memory of Fast DDS."""
    environment = {**os.environ, **node_process.ros_environment()}
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        environment.pop(name, None)
    words = [str(Path(__file__).with_name("camera_driver.py")), *map(str, (width, height, rate, count)), "reliable"]
    with subprocess.Popen([sys.executable, *words, *arguments], env=environment) as process:
        try:
            yield
        finally:
            process.kill()
