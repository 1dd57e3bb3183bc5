"""A node that listens and a driver that it listens to, each in a context of its own, over real DDS."""

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
from support import node_process as ros_support

BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)


class Listener:
    """A lifecycle node for subscriptions, and what they said."""

    def __init__(self, arguments: tuple[str, ...] = ()) -> None:
        self.context = rclpy.Context()
        rclpy.init(args=["--ros-args", *arguments], context=self.context)
        self.node = LifecycleNode("listener", context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self.said: list[str] = []

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def wait(self, condition: Callable[[], Any], what: str, timeout: float = 10.0) -> None:
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, f"waited {timeout} s in vain for {what}"
            self._executor.spin_once(timeout_sec=0.02)

    def qos(self, topic: str) -> QoSProfile:
        """Of the node's subscription to a topic, as others see it; not of that to latched messages."""
        found = [each.qos_profile for each in self.node.get_subscriptions_info_by_topic(topic)]
        (own,) = (profile for profile in found if profile.durability != DurabilityPolicy.TRANSIENT_LOCAL)
        return own

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


class Driver:
    """A camera driver in a context of its own."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("camera_driver", context=self.context)

    def publisher(self, listener: Listener, kind: type, topic: str, qos: QoSProfile = RELIABLE) -> Any:
        """A publisher that is connected to the node."""
        made = self.node.create_publisher(kind, topic, qos)
        listener.wait(made.get_subscription_count, f"the node to subscribe {topic}")
        listener.wait(lambda: listener.node.count_publishers(topic), f"the node to see {topic}")
        listener.spin(0.05)
        return made

    def close(self) -> None:
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


_Kind = TypeVar("_Kind", bound=Listener)


def starting(make: Callable[[tuple[str, ...]], _Kind]) -> Iterator[Callable[..., _Kind]]:
    """For a fixture: what starts listeners with ROS arguments, and closes them in the end."""
    started: list[_Kind] = []

    def start_one(*arguments: str) -> _Kind:
        started.append(make(arguments))
        return started[-1]

    yield start_one
    for each in started:
        each.close()


@contextmanager
def driving(width: int, height: int, rate: int, count: int, *arguments: str) -> Iterator[None]:
    """A camera driver as its own process, reliable, with the shared memory that Fast DDS has by default."""
    environment = {**os.environ, **ros_support.ros_environment()}
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        environment.pop(name, None)
    words = [str(Path(__file__).with_name("camera_driver.py")), *map(str, (width, height, rate, count)), "reliable"]
    with subprocess.Popen([sys.executable, *words, *arguments], env=environment) as process:
        try:
            yield
        finally:
            process.kill()
