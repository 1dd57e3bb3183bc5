"""Measures what arrives on the image topics of this machine, and checks which ROS packages load.

`python -m seg_perception.ros.tools.doctor` prints a `RosProbe` as one line of JSON.
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

from seg_perception.doctor.cameras import CameraTopic, Publisher, ReceptionStatistics, info_topic
from seg_perception.doctor.probe import RosProbe
from seg_perception.doctor.ros import PACKAGES

_DISCOVERY_S = 2.0  # until the nodes of the network have discovered each other
_MEASURE_S = 2.0  # s
_TYPES = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}
_BYTES_PER_PIXEL = 3
_HOST = slice(2, 4)  # of a DDS identifier (RTPS 2.5, 9.3.1): 2 bytes vendor, then Fast DDS puts 2 bytes of the host


class _MessageProbe:
    """Counts serialized messages, with their rate and size."""

    def __init__(self) -> None:
        self.count = self.size = 0
        self._first = self._last = 0.0

    def __call__(self, message: bytes) -> None:
        self._last = time.monotonic()
        self._first = self._first or self._last
        self.count += 1
        self.size = max(self.size, len(message))

    def reception(self) -> ReceptionStatistics:
        seconds = self._last - self._first
        return ReceptionStatistics(
            self.count, (self.count - 1) / seconds if seconds > 0 else self.count / _MEASURE_S, self.size
        )


class _CameraInfoProbe:
    """Counts calibrations, with the size of an image."""

    def __init__(self) -> None:
        self.count = self.image_size = 0

    def __call__(self, info: Any) -> None:
        self.count += 1
        self.image_size = info.width * info.height * _BYTES_PER_PIXEL


class _ProbeNode:
    """A node with subscriptions only, in its own context."""

    def __init__(self) -> None:
        self._context = rclpy.Context()
        self._context.init()
        self._node = rclpy.create_node(
            "seg_perception_doctor", context=self._context, enable_rosout=False, start_parameter_services=False
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)

    def close(self) -> None:
        """Destroy node and context."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.shutdown()

    def spin(self, seconds: float) -> None:
        """Receive messages for that long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def image_topics(self) -> dict[str, type]:
        """Name → message type of every image topic that has a publisher."""
        return {
            name: _TYPES[types[0]]
            for name, types in self._node.get_topic_names_and_types()
            if types[0] in _TYPES and self._node.count_publishers(name)
        }

    def publishers(self, topic: str) -> tuple[Publisher, ...]:
        """The publishers of a topic that this node subscribes."""
        (own, *_) = (
            bytes(info.endpoint_gid)
            for info in self._node.get_subscriptions_info_by_topic(topic)
            if info.node_name == self._node.get_name()
        )
        gid_has_host = "fastrtps" in rclpy.get_rmw_implementation_identifier()
        return tuple(
            Publisher(
                node=f"{info.node_namespace.rstrip('/')}/{info.node_name}",
                reliable=info.qos_profile.reliability == ReliabilityPolicy.RELIABLE,
                is_local=bytes(info.endpoint_gid)[_HOST] == own[_HOST] if gid_has_host else None,
            )
            for info in self._node.get_publishers_info_by_topic(topic)
        )

    def subscribe(self, kind: type, topic: str, probe: Callable[[Any], None], reliable: bool = False) -> None:
        """Call `probe` with each message of a topic: serialized, unless it is a calibration."""
        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(depth=5, reliability=reliability)  # sensor data QoS, but for reliability
        self._node.create_subscription(kind, topic, probe, qos, raw=kind is not CameraInfo)

    def unsubscribe_all(self) -> None:
        """Destroy all subscriptions."""
        for subscription in list(self._node.subscriptions):
            self._node.destroy_subscription(subscription)


def camera_topics() -> list[CameraTopic]:
    """Every image topic with a publisher, and what arrives on it; takes four to six seconds."""
    node = _ProbeNode()
    try:
        node.spin(_DISCOVERY_S)
        kinds = node.image_topics()
        topics = _measure(node, kinds)
        lossy = [topic for topic in topics if topic.loses_images and any(one.reliable for one in topic.publishers)]
        reliably = _measure_reliable(node, {topic.name: kinds[topic.name] for topic in lossy})
        return [replace(topic, reliable_reception=reliably.get(topic.name)) for topic in topics]
    finally:
        node.close()


def _measure(node: _ProbeNode, kinds: dict[str, type]) -> list[CameraTopic]:
    probes = {name: _MessageProbe() for name in kinds}
    infos = {info_topic(name): _CameraInfoProbe() for name in kinds}
    for name, probe in probes.items():
        node.subscribe(kinds[name], name, probe)
    for name, info_probe in infos.items():
        node.subscribe(CameraInfo, name, info_probe)
    if kinds:
        node.spin(_MEASURE_S)
    topics = [
        CameraTopic(
            name=name,
            publishers=node.publishers(name),
            reception=probe.reception(),
            infos=infos[info_topic(name)].count,
            expected=infos[info_topic(name)].image_size,
        )
        for name, probe in sorted(probes.items())
    ]
    node.unsubscribe_all()
    return topics


def _measure_reliable(node: _ProbeNode, kinds: dict[str, type]) -> dict[str, ReceptionStatistics]:
    probes = {name: _MessageProbe() for name in kinds}
    for name, probe in probes.items():
        node.subscribe(kinds[name], name, probe, reliable=True)
    if kinds:
        node.spin(_MEASURE_S)
    return {name: probe.reception() for name, probe in probes.items()}


def _load_error(name: str) -> str | None:
    """Why a package cannot be loaded; "" if it loads, None if it is not installed."""
    try:
        importlib.import_module(f"{name}.msg" if name.endswith("_msgs") else name)
    except ModuleNotFoundError as error:
        return None if error.name == name else str(error)
    except ImportError as error:
        return str(error)
    return ""


def main() -> None:
    """Print what the packages and topics of this machine give."""
    packages = {name: _load_error(name) for name in PACKAGES}
    print(RosProbe(rclpy.get_rmw_implementation_identifier(), packages, tuple(camera_topics())).to_json())


if __name__ == "__main__":
    main()
