"""Depth images and point clouds: what was measured next to an image in time, placed where its sensor was then."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image, PointCloud2

from seg_perception.errors import ConfigError, GeometryError, ImageError, PointsError
from seg_perception.geometry.stamped_transform import stamp_of
from seg_perception.geometry.transforms import Transform
from seg_perception.projection import select
from seg_perception.ros.diagnostics.statistics import Refusal
from seg_perception.ros.inputs.adaptive_qos import info_topic_beside
from seg_perception.ros.inputs.poses import PoseSource
from seg_perception.ros.inputs.range_stream import DEPTH_IMAGE, POINT_CLOUD, Stream
from seg_perception.ros.parameters.node_settings import CameraSettings, NodeSettings
from seg_perception.sensor_data.frame import DepthImage, PointCloud


@dataclass(frozen=True, eq=False)
class Ranging:
    """What was measured about the time of an image.

    Attributes:
        depth: depth image, where one can be used.
        points: point cloud, likewise.
        refusals: reason that `choose` gives for its absence → why it is absent.
    """

    depth: DepthImage | None
    points: PointCloud | None
    refusals: Mapping[str, Refusal]

    def explain(self, reason: str) -> Refusal:
        """What lies behind a reason of `choose`."""
        known = self.refusals.get(reason)
        return known or Refusal(reason, f"{reason}; {_MENDS.get(reason, 'check the sensor')}.")


_MENDS = {
    select.POINTS_NO_GROUND: "check where the transforms put the sensor, and whether it looks at the ground",
    select.DEPTH_NO_GROUND: "check where 'mount' or tf puts the camera, and whether it looks at the ground",
    select.DEPTH_SHAPE: "let the camera driver align depth with colour",
}


class RangingInput:
    """Subscriptions to what `projection.mode` asks for, and their latest messages.

    The executor's thread takes messages in, the worker's decodes those that an image needs.
    """

    def __init__(
        self,
        node: Any,
        settings: NodeSettings,
        poses: PoseSource,
        camera: CameraSettings,
        say: Callable[[str], None],
    ) -> None:
        """Subscribe.

        Args:
            node: the node; its topics `depth`, or with `/compressedDepth` after it, and `points` are subscribed.
            settings: `projection.mode`, `depth_transport` and `ranging_reliability` are read.
            poses: for odom and sensor at a message's stamp.
            camera: whose images it is for.
            say: logs a warning.

        Raises:
            ConfigError: ROS's own parameter for the reliability is wrong.
        """
        self._mount = camera.mount
        self._poses = poses
        is_raw = settings.depth_transport == "raw"
        base = node.resolve_topic_name(f"{camera.prefix}depth")
        depth_topic, depth_type = (base, Image) if is_raw else (f"{base}/compressedDepth", CompressedImage)
        points_topic = node.resolve_topic_name(f"{camera.prefix}points")
        self._depth = Stream(node, depth_type, depth_topic, DEPTH_IMAGE, settings, say, info_topic_beside(base))
        try:
            self._points = Stream(node, PointCloud2, points_topic, POINT_CLOUD, settings, say)
        except ConfigError:
            self._depth.close()
            raise

    def at(self, stamp_ns: int, optical_frame: str, settings: NodeSettings) -> Ranging:
        """What was measured next to an image; waits for what is still on its way.

        Args:
            stamp_ns: of the image, nanoseconds.
            optical_frame: frame_id of the image.
            settings: `max_time_difference` of the projection and `ranging_timeout` are used.
        """
        end = time.monotonic() + settings.ranging_timeout
        cloud = self._measured(self._points, stamp_ns, optical_frame, settings, end)
        picture = self._measured(self._depth, stamp_ns, optical_frame, settings, end)
        refusals = {
            none: answer
            for none, answer in ((select.NO_POINTS, cloud), (select.NO_DEPTH, picture))
            if isinstance(answer, Refusal)
        }
        return Ranging(
            depth=None if isinstance(picture, Refusal) else DepthImage(*picture),
            points=None if isinstance(cloud, Refusal) else PointCloud(*cloud),
            refusals=refusals,
        )

    def shortfalls(self) -> tuple[str, ...]:
        """As `CameraState` has them."""
        return tuple(stream.shortfall for stream in (self._depth, self._points) if stream.shortfall)

    def check(self, now: float) -> None:
        """See `LargeInput.check`."""
        for stream in (self._depth, self._points):
            stream.check(now)

    def reset(self) -> None:
        """Forget what was measured: the clock was set back."""
        for stream in (self._depth, self._points):
            stream.forget()

    def close(self) -> None:
        """Unsubscribe."""
        for stream in (self._depth, self._points):
            stream.close()

    def _measured(
        self, stream: Stream, stamp_ns: int, optical_frame: str, settings: NodeSettings, end: float
    ) -> tuple[int, NDArray[np.float32], Transform] | Refusal:
        """(stamp, values, odom_from_sensor) of the message next to an image, or why there is none."""
        limit = settings.pipeline.projection.max_time_difference
        message = stream.next_to(stamp_ns, round(limit * 1e9), end)
        if message is None:
            return stream.absent()
        measured_ns = stamp_of(message.header)
        if abs(measured_ns - stamp_ns) > limit * 1e9:
            return stream.late((measured_ns - stamp_ns) / 1e9, limit)
        frame = message.header.frame_id.lstrip("/")
        if stream is self._depth:
            if frame and optical_frame and frame != optical_frame:
                return stream.refused(
                    "of another frame than the image",
                    f"its frame_id is '{frame}' and that of the images '{optical_frame}', so it is not aligned with "
                    "them; remap 'depth' to the aligned depth of the camera driver.",
                )
            frame = optical_frame
        elif not frame:
            return stream.refused("cannot be placed", "it has no header.frame_id; mend its publisher.")
        try:
            values = stream.kind.read(message)
            timeout = max(end - time.monotonic(), 0.0)
            return measured_ns, values, self._poses.sensor(measured_ns, frame, optical_frame, timeout, self._mount)
        except (ImageError, PointsError) as error:
            return stream.refused("cannot be decoded", str(error))
        except GeometryError as error:
            return stream.refused("cannot be placed", str(error))
