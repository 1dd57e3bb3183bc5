"""Poses from nav_msgs/Odometry and a mount that is told by parameter."""

from __future__ import annotations

import threading
import time
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from seg_perception.errors import GeometryError
from seg_perception.geometry.stamped_transform import odometry_link
from seg_perception.geometry.transforms import Transform, TransformBuffer
from seg_perception.ros.parameters.node_settings import NodeSettings

_KEPT_NS = 10 * 10**9  # as tf2 does
# Best effort takes what reliable publishers send, too; half a second of odometry at 100 Hz may come at once.
_DEPTH = 50


class OdometryPoses:
    """A `PoseSource`."""

    def __init__(self, node: Any, settings: NodeSettings) -> None:
        """Subscribe to `odometry`; each camera must have a mount."""
        self._node = node
        self._mount = settings.mount
        self._odom, self._base = settings.odom_frame, settings.base_frame
        self._buffer = TransformBuffer(keep_ns=_KEPT_NS)
        self._changed = threading.Condition()
        self._refusal = ""
        qos = QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
        overriding = QoSOverridingOptions.with_default_policies()
        self._subscription = node.create_subscription(
            Odometry, "odometry", self._take, qos, qos_overriding_options=overriding
        )

    def lookup(
        self, stamp_ns: int, optical_frame: str, timeout: float, mount: Transform | None = None
    ) -> tuple[Transform, Transform]:
        """See `PoseSource.lookup`; the camera's frame is not needed."""
        mount = self._mount if mount is None else mount
        assert mount is not None
        end = time.monotonic() + timeout
        with self._changed:
            while True:
                try:
                    return self._buffer.lookup(self._odom, self._base, stamp_ns), mount
                except GeometryError as error:
                    missing = error
                if not self._changed.wait(end - time.monotonic()):
                    break
        topic = self._subscription.topic_name
        if self._refusal:
            raise GeometryError(f"{topic}: {self._refusal}")
        if not self._buffer.frames():
            raise GeometryError(f"{topic}: no odometry has come yet; check that it is published, and the remapping.")
        raise GeometryError(f"{topic}: {missing}")

    def sensor(
        self, stamp_ns: int, frame: str, optical_frame: str, timeout: float, mount: Transform | None = None
    ) -> Transform:
        """See `PoseSource.sensor`; without tf, only the camera's place and the base are known."""
        if frame not in (optical_frame, self._base):
            raise GeometryError(
                f"its frame_id is '{frame}', and odometry tells only where '{self._base}' and the camera "
                f"('{optical_frame}') are; publish it in one of these frames, or let poses come from tf."
            )
        odom_from_base, base_from_optical = self.lookup(stamp_ns, optical_frame, timeout, mount)
        return odom_from_base if frame == self._base else odom_from_base @ base_from_optical

    def describe(self, mount: Transform | None = None) -> str:
        """See `PoseSource.describe`."""
        return f"{self._subscription.topic_name}, '{self._odom}' to '{self._base}'; mount by parameter"

    def reset(self) -> None:
        """Forget everything."""
        with self._changed:
            self._buffer = TransformBuffer(keep_ns=_KEPT_NS)
            self._refusal = ""

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    def _take(self, message: Odometry) -> None:
        link = odometry_link(message, self._odom, self._base)
        refusal = _wrong_frame("header.frame_id", message.header.frame_id, "odom_frame", self._odom)
        refusal = refusal or _wrong_frame("child_frame_id", link.child, "base_frame", self._base)
        with self._changed:
            if not refusal:
                try:
                    self._buffer.add(self._odom, self._base, link.stamp_ns, link.transform())
                except GeometryError as error:
                    refusal = f"the last message was refused: {error}"
            self._refusal = refusal
            self._changed.notify_all()


def _wrong_frame(field: str, given: str, parameter: str, wanted: str) -> str:
    if given.lstrip("/") in ("", wanted):
        return ""
    return f"its {field} is '{given}', not '{wanted}'; set parameter '{parameter}' to it, or take another topic."
