"""A robot for the node under test: camera, odometry, operator, and subscriber of every output."""

from __future__ import annotations

import array
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import ChangeState, GetState
from nav_msgs.msg import OccupancyGrid, Odometry
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from support import tiny_networks as tiny

WIDTH, HEIGHT = 64, 48
ROAD, GRASS, WALL = (255, 0, 0), (0, 255, 0), (0, 0, 255)  # rgb
MOUNT = [0.0, 0.0, 1.0, 0.0, 0.5, 0.0]
MATRIX = """
misclassification: {default: 1, correct: 0}
traverse: {road: 0, grass: 120, wall: 1000}
standing: [wall]
ignore: []
"""
ERROR, WARN = DiagnosticStatus.ERROR, DiagnosticStatus.WARN
_RELIABLE = QoSProfile(depth=10)
LATCHED = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def write_model(folder: Path, batch: int | str = 1) -> dict[str, Any]:
    """Write a network that classifies by colour, and a cost matrix; returns the node's parameters for them."""
    card = replace(tiny.card(3, WIDTH, HEIGHT), classes=("road", "grass", "wall"))
    model = tiny.save(folder, tiny.colour_network(WIDTH, HEIGHT, batch=batch), card)
    (folder / "matrix.yaml").write_text(MATRIX)
    return {
        "model": str(model),
        "cost_matrix": str(folder / "matrix.yaml"),
        "pose_source": "odometry",
        "mount": str(MOUNT),
        "costmap_rate": 100.0,
        "grid.width": 10.0,
        "grid.height": 10.0,
        "ground.max_range": 4.0,
        "ground.max_samples": 2000,
    }


def nanoseconds(stamp: Time) -> int:
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


class Robot:
    """Publishes the messages of a robot and receives those of the node. It spins while it waits."""

    def __init__(self, name: str = "robot", node: str = "perception", camera: str = "") -> None:
        """Create node and publishers; `camera` is the name of the camera, if the node has several."""
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node(name, context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._target = node
        self._clients: dict[str, Any] = {}
        self.received: dict[str, list[Any]] = defaultdict(list)
        self.images = self.node.create_publisher(Image, f"{camera}/image".lstrip("/"), _RELIABLE)
        self.compressed = self.node.create_publisher(
            CompressedImage, f"{camera}/image/compressed".lstrip("/"), _RELIABLE
        )
        self.infos = self.node.create_publisher(CameraInfo, f"{camera}/camera_info".lstrip("/"), _RELIABLE)
        self.odometry = self.node.create_publisher(Odometry, "odometry", _RELIABLE)
        self.subscribe(OccupancyGrid, "costmap", LATCHED)
        self.subscribe(DiagnosticArray, "/diagnostics")

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def __enter__(self) -> Robot:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def subscribe(self, message_type: type, name: str, qos: QoSProfile = _RELIABLE) -> None:
        """Store every message of a topic in `received[name]` from now on."""
        if name in self.received:
            return
        topic = name if name.startswith("/") else f"/{self._target}/{name}"
        self.node.create_subscription(message_type, topic, self.received[name].append, qos)

    def stop_camera(self) -> None:
        """Stop publishing images and calibration, for another publisher."""
        for publisher in (self.images, self.compressed, self.infos):
            self.node.destroy_publisher(publisher)

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def wait(self, condition: Callable[[], Any], what: str, timeout: float = 10.0) -> Any:
        """Spin until the condition holds, and return its value."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if result := condition():
                return result
            self._executor.spin_once(timeout_sec=0.02)
        raise AssertionError(f"timeout of {timeout} s while waiting for {what}")

    def call(self, service_type: Any, name: str, request: Any, timeout: float = 15.0) -> Any:
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = self.node.create_client(service_type, f"/{self._target}/{name}")
            self.wait(client.service_is_ready, f"service {name}", timeout)
            self.spin(0.5)  # a server that has not found its client yet sends its answer nowhere
        future = client.call_async(request)
        self.wait(future.done, f"an answer of {name}", timeout)
        return future.result()

    def change_state(self, label: str) -> bool:
        request = ChangeState.Request()
        request.transition.label = label
        return bool(self.call(ChangeState, "change_state", request).success)

    def try_transition(self, label: str) -> bool:
        """As `change_state`; a node that refuses may send no answer."""
        try:
            request = ChangeState.Request()
            request.transition.label = label
            return bool(self.call(ChangeState, "change_state", request, timeout=1.0).success)
        except AssertionError:
            return False

    def change(self, *labels: str) -> None:
        """Make these transitions, and wait until the node has subscribed again."""
        for label in labels:
            assert self.change_state(label), label
        self.wait_for_node()

    def state(self) -> str:
        return str(self.call(GetState, "get_state", GetState.Request()).current_state.label)

    def set(self, **values: Any) -> str:
        """Set parameters together (dots written as __); returns the reason of a refusal, or ''."""
        request = SetParametersAtomically.Request()
        request.parameters = [
            Parameter(name.replace("__", "."), value=value).to_parameter_msg() for name, value in values.items()
        ]
        result = self.call(SetParametersAtomically, "set_parameters_atomically", request).result
        return "" if result.successful else str(result.reason)

    def now_ns(self) -> int:
        return int(self.node.get_clock().now().nanoseconds)

    def activate(self) -> None:
        self.change("configure", "activate")

    def wait_for_node(self) -> None:
        """Wait until the node has subscribed to camera and odometry."""
        self.wait(lambda: self.images.get_subscription_count() or self.compressed.get_subscription_count(), "the node")
        self.wait(self.odometry.get_subscription_count, "the node's odometry")
        self.wait(self.infos.get_subscription_count, "the node's camera_info")

    def info(self, width: int = WIDTH, height: int = HEIGHT, focal: float | None = None) -> CameraInfo:
        f = 0.75 * width if focal is None else focal
        k = [f, 0.0, (width - 1) / 2, 0.0, f, (height - 1) / 2, 0.0, 0.0, 1.0] if f else [0.0] * 9
        message = CameraInfo(width=width, height=height, distortion_model="plumb_bob", d=[0.0] * 5, k=k)
        message.header.frame_id = "camera_optical_frame"
        return message

    def image(self, colour: tuple[int, int, int] = ROAD, stamp_ns: int | None = None, **changes: Any) -> Image:
        pixels = np.empty((HEIGHT, WIDTH, 3), np.uint8)
        pixels[:] = colour
        message = Image(
            height=HEIGHT, width=WIDTH, encoding="rgb8", step=3 * WIDTH, data=array.array("B", pixels.tobytes())
        )
        message.header.frame_id = "camera_optical_frame"
        stamp_ns = self.now_ns() if stamp_ns is None else stamp_ns
        message.header.stamp = Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
        for name, value in changes.items():
            setattr(message, name, value)
        return message

    def pose(self, stamp_ns: int, x: float = 0.0, y: float = 0.0) -> Odometry:
        message = Odometry(child_frame_id="base_link")
        message.header.frame_id = "odom"
        message.header.stamp = Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
        message.pose.pose.position.x, message.pose.pose.position.y = x, y
        message.pose.pose.orientation.w = 1.0
        return message

    def send(self, image: Image | CompressedImage, x: float = 0.0, info: CameraInfo | None = None) -> None:
        """Publish an image with calibration, and the odometry just before and after its stamp."""
        self.infos.publish(self.info() if info is None else info)
        stamp_ns = nanoseconds(image.header.stamp)
        for offset in (-1_000_000, 1_000_000):
            self.odometry.publish(self.pose(max(stamp_ns + offset, 0), x))
        (self.images if isinstance(image, Image) else self.compressed).publish(image)

    def costmap_at(self, stamp_ns: int, timeout: float = 10.0) -> OccupancyGrid:
        """Wait for the costmap of the image with this stamp."""

        def found() -> OccupancyGrid | None:
            return next((grid for grid in self.received["costmap"] if nanoseconds(grid.header.stamp) == stamp_ns), None)

        return self.wait(found, f"the costmap of {stamp_ns}", timeout)

    def drive(self, colour: tuple[int, int, int] = ROAD, x: float = 0.0) -> np.ndarray:
        """Publish one image at x, and return its costmap, int8 [rows, cols]."""
        self.infos.publish(self.info())
        self.spin(0.03)
        image = self.image(colour)
        self.send(image, x)
        return cells(self.costmap_at(nanoseconds(image.header.stamp)))

    def diagnosis(
        self,
        words: str,
        meanwhile: Callable[[], Any] = lambda: None,
        level: bytes | None = None,
        timeout: float = 8.0,
    ) -> DiagnosticStatus:
        """Wait for a diagnostic status with these words in its message, and call `meanwhile` every 0.1 s.

        Args:
            words: part of the message.
            meanwhile: called every 0.1 s.
            level: of the status; None for any.
            timeout: s.
        """
        self.received["/diagnostics"].clear()
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            meanwhile()
            self.spin(0.1)
            for message in self.received["/diagnostics"]:
                for status in message.status:
                    if words in status.message and level in (None, status.level):
                        return status
        messages = [status.message for message in self.received["/diagnostics"] for status in message.status]
        raise AssertionError(f"timeout of {timeout} s while waiting for '{words}' in the diagnostics: {messages}")


def cells(grid: OccupancyGrid) -> np.ndarray:
    return np.array(grid.data, np.int8).reshape(grid.info.height, grid.info.width)


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {entry.key: entry.value for entry in status.values}


def share(costmap: np.ndarray, low: int, high: int) -> float:
    """Share of the known cells whose cost is from `low` to `high`."""
    known = costmap[costmap >= 0]
    assert known.size
    return float(((known >= low) & (known <= high)).mean())
