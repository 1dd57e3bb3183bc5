"""Depth images and point clouds nearest to an image in time, each with the pose of its sensor at its own stamp."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image, PointCloud2

from seg_perception.errors import ConfigError, GeometryError, ImageError, PointCloudError
from seg_perception.geometry.stamped_transform import stamp_of
from seg_perception.geometry.transforms import Transform
from seg_perception.projection import select
from seg_perception.ros.diagnostics.statistics import Refusal
from seg_perception.ros.inputs.adaptive_qos import camera_info_topic
from seg_perception.ros.inputs.poses import PoseSource
from seg_perception.ros.inputs.range_stream import DEPTH_IMAGE, POINT_CLOUD, RangeStream
from seg_perception.ros.parameters.node_settings import CameraSettings, NodeSettings
from seg_perception.sensor_data.frame import DepthImage, PointCloud


@dataclass(frozen=True, eq=False)
class RangeMeasurements:
    """Range measurements at the time of an image.

    Attributes:
        depth: depth image; None if there is none that can be used.
        points: point cloud; None if there is none that can be used.
        refusals: reason that `projection.select` gives for an absent one → why it is absent.
    """

    depth: DepthImage | None
    points: PointCloud | None
    refusals: Mapping[str, Refusal]

    def explain(self, reason: str) -> Refusal:
        """The refusal with the details of a reason that `projection.select` gives."""
        known = self.refusals.get(reason)
        return known or Refusal(reason, f"{reason}; {_FIXES.get(reason, 'check the sensor')}.")


_FIXES = {
    select.POINTS_NO_GROUND: "check the sensor's extrinsics in tf, and whether it sees the ground",
    select.DEPTH_NO_GROUND: "check the camera's extrinsics ('mount' or tf), and whether it sees the ground",
    select.DEPTH_SHAPE: "let the camera driver align depth with colour",
}


class RangeInput:
    """Subscriptions to the topics that `projection.mode` uses, and their latest messages.

    The executor's thread receives messages. The worker's thread decodes those that an image needs.
    """

    def __init__(
        self,
        node: Any,
        settings: NodeSettings,
        poses: PoseSource,
        camera: CameraSettings,
        warn: Callable[[str], None],
    ) -> None:
        """Subscribe.

        Args:
            node: the node; the input subscribes its topics `depth` or `depth/compressedDepth`, and `points`.
            settings: uses `projection.mode`, `depth_transport` and `ranging_reliability`.
            poses: of the sensors in odom.
            camera: whose images the measurements belong to.
            warn: logs a warning.

        Raises:
            ConfigError: ROS's own parameter for the reliability has none of its values.
        """
        self._base_from_optical = camera.mount
        self._poses = poses
        is_raw = settings.depth_transport == "raw"
        base = node.resolve_topic_name(f"{camera.prefix}depth")
        depth_topic, depth_type = (base, Image) if is_raw else (f"{base}/compressedDepth", CompressedImage)
        points_topic = node.resolve_topic_name(f"{camera.prefix}points")
        self._depth = RangeStream(node, depth_type, depth_topic, DEPTH_IMAGE, settings, warn, camera_info_topic(base))
        try:
            self._points = RangeStream(node, PointCloud2, points_topic, POINT_CLOUD, settings, warn)
        except ConfigError:
            self._depth.close()
            raise

    def nearest(self, stamp_ns: int, optical_frame: str, settings: NodeSettings) -> RangeMeasurements:
        """The depth image and point cloud nearest to an image in time; waits for those that are still to arrive.

        Args:
            stamp_ns: of the image, nanoseconds.
            optical_frame: frame_id of the image.
            settings: uses `max_time_difference` of the projection, and `ranging_timeout`.
        """
        end = time.monotonic() + settings.ranging_timeout
        cloud = self._measured(self._points, stamp_ns, optical_frame, settings, end)
        depth = self._measured(self._depth, stamp_ns, optical_frame, settings, end)
        refusals = {
            reason: found
            for reason, found in ((select.NO_POINTS, cloud), (select.NO_DEPTH, depth))
            if isinstance(found, Refusal)
        }
        return RangeMeasurements(
            depth=None if isinstance(depth, Refusal) else DepthImage(*depth),
            points=None if isinstance(cloud, Refusal) else PointCloud(*cloud),
            refusals=refusals,
        )

    def fallback_reasons(self) -> tuple[str, ...]:
        """See `CameraInputState.fallback_reasons`."""
        return tuple(stream.fallback_reason for stream in (self._depth, self._points) if stream.fallback_reason)

    def check(self, now: float) -> None:
        """See `AdaptiveQosSubscription.check`."""
        for stream in (self._depth, self._points):
            stream.check(now)

    def reset(self) -> None:
        """Drop all messages, because the clock was set back."""
        for stream in (self._depth, self._points):
            stream.clear()

    def close(self) -> None:
        """Unsubscribe."""
        for stream in (self._depth, self._points):
            stream.close()

    def _measured(
        self, stream: RangeStream, stamp_ns: int, optical_frame: str, settings: NodeSettings, end: float
    ) -> tuple[int, NDArray[np.float32], Transform] | Refusal:
        """(stamp, values, odom_from_sensor) of the message nearest to an image, or why there is none."""
        limit = settings.pipeline.projection.max_time_difference
        message = stream.nearest(stamp_ns, round(limit * 1e9), end)
        if message is None:
            return stream.absent()
        measured_ns = stamp_of(message.header)
        if abs(measured_ns - stamp_ns) > limit * 1e9:
            return stream.late((measured_ns - stamp_ns) / 1e9, limit)
        frame = message.header.frame_id.lstrip("/")
        if stream is self._depth:
            if frame and optical_frame and frame != optical_frame:
                return stream.unusable(
                    "of another frame than the image",
                    f"its frame_id is '{frame}' and that of the images '{optical_frame}', so it is not aligned with "
                    "them; remap 'depth' to the aligned depth of the camera driver.",
                )
            frame = optical_frame
        elif not frame:
            return stream.unusable("cannot be transformed", "it has no header.frame_id; fix its publisher.")
        try:
            values = stream.spec.decode(message)
            timeout = max(end - time.monotonic(), 0.0)
            pose = self._poses.lookup_sensor(measured_ns, frame, optical_frame, timeout, self._base_from_optical)
            return measured_ns, values, pose
        except (ImageError, PointCloudError) as error:
            return stream.unusable("cannot be decoded", str(error))
        except GeometryError as error:
            return stream.unusable("cannot be transformed", str(error))
