"""Poses from /tf and /tf_static, through tf2_ros."""

from __future__ import annotations

import time
from typing import Any

from rclpy.duration import Duration
from rclpy.time import Time

from seg_perception.errors import GeometryError
from seg_perception.geometry.stamped_transform import looks_upwards, rigid_transform
from seg_perception.geometry.transforms import Transform
from seg_perception.ros.optional import optional
from seg_perception.ros.parameters.node_settings import NodeSettings

_KEPT_S = 10
_POLL_S = 0.005  # short against waits of some tens of ms; tf2_ros can wait only in ROS time, which may stand still


class TfPoses:
    """A `PoseSource`; tf2_ros must be installed."""

    def __init__(self, node: Any, settings: NodeSettings) -> None:
        """Listen to /tf and /tf_static."""
        tf2_ros = optional("tf2_ros")
        assert tf2_ros is not None
        self._odom, self._base = settings.odom_frame, settings.base_frame
        self._base_from_optical = settings.mount
        self._failure = tf2_ros.TransformException
        # Without a node, the buffer creates no service, which would remain on the node after close().
        self._buffer = tf2_ros.Buffer(cache_time=Duration(seconds=_KEPT_S))
        self._listener = tf2_ros.TransformListener(self._buffer, node, spin_thread=False)

    def lookup(
        self, stamp_ns: int, optical_frame: str, timeout: float, base_from_optical: Transform | None = None
    ) -> tuple[Transform, Transform]:
        """See `PoseSource.lookup`."""
        end = time.monotonic() + timeout
        odom_from_base = self._at(self._odom, self._base, stamp_ns, end)
        extrinsics = self._base_from_optical if base_from_optical is None else base_from_optical
        if extrinsics is not None:
            return odom_from_base, extrinsics
        if not optical_frame:
            raise GeometryError("the images have no header.frame_id, so tf has no extrinsics for them; set 'mount'.")
        extrinsics = self._at(self._base, optical_frame, stamp_ns, end)
        if looks_upwards(extrinsics):
            raise GeometryError(
                f"by tf the camera ('{optical_frame}', the images' frame_id) looks at the sky, so this is no optical "
                "frame (z forward) but a body frame; fix the driver's frame_id, or set 'mount'."
            )
        return odom_from_base, extrinsics

    def lookup_sensor(
        self, stamp_ns: int, frame: str, optical_frame: str, timeout: float, base_from_optical: Transform | None = None
    ) -> Transform:
        """See `PoseSource.lookup_sensor`."""
        if frame == optical_frame:  # its extrinsics may come from a parameter instead of tf
            odom_from_base, extrinsics = self.lookup(stamp_ns, optical_frame, timeout, base_from_optical)
            return odom_from_base @ extrinsics
        return self._at(self._odom, frame, stamp_ns, time.monotonic() + timeout)

    def describe(self, base_from_optical: Transform | None = None) -> str:
        """See `PoseSource.describe`."""
        from_tf = self._base_from_optical is None and base_from_optical is None
        extrinsics = "extrinsics from tf" if from_tf else "extrinsics by parameter"
        return f"/tf, '{self._odom}' to '{self._base}'; {extrinsics}"

    def reset(self) -> None:
        """Drop all but static transforms."""
        self._buffer.clear()

    def close(self) -> None:
        """Unsubscribe."""
        self._listener.unregister()

    def _at(self, target: str, source: str, stamp_ns: int, end: float) -> Transform:
        while True:
            try:
                found = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp_ns)).transform
                return rigid_transform(found.translation, found.rotation)
            except self._failure as error:
                if time.monotonic() >= end:
                    raise GeometryError(
                        f"no transform from '{source}' to '{target}' in time: {str(error).rstrip('. ')}."
                    ) from None
            time.sleep(_POLL_S)
