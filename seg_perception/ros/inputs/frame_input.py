"""One camera's messages: images, calibration, depth and points, and the frames that they make with the poses."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from seg_perception.errors import ConfigError, GeometryError, ImageError
from seg_perception.geometry.stamped_transform import stamp_of
from seg_perception.ros import messages
from seg_perception.ros.inputs.camera_input import CameraInput, CameraState
from seg_perception.ros.inputs.poses import PoseSource
from seg_perception.ros.inputs.range_input import Ranging, RangingInput
from seg_perception.ros.parameters.node_settings import NodeSettings
from seg_perception.ros.resources import LoadedCamera
from seg_perception.sensor_data.frame import Frame


@dataclass(frozen=True)
class Arrival:
    """An image message as it came in.

    Attributes:
        message: sensor_msgs Image or CompressedImage.
        received: time.monotonic().
        received_ns: the node's clock.
    """

    message: Any
    received: float
    received_ns: int


class DroppedError(Exception):
    """It is no error of the node: an image ends here, and is counted.

    Attributes:
        reason: a few words, the same for all drops of a kind.
        detail: one sentence about this one.
    """

    def __init__(self, reason: str, detail: str) -> None:
        """Say why."""
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Laps:
    """The stages of one frame, ms."""

    def __init__(self, arrival: Arrival) -> None:
        """Begin with the way to here."""
        self._last = time.monotonic()
        stamp_ns = stamp_of(arrival.message.header)
        self.milliseconds = {
            "receive": (arrival.received_ns - stamp_ns) / 1e6,
            "wait": (self._last - arrival.received) * 1e3,
        }

    def lap(self, stage: str) -> None:
        """A stage ends."""
        now = time.monotonic()
        self.milliseconds[stage] = (now - self._last) * 1e3
        self._last = now

    def add(self, stages: Mapping[str, float]) -> None:
        """Stages that were timed elsewhere end."""
        self.milliseconds.update(stages)
        self._last = time.monotonic()

    def until(self, now_ns: int, stamp_ns: int) -> dict[str, float]:
        """All stages, and the time from the image's stamp until now."""
        return {**self.milliseconds, "total": (now_ns - stamp_ns) / 1e6}


class FrameInput:
    """The subscriptions of one camera. Messages come in through the executor's thread, the worker's makes frames."""

    def __init__(
        self,
        node: Any,
        camera: LoadedCamera,
        settings: NodeSettings,
        poses: PoseSource,
        on_image: Callable[[Any, float], None],
        say: Callable[[str], None],
    ) -> None:
        """Subscribe.

        Args:
            node: the node.
            camera: which one.
            settings: transports, reliability and `projection.mode` are read.
            poses: for odom and mount at a message's stamp; another's to close.
            on_image: takes each image message and the time.monotonic() of its arrival.
            say: logs a warning.

        Raises:
            ConfigError: images cannot be had the way the parameters say.
        """
        self._poses = poses
        self._settings = camera.settings
        self._image_size = camera.engine.card.width, camera.engine.card.height
        self._camera = CameraInput(
            node, settings.image_transport, settings.image_reliability, on_image, say, camera.settings.prefix
        )
        try:
            self._ranging = RangingInput(node, settings, poses, camera.settings, say)
        except ConfigError:
            self._camera.close()
            raise

    def is_placed(self, arrival: Arrival) -> bool:
        """Whether calibration and poses of an image are there."""
        header = arrival.message.header
        try:
            self._camera.camera()
            self._poses.lookup(stamp_of(header), header.frame_id.lstrip("/"), 0.0, self._settings.mount)
        except GeometryError:
            return False
        return True

    def frame_of(self, arrival: Arrival, laps: Laps, settings: NodeSettings, timeout: float) -> tuple[Frame, Ranging]:
        """The frame of an image, with what was measured next to it; waits for what is still on its way.

        Args:
            arrival: the image.
            laps: told when a stage ends.
            settings: the waits and limits that hold now.
            timeout: longest wait for the transform, s.

        Raises:
            DroppedError: it makes none.
        """
        message = arrival.message
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
        laps.lap("decode")
        try:
            odom_from_base, base_from_optical = self._poses.lookup(stamp_ns, frame_id, timeout, self._settings.mount)
        except GeometryError as error:
            raise DroppedError("no transform", str(error)) from None
        laps.lap("transform")
        ranging = self._ranging.at(stamp_ns, frame_id, settings)
        laps.lap("ranging")
        frame = Frame(
            stamp_ns,
            decoded.pixels,
            decoded.order,
            camera,
            odom_from_base,
            base_from_optical,
            frame_id,
            ranging.depth,
            ranging.points,
        )
        return frame, ranging

    def state(self) -> CameraState:
        """What is known about the camera's topics."""
        state = self._camera.state()
        return replace(state, shortfalls=state.shortfalls + self._ranging.shortfalls())

    def check(self, now: float) -> None:
        """See `LargeInput.check`."""
        self._camera.check(now)
        self._ranging.check(now)

    def reset(self) -> None:
        """Forget what was measured: the clock was set back."""
        self._ranging.reset()

    def close_images(self) -> None:
        """Take in no more of them; `close_ranging` follows when the frame in progress needs nothing more."""
        self._camera.close()

    def close_ranging(self) -> None:
        """Unsubscribe from depth and points."""
        self._ranging.close()
