"""What arrives on the image topics of this machine, and which ROS packages load: the doctor's ears.

`python -m seg_perception.ros.tools.doctor` prints a `Probe` as one line of JSON.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from seg_perception.doctor.cameras import CameraTopic, Heard, Publisher, info_topic
from seg_perception.doctor.probe import Probe
from seg_perception.doctor.ros import PACKAGES

_DISCOVERY = 2.0  # s until the nodes of the network know each other
_LISTENING = 2.0  # s
_TYPES = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}
_BYTES_PER_PIXEL = 3
_HOST = slice(2, 4)  # of a DDS identifier (RTPS 2.5, 9.3.1): 2 bytes vendor, then Fast DDS puts 2 bytes of the host


class _Ear:
    """Takes in serialized messages."""

    def __init__(self) -> None:
        self.count = self.size = 0
        self._first = self._last = 0.0

    def __call__(self, message: bytes) -> None:
        self._last = time.monotonic()
        self._first = self._first or self._last
        self.count += 1
        self.size = max(self.size, len(message))

    def heard(self) -> Heard:
        seconds = self._last - self._first
        return Heard(self.count, (self.count - 1) / seconds if seconds > 0 else self.count / _LISTENING, self.size)


class _InfoEar:
    """Takes in calibrations."""

    def __init__(self) -> None:
        self.count = self.image_size = 0

    def __call__(self, info: Any) -> None:
        self.count += 1
        self.image_size = info.width * info.height * _BYTES_PER_PIXEL


class _Listener:
    """A node that only listens, in a context of its own."""

    def __init__(self) -> None:
        self._context = rclpy.Context()
        self._context.init()
        self._node = rclpy.create_node(
            "seg_perception_doctor", context=self._context, enable_rosout=False, start_parameter_services=False
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)

    def close(self) -> None:
        """Leave the network."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.shutdown()

    def wait(self, seconds: float) -> None:
        """Listen for that long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def image_topics(self) -> dict[str, type]:
        """Name → message type of every topic with images that has a publisher."""
        return {
            name: _TYPES[types[0]]
            for name, types in self._node.get_topic_names_and_types()
            if types[0] in _TYPES and self._node.count_publishers(name)
        }

    def publishers(self, topic: str) -> tuple[Publisher, ...]:
        """Who publishes a topic that is listened to."""
        (own, *_) = (
            bytes(info.endpoint_gid)
            for info in self._node.get_subscriptions_info_by_topic(topic)
            if info.node_name == self._node.get_name()
        )
        hosts_are_told = "fastrtps" in rclpy.get_rmw_implementation_identifier()
        return tuple(
            Publisher(
                node=f"{info.node_namespace.rstrip('/')}/{info.node_name}",
                reliable=info.qos_profile.reliability == ReliabilityPolicy.RELIABLE,
                here=bytes(info.endpoint_gid)[_HOST] == own[_HOST] if hosts_are_told else None,
            )
            for info in self._node.get_publishers_info_by_topic(topic)
        )

    def listen(self, kind: type, topic: str, ear: Callable[[Any], None], reliably: bool = False) -> None:
        """From now on hand the topic's messages to `ear`: serialized, unless they are calibrations."""
        reliability = ReliabilityPolicy.RELIABLE if reliably else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(depth=5, reliability=reliability)  # sensor data QoS, but for reliability
        self._node.create_subscription(kind, topic, ear, qos, raw=kind is not CameraInfo)

    def deafen(self) -> None:
        """Listen to nothing any more."""
        for subscription in list(self._node.subscriptions):
            self._node.destroy_subscription(subscription)


def camera_topics() -> list[CameraTopic]:
    """Every image topic that is announced, with what arrives on it; takes four to six seconds."""
    listener = _Listener()
    try:
        listener.wait(_DISCOVERY)
        kinds = listener.image_topics()
        topics = _listened_to(listener, kinds)
        silent = [topic for topic in topics if topic.loses and any(one.reliable for one in topic.publishers)]
        reliably = _listened_to_reliably(listener, {topic.name: kinds[topic.name] for topic in silent})
        return [replace(topic, heard_reliably=reliably.get(topic.name)) for topic in topics]
    finally:
        listener.close()


def _listened_to(listener: _Listener, kinds: dict[str, type]) -> list[CameraTopic]:
    ears = {name: _Ear() for name in kinds}
    infos = {info_topic(name): _InfoEar() for name in kinds}
    for name, ear in ears.items():
        listener.listen(kinds[name], name, ear)
    for name, info_ear in infos.items():
        listener.listen(CameraInfo, name, info_ear)
    if kinds:
        listener.wait(_LISTENING)
    topics = [
        CameraTopic(
            name=name,
            publishers=listener.publishers(name),
            heard=ear.heard(),
            infos=infos[info_topic(name)].count,
            expected=infos[info_topic(name)].image_size,
        )
        for name, ear in sorted(ears.items())
    ]
    listener.deafen()
    return topics


def _listened_to_reliably(listener: _Listener, kinds: dict[str, type]) -> dict[str, Heard]:
    ears = {name: _Ear() for name in kinds}
    for name, ear in ears.items():
        listener.listen(kinds[name], name, ear, reliably=True)
    if kinds:
        listener.wait(_LISTENING)
    return {name: ear.heard() for name, ear in ears.items()}


def _why_not(name: str) -> str | None:
    """Why a package cannot be loaded; "" if it can, None if it is not installed."""
    try:
        importlib.import_module(f"{name}.msg" if name.endswith("_msgs") else name)
    except ModuleNotFoundError as error:
        return None if error.name == name else str(error)
    except ImportError as error:
        return str(error)
    return ""


def main() -> None:
    """Look, and print what was seen."""
    packages = {name: _why_not(name) for name in PACKAGES}
    print(Probe(rclpy.get_rmw_implementation_identifier(), packages, tuple(camera_topics())).to_json())


if __name__ == "__main__":
    main()
