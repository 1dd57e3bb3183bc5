"""One camera's messages: images, calibration, depth and points. With the poses they make frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from seg_perception.errors import ConfigError, GeometryError, ImageError
from seg_perception.geometry.stamped_transform import stamp_of
from seg_perception.ros import messages
from seg_perception.ros.diagnostics.camera_input_state import CameraInputState
from seg_perception.ros.inputs.camera_input import CameraInput
from seg_perception.ros.inputs.poses import PoseSource
from seg_perception.ros.inputs.range_input import RangeInput, RangeMeasurements
from seg_perception.ros.parameters.node_settings import CameraSettings, NodeSettings
from seg_perception.sensor_data.frame import Frame


@dataclass(frozen=True)
class ReceivedImage:
    """An image message, with the time when the node received it.

    Attributes:
        message: sensor_msgs Image or CompressedImage.
        received: time.monotonic() of arrival.
        received_ns: arrival on the node's clock, nanoseconds.
    """

    message: Any
    received: float
    received_ns: int


class DroppedError(Exception):
    """The node drops an image and counts the reason; this is no error of the node.

    Attributes:
        reason: a few words, the same for all drops of a kind.
        detail: one sentence about this one.
    """

    def __init__(self, reason: str, detail: str) -> None:
        """Give the reason and its details."""
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class StageTimer:
    """Durations of the stages of one frame.

    Attributes:
        milliseconds: stage → ms.
    """

    def __init__(self, image: ReceivedImage) -> None:
        """Start with the stages before processing: receive and wait."""
        self._last = time.monotonic()
        stamp_ns = stamp_of(image.message.header)
        self.milliseconds = {
            "receive": (image.received_ns - stamp_ns) / 1e6,
            "wait": (self._last - image.received) * 1e3,
        }

    def end_stage(self, stage: str) -> None:
        """A stage ends, and the next one begins."""
        now = time.monotonic()
        self.milliseconds[stage] = (now - self._last) * 1e3
        self._last = now

    def add(self, stages: Mapping[str, float]) -> None:
        """Add stages that were timed elsewhere and end now."""
        self.milliseconds.update(stages)
        self._last = time.monotonic()

    def finish(self, now_ns: int, stamp_ns: int) -> dict[str, float]:
        """All stages, and the total from the image's stamp until now, ms."""
        return {**self.milliseconds, "total": (now_ns - stamp_ns) / 1e6}


class FrameInput:
    """The subscriptions of one camera. The executor's thread receives messages, the worker's thread makes frames."""

    def __init__(
        self,
        node: Any,
        camera: CameraSettings,
        image_size: tuple[int, int],
        settings: NodeSettings,
        poses: PoseSource,
        on_image: Callable[[Any, float], None],
        warn: Callable[[str], None],
    ) -> None:
        """Subscribe.

        Args:
            node: the node.
            camera: settings of the camera.
            image_size: (width, height) of the network's input.
            settings: uses transports, reliability and `projection.mode`.
            poses: of robot and camera; the caller closes it.
            on_image: called with each image message and the time.monotonic() of its arrival.
            warn: logs a warning.

        Raises:
            ConfigError: a QoS parameter has none of its values.
        """
        self._poses = poses
        self._base_from_optical = camera.mount
        self._image_size = image_size
        self._camera = CameraInput(
            node, settings.image_transport, settings.image_reliability, on_image, warn, camera.prefix
        )
        try:
            self._ranges = RangeInput(node, settings, poses, camera, warn)
        except ConfigError:
            self._camera.close()
            raise

    def is_ready(self, image: ReceivedImage) -> bool:
        """Whether calibration and poses of an image are available."""
        header = image.message.header
        try:
            self._camera.camera()
            self._poses.lookup(stamp_of(header), header.frame_id.lstrip("/"), 0.0, self._base_from_optical)
        except GeometryError:
            return False
        return True

    def frame_of(
        self, image: ReceivedImage, timer: StageTimer, settings: NodeSettings, timeout: float
    ) -> tuple[Frame, RangeMeasurements]:
        """The frame of an image, with its range measurements; waits for messages that are still to arrive.

        Args:
            image: the image.
            timer: times the stages.
            settings: the current timeouts and limits.
            timeout: longest wait for the transform, s.

        Raises:
            DroppedError: something that the frame needs is missing or not valid.
        """
        message = image.message
        stamp_ns, frame_id = stamp_of(message.header), message.header.frame_id.lstrip("/")
        try:
            camera = self._camera.camera(timeout)
        except GeometryError as error:
            raise DroppedError("no camera_info", str(error)) from None
        try:
            decoded = messages.decode(message, self._image_size)
        except ImageError as error:
            raise DroppedError("cannot be decoded", str(error)) from None
        if (decoded.width, decoded.height) != (camera.width, camera.height):
            raise DroppedError(
                "size differs from camera_info",
                f"the image has {decoded.width}x{decoded.height} pixels and its camera_info {camera.width}x"
                f"{camera.height}; publish the calibration of these images.",
            )
        timer.end_stage("decode")
        try:
            odom_from_base, base_from_optical = self._poses.lookup(stamp_ns, frame_id, timeout, self._base_from_optical)
        except GeometryError as error:
            raise DroppedError("no transform", str(error)) from None
        timer.end_stage("transform")
        measurements = self._ranges.nearest(stamp_ns, frame_id, settings)
        timer.end_stage("ranging")
        frame = Frame(
            stamp_ns,
            decoded.pixels,
            decoded.order,
            camera,
            odom_from_base,
            base_from_optical,
            frame_id,
            measurements.depth,
            measurements.points,
        )
        return frame, measurements

    def state(self) -> CameraInputState:
        """The state of the camera's subscriptions."""
        state = self._camera.state()
        return replace(state, fallback_reasons=state.fallback_reasons + self._ranges.fallback_reasons())

    def check(self, now: float) -> None:
        """See `AdaptiveQosSubscription.check`."""
        self._camera.check(now)
        self._ranges.check(now)

    def reset(self) -> None:
        """Drop the range measurements, because the clock was set back."""
        self._ranges.reset()

    def close_images(self) -> None:
        """Unsubscribe from images; call `close_ranges` once the frame in progress is done."""
        self._camera.close()

    def close_ranges(self) -> None:
        """Unsubscribe from depth and points."""
        self._ranges.close()
