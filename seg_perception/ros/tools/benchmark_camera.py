"""A camera that publishes images at several rates, and collects the node's latencies.

python -m seg_perception.ros.tools.benchmark_camera CASES.json PID > ROWS.json
"""

from __future__ import annotations

import array
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from seg_perception.ros.messages import time_of
from seg_perception.ros.tools.play import ros
from seg_perception.utils.process_usage import processor_s, resident_mb

_JPEG_QUALITY = 90  # the default of image_transport_plugins is 95; most camera drivers use less
_POSE_NS = 1_000_000  # time of the poses before and after an image's stamp
_DEEP = 1000
_SETTLE_S = 1.0
_DISCOVERY_S = 20.0


class BenchmarkCamera:
    """Publishes images, calibration and odometry, and subscribes to the node's latencies."""

    def __init__(self, node: Any, transport: str) -> None:
        """Create the publishers.

        Args:
            node: any node.
            transport: "raw" or "compressed".
        """
        self._node = node
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        best_effort = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        kind, topic = (Image, "image") if transport == "raw" else (CompressedImage, "image/compressed")
        self._is_raw = transport == "raw"
        self._images = node.create_publisher(kind, topic, best_effort)
        self._infos = node.create_publisher(CameraInfo, "camera_info", best_effort)
        self._odometry = node.create_publisher(Odometry, "odometry", 10)
        self._latencies: list[Any] = []
        node.create_subscription(DiagnosticArray, "/perception/latency", self._latencies.append, _DEEP)

    def wait(self) -> None:
        """Wait until the node has subscribed, 20 s at most."""
        end = time.monotonic() + _DISCOVERY_S
        while not self._images.get_subscription_count() and time.monotonic() < end:
            self._executor.spin_once(timeout_sec=0.1)
        self._spin_until(time.monotonic() + _SETTLE_S)

    def show(self, case: Mapping[str, Any], process: int) -> dict[str, Any]:
        """Publish one image at a fixed rate.

        Args:
            case: image (a file), width, height, rate (Hz), warm_up and count (images).
            process: id of the node's process.

        Returns:
            sent, received (images of `count`), rate_hz (at which they were sent), latencies_ms (from stamp to
            published), stages_ms (medians by name), cores (that the node kept busy) and rss_mb (of the node).
        """
        message, info = self._message(case), _info(case["width"], case["height"])
        self._publish(message, info, case["warm_up"], case["rate"])
        self._spin_until(time.monotonic() + _SETTLE_S)
        self._latencies.clear()
        began, busy = time.monotonic(), processor_s(process)
        stamps = self._publish(message, info, case["count"], case["rate"])
        seconds, busy = time.monotonic() - began, processor_s(process) - busy
        self._spin_until(time.monotonic() + _SETTLE_S)
        by_stage: dict[str, list[float]] = {}
        received = 0
        for latency in self._latencies:
            if _nanoseconds(latency.header.stamp) in stamps:
                received += 1
                for entry in latency.status[0].values:
                    by_stage.setdefault(entry.key, []).append(float(entry.value))
        return {
            "sent": len(stamps),
            "received": received,
            "rate_hz": len(stamps) / seconds,
            "latencies_ms": by_stage.pop("total", []),
            "stages_ms": {name: sorted(values)[len(values) // 2] for name, values in by_stage.items()},
            "cores": busy / seconds,
            "rss_mb": resident_mb(process),
        }

    def _message(self, case: Mapping[str, Any]) -> Any:
        image = cv2.imread(case["image"])
        assert image is not None  # the benchmark has just written it
        if self._is_raw:
            message = Image(width=case["width"], height=case["height"], encoding="bgr8", step=3 * case["width"])
            message.data = array.array("B", image.tobytes())
            return message
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        return CompressedImage(format="bgr8; jpeg compressed bgr8", data=array.array("B", data.tobytes()))

    def _publish(self, message: Any, info: Any, count: int, rate: float) -> set[int]:
        stamps = set()
        start = time.monotonic()
        for number in range(count):
            self._spin_until(start + number / rate)
            now_ns = int(self._node.get_clock().now().nanoseconds)
            for stamp_ns in (now_ns - _POSE_NS, now_ns + _POSE_NS):
                pose = Odometry(child_frame_id="base_link")
                pose.header.frame_id, pose.header.stamp = "odom", time_of(stamp_ns)
                pose.pose.pose.orientation.w = 1.0
                self._odometry.publish(pose)
            self._infos.publish(info)
            message.header.stamp = time_of(now_ns)
            self._images.publish(message)
            stamps.add(now_ns)
        return stamps

    def _spin_until(self, end: float) -> None:
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)


def _info(width: int, height: int) -> CameraInfo:
    info = CameraInfo(width=width, height=height, distortion_model="plumb_bob", d=[0.0] * 5)
    info.k = [0.83 * width, 0.0, (width - 1) / 2, 0.0, 0.83 * width, (height - 1) / 2, 0.0, 0.0, 1.0]
    return info


def _nanoseconds(stamp: Any) -> int:
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def _run(cases: Sequence[Mapping[str, Any]], process: int) -> list[dict[str, Any]]:
    with ros():
        camera = BenchmarkCamera(rclpy.create_node("camera"), cases[0]["transport"])
        camera.wait()
        return [camera.show(case, process) for case in cases]


if __name__ == "__main__":
    json.dump(_run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), int(sys.argv[2])), sys.stdout)
