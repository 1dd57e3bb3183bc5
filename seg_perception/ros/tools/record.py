"""Records the node's outputs in the format of the offline replay: result.mcap and summary.json."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import OccupancyGrid, Odometry
from numpy.typing import NDArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image

from seg_perception.errors import GeometryError, ImageError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.stamped_transform import odometry_transform, stamp_of
from seg_perception.geometry.transform_buffer import TransformBuffer
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.model.card import ModelCard
from seg_perception.offline.statistics import CostmapStatistics, versions
from seg_perception.recordings.result_bag.messages import FrameNames
from seg_perception.recordings.result_bag.result_frame import LabelInfo, ResultFrame
from seg_perception.recordings.result_bag.writer import ResultWriter
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.ros.messages import camera_of, decode
from seg_perception.utils.duration_histogram import DurationHistogram
from seg_perception.utils.process_usage import peak_mb
from seg_perception.utils.visualization import jpeg

_ALL = QoSProfile(depth=100)
_LATCHED = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_PLANES = ("labels", "most_probable", "confidence", "expected_cost")
_PARTS = ("camera", *_PLANES, "overlay", "costmap", "latency")
_MAX_WAITING = 100  # frames with missing messages, and complete ones without a pose
_WAKE_S = 0.1


@dataclass
class _FrameMessages:
    """The messages of one stamp."""

    parts: dict[str, Any] = field(default_factory=dict)

    def is_complete(self) -> bool:
        return len(self.parts) == len(_PARTS)


class Recorder:
    """Collects the messages of each frame by their stamp, and writes the complete frames."""

    def __init__(
        self, node: Any, out: Path, info: LabelInfo, base_from_optical: Transform, perception: str = "/perception"
    ) -> None:
        """Subscribe to `camera_info`, `odometry` and the node's outputs; for `image` see `connect`.

        Args:
            node: any node.
            out: folder for result.mcap and summary.json, which must not exist yet.
            info: the meaning of the labels.
            base_from_optical: extrinsics of the camera.
            perception: the perception node's full name.

        Raises:
            RecordingError: the file cannot be written.
        """
        self._node = node
        self._out = out
        self._base_from_optical = base_from_optical
        self._camera: Camera | None = None
        self._buffer = TransformBuffer()
        self._waiting: dict[int, _FrameMessages] = {}
        self._complete: dict[int, dict[str, Any]] = {}  # all messages are there; the pose may still be on its way
        self._newest_pose_ns = -1
        self._durations: dict[str, DurationHistogram] = {}
        self._costmaps = CostmapStatistics()
        self._shape: dict[str, Any] = {}
        self._images = self._frames = self._last_ns = 0
        self._problems: Counter[str] = Counter()
        out.mkdir(parents=True, exist_ok=True)
        self._writer = ResultWriter.create(out / "result.mcap", info, FrameNames())
        node.create_subscription(CameraInfo, "camera_info", self._take_info, _ALL)
        node.create_subscription(Odometry, "odometry", self._take_odometry, _ALL)
        outputs = {
            **{name: (Image, _ALL) for name in (*_PLANES, "overlay")},
            "costmap": (OccupancyGrid, _LATCHED),
            "latency": (DiagnosticArray, _ALL),
        }
        for name, (message_type, qos) in outputs.items():
            node.create_subscription(message_type, f"{perception}/{name}", self._collector(name), qos)
        self._undiscovered = {f"{perception}/{name}" for name in outputs}

    def connect(self) -> None:
        """Subscribe to `image` as soon as all outputs of the node are discovered; call it periodically.

        A player that waits for this subscription publishes no image whose results would be missed.
        """
        if self._undiscovered:
            self._undiscovered = {topic for topic in self._undiscovered if not self._node.count_publishers(topic)}
            if not self._undiscovered:
                self._node.create_subscription(Image, "image", self._take_image, _ALL)

    def close(self, summary: dict[str, Any]) -> None:
        """Close result.mcap, and write summary.json.

        Args:
            summary: further content of summary.json.
        """
        self._write_complete(wait_for_pose=False)
        self._writer.close()
        dropped = self._images - self._frames
        content = {
            **summary,
            "frames": {
                "in": self._images,
                "out": self._frames,
                "dropped": {"no complete result (see the node's diagnostics)": dropped} if dropped else {},
            },
            "problems": dict(self._problems),
            "stages": {name: durations.summary() for name, durations in self._durations.items()},
            "peak_rss_mb": peak_mb(),
            "cells": {**self._shape, **self._costmaps.shares()},
            "versions": versions(),
            "hashes": {"costmaps": self._costmaps.digest},
        }
        (self._out / "summary.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def _take_info(self, message: CameraInfo) -> None:
        try:
            self._camera = camera_of(message, "image")
        except GeometryError as error:
            self._problems[str(error)] += 1

    def _take_odometry(self, message: Odometry) -> None:
        link = odometry_transform(message, "odom", "base_link")
        try:
            self._buffer.add(link.parent, link.child, link.stamp_ns, link.transform())
        except GeometryError as error:
            self._problems[str(error)] += 1
        else:
            self._newest_pose_ns = max(self._newest_pose_ns, link.stamp_ns)
            self._write_complete()

    def _take_image(self, message: Image) -> None:
        self._images += 1
        self._collect("camera", message)

    def _collector(self, name: str) -> Callable[[Any], None]:
        return lambda message: self._collect(name, message)

    def _collect(self, name: str, message: Any) -> None:
        stamp_ns = stamp_of(message.header)
        frame = self._waiting.setdefault(stamp_ns, _FrameMessages())
        frame.parts[name] = message
        if frame.is_complete():
            del self._waiting[stamp_ns]
            self._complete[stamp_ns] = frame.parts
            self._write_complete()
        while len(self._waiting) > _MAX_WAITING:
            del self._waiting[min(self._waiting)]

    def _write_complete(self, wait_for_pose: bool = True) -> None:
        """Write the complete frames in the order of their stamps, each as soon as odometry has reached its stamp."""
        for stamp_ns in sorted(self._complete):
            if wait_for_pose and stamp_ns > self._newest_pose_ns and len(self._complete) <= _MAX_WAITING:
                break
            self._write(stamp_ns, self._complete.pop(stamp_ns))

    def _write(self, stamp_ns: int, parts: dict[str, Any]) -> None:
        overlay = _pixels(parts["overlay"])
        height, width = overlay.shape[:2]
        try:
            pose = self._buffer.lookup("odom", "base_link", stamp_ns)
            decoded = decode(parts["camera"], (width, height))
        except (GeometryError, ImageError) as error:
            self._problems[str(error)] += 1
            return
        if self._camera is None or stamp_ns <= self._last_ns:
            self._problems["a frame without calibration, or out of order"] += 1
            return
        image = cv2.resize(decoded.pixels, (width, height), interpolation=cv2.INTER_AREA)
        if decoded.order == "rgb":
            image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        planes = {
            name: np.asarray(
                cv2.resize(_pixels(parts[name]), (width, height), interpolation=cv2.INTER_NEAREST), np.uint8
            )
            for name in _PLANES
        }
        grid = parts["costmap"]
        # Without the total, which would count the stages twice.
        values = parts["latency"].status[0].values
        latency = {entry.key: float(entry.value) for entry in values if entry.key != "total"}
        frame = ResultFrame(
            stamp_ns=stamp_ns,
            camera_jpeg=jpeg(np.asarray(image, dtype=np.uint8)),
            overlay_jpeg=jpeg(overlay),
            costmap=np.array(grid.data, dtype=np.int8).reshape(grid.info.height, grid.info.width),
            resolution=round(float(grid.info.resolution), 6),  # the message holds a float32
            origin_xy=(grid.info.origin.position.x, grid.info.origin.position.y),
            odom_from_base=pose,
            latency_ms=latency,
            **planes,
        )
        self._writer.write(frame, self._camera.resized(width, height), self._base_from_optical)
        self._last_ns = stamp_ns
        self._frames += 1
        self._costmaps.add(frame.costmap, stamp_ns)
        self._shape = {"rows": grid.info.height, "columns": grid.info.width, "resolution m": frame.resolution}
        for stage, milliseconds in latency.items():
            self._durations.setdefault(stage, DurationHistogram()).add(milliseconds)


def _pixels(message: Image) -> NDArray[np.uint8]:
    channels = 3 if message.encoding == "bgr8" else 1
    pixels: NDArray[np.uint8] = np.frombuffer(message.data, dtype=np.uint8)
    shape = (message.height, message.width, channels) if channels > 1 else (message.height, message.width)
    return pixels.reshape(shape)


def main() -> int:
    """Record until Ctrl-C; remappings of `image`, `camera_info` and `odometry` come as ROS arguments."""
    parser = argparse.ArgumentParser(description="Record what the perception node publishes.")
    parser.add_argument("--out", type=Path, required=True, help="folder for result.mcap and summary.json")
    parser.add_argument("--card", type=Path, required=True, help="model card of the node's network")
    parser.add_argument("--matrix", type=Path, required=True, help="the node's cost matrix")
    parser.add_argument("--mount", type=float, nargs=6, required=True, help="x y z roll pitch yaw of the camera body")
    parser.add_argument("--summary", type=json.loads, default={}, help="JSON to put into summary.json")
    from rclpy.utilities import remove_ros_args

    arguments = parser.parse_args(remove_ros_args(sys.argv)[1:])
    card = ModelCard.load(arguments.card)
    traverse = CostMatrix.load(arguments.matrix, card.classes).traverse
    stopped: list[int] = []

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        stopped.append(number)

    rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask_to_stop)
    node = rclpy.create_node("recorder")
    info = LabelInfo(card.classes, card.colours, tuple(traverse.tolist()))
    recorder = Recorder(node, arguments.out, info, mount_to_base_from_optical(*arguments.mount))
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not stopped:
            recorder.connect()
            executor.spin_once(timeout_sec=_WAKE_S)
    except ExternalShutdownException:
        pass
    finally:
        recorder.close(arguments.summary)
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
