"""Poses from nav_msgs/Odometry, with extrinsics from the parameter `mount`."""

from __future__ import annotations

import threading
import time
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from seg_perception.errors import GeometryError
from seg_perception.geometry.stamped_transform import odometry_transform
from seg_perception.geometry.transform_buffer import TransformBuffer
from seg_perception.geometry.transforms import Transform
from seg_perception.ros.parameters.node_settings import NodeSettings

_KEPT_NS = 10 * 10**9  # as tf2 does
# Best effort also receives from reliable publishers; half a second of odometry at 100 Hz may arrive at once.
_DEPTH = 50


class OdometryPoses:
    """A `PoseSource` for odometry."""

    def __init__(self, node: Any, settings: NodeSettings) -> None:
        """Subscribe to `odometry`; each camera must have a `mount`."""
        self._node = node
        self._base_from_optical = settings.mount
        self._odom, self._base = settings.odom_frame, settings.base_frame
        self._buffer = TransformBuffer(keep_ns=_KEPT_NS)
        self._changed = threading.Condition()
        self._problem = ""
        qos = QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
        overriding = QoSOverridingOptions.with_default_policies()
        self._subscription = node.create_subscription(
            Odometry, "odometry", self._take, qos, qos_overriding_options=overriding
        )

    def lookup(
        self, stamp_ns: int, optical_frame: str, timeout: float, base_from_optical: Transform | None = None
    ) -> tuple[Transform, Transform]:
        """See `PoseSource.lookup`; the camera's frame is not needed."""
        extrinsics = self._base_from_optical if base_from_optical is None else base_from_optical
        assert extrinsics is not None
        end = time.monotonic() + timeout
        with self._changed:
            while True:
                try:
                    return self._buffer.lookup(self._odom, self._base, stamp_ns), extrinsics
                except GeometryError as error:
                    missing = error
                if not self._changed.wait(end - time.monotonic()):
                    break
        topic = self._subscription.topic_name
        if self._problem:
            raise GeometryError(f"{topic}: {self._problem}")
        if not self._buffer.frames():
            raise GeometryError(f"{topic}: no odometry received yet; check that it is published, and the remapping.")
        raise GeometryError(f"{topic}: {missing}")

    def lookup_sensor(
        self, stamp_ns: int, frame: str, optical_frame: str, timeout: float, base_from_optical: Transform | None = None
    ) -> Transform:
        """See `PoseSource.lookup_sensor`; without tf, only the poses of base and camera are known."""
        if frame not in (optical_frame, self._base):
            raise GeometryError(
                f"its frame_id is '{frame}', and odometry gives only the poses of '{self._base}' and the "
                f"camera ('{optical_frame}'); publish it in one of these frames, or set pose_source to tf."
            )
        odom_from_base, extrinsics = self.lookup(stamp_ns, optical_frame, timeout, base_from_optical)
        return odom_from_base if frame == self._base else odom_from_base @ extrinsics

    def describe(self, base_from_optical: Transform | None = None) -> str:
        """See `PoseSource.describe`."""
        return f"{self._subscription.topic_name}, '{self._odom}' to '{self._base}'; extrinsics by parameter"

    def reset(self) -> None:
        """Drop all poses."""
        with self._changed:
            self._buffer = TransformBuffer(keep_ns=_KEPT_NS)
            self._problem = ""

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    def _take(self, message: Odometry) -> None:
        link = odometry_transform(message, self._odom, self._base)
        problem = _wrong_frame("header.frame_id", message.header.frame_id, "odom_frame", self._odom)
        problem = problem or _wrong_frame("child_frame_id", link.child, "base_frame", self._base)
        with self._changed:
            if not problem:
                try:
                    self._buffer.add(self._odom, self._base, link.stamp_ns, link.transform())
                except GeometryError as error:
                    problem = f"the last message was refused: {error}"
            self._problem = problem
            self._changed.notify_all()


def _wrong_frame(field: str, given: str, parameter: str, expected: str) -> str:
    if given.lstrip("/") in ("", expected):
        return ""
    return f"its {field} is '{given}', not '{expected}'; set parameter '{parameter}' to it, or remap to another topic."
