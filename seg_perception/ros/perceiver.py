"""What happens to one image message, from the mailbox to the topics; runs in the worker's thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from seg_perception.errors import GeometryError, ImageError, ModelError, ProjectionError
from seg_perception.frame import Frame
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.links import stamp_of
from seg_perception.pipeline import Result
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.ros import messages
from seg_perception.ros.camera_input import CameraInput
from seg_perception.ros.engine_keeper import EngineFailedError
from seg_perception.ros.loaded import Loaded
from seg_perception.ros.poses import PoseSource
from seg_perception.ros.ranging_input import Ranging, RangingInput
from seg_perception.ros.settings import NodeSettings
from seg_perception.ros.status_stamps import stamp_problem

_SET_BACK_NS = 10**9  # images that step back by more than this, and are not too old, come from a time set back
_FASTEST = 60.0  # m/s; an odometry that moves faster has been reset, or is that of another robot
_ODOMETRY_NOISE = 1.0  # m


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


class _Dropped(Exception):  # noqa: N818 - it is no error: the frame ends here, and is counted
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Perceiver:
    """Turns arrivals into published results; every one that gives none is counted with its reason."""

    def __init__(
        self,
        loaded: Loaded,
        camera: CameraInput,
        poses: PoseSource,
        ranging: RangingInput,
        now_ns: Callable[[], int],
        say: Callable[[str], None],
    ) -> None:
        """Bring the parts together.

        Args:
            loaded: pipeline, which only the worker's thread may use from here on, publishers, and health.
            camera: for the intrinsics.
            poses: for odom and mount at an image's stamp.
            ranging: for depth and points of an image's time.
            now_ns: the node's clock.
            say: logs a warning.
        """
        self._pipeline = loaded.pipeline
        self._settings = loaded.settings
        self._costmap = loaded.costmap
        self._outputs = loaded.outputs
        self._health = loaded.health
        self._camera = camera
        self._poses = poses
        self._ranging = ranging
        self._now_ns = now_ns
        self._say = say
        self._orders = threading.Lock()
        self._next: tuple[CostMatrix, NodeSettings] | None = None
        self._reset_reason = ""
        self._last: Frame | None = None

    def use(self, matrix: CostMatrix, settings: NodeSettings) -> None:
        """From the next frame on, work with these; callable from any thread."""
        with self._orders:
            self._next = matrix, settings

    def reset(self, reason: str) -> None:
        """Before the next frame, forget all that was seen; callable from any thread."""
        with self._orders:
            self._reset_reason = reason

    def process(self, arrival: Arrival) -> None:
        """Work on one image; raises nothing."""
        try:
            self._follow_orders()
            self._process(arrival)
        except _Dropped as drop:
            self._health.dropped(drop.reason, drop.detail)
        except Exception as error:  # whatever it is, the next image has its chance
            self._health.dropped("unexpected error", f"{type(error).__name__}: {error}")
            self._say(f"one image was lost to an unexpected error: {type(error).__name__}: {error}")

    def _follow_orders(self) -> None:
        with self._orders:
            change, self._next = self._next, None
            reason, self._reset_reason = self._reset_reason, ""
        if change is not None:
            matrix, self._settings = change
            self._pipeline.use(matrix, self._settings.pipeline)
        if reason:
            self._forget(reason)

    def _forget(self, reason: str) -> None:
        self._say(f"{reason}: the grid starts anew.")
        self._pipeline.forget()
        self._last = None

    def _process(self, arrival: Arrival) -> None:
        message, laps = arrival.message, _Laps(arrival)
        stamp_ns = stamp_of(message.header)
        self._check_stamp(stamp_ns)
        camera = self._intrinsics()
        try:
            decoded = messages.decode(message, self._pipeline.image_size)
        except ImageError as error:
            raise _Dropped("cannot be decoded", str(error)) from None
        if (decoded.width, decoded.height) != (camera.width, camera.height):
            raise _Dropped(
                "size differs from camera_info",
                f"the image has {decoded.width}x{decoded.height} pixels and its camera_info {camera.width}x"
                f"{camera.height}; publish the calibration of these images.",
            )
        laps.lap("decode")
        frame_id = message.header.frame_id.lstrip("/")
        try:
            odom_from_base, base_from_optical = self._poses.lookup(stamp_ns, frame_id, self._settings.transform_timeout)
        except GeometryError as error:
            raise _Dropped("no transform", str(error)) from None
        laps.lap("transform")
        ranging = self._ranging.at(stamp_ns, frame_id, self._settings)
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
        self._check_motion(frame)
        result = self._run(frame, ranging)
        laps.add(result.timings_ms)
        if time.monotonic() - arrival.received > self._settings.stale_after:
            raise _Dropped("took too long", f"an image took more than stale_after, {self._settings.stale_after:g} s.")
        self._last = frame
        self._costmap.publish(result, self._settings)
        self._outputs.publish(message.header, (camera.width, camera.height), result, self._settings)
        laps.lap("publish")
        milliseconds = laps.until(self._now_ns(), stamp_ns)
        horizon = result.horizon.in_words() if result.horizon else ""
        self._health.projected(result.projection, [ranging.explain(reason) for reason in result.refused], horizon)
        self._health.result(time.monotonic(), milliseconds)
        self._outputs.publish_latency(stamp_ns, milliseconds)

    def _check_stamp(self, stamp_ns: int) -> None:
        problem = stamp_problem(stamp_ns, self._now_ns(), self._settings.max_image_age, self._settings.max_image_lead)
        if problem is not None:
            raise _Dropped(*problem)
        last_ns = self._last.stamp_ns if self._last else 0
        if last_ns - stamp_ns > _SET_BACK_NS:
            self._forget(f"image stamps went back by {(last_ns - stamp_ns) / 1e9:.3g} s")
        elif stamp_ns <= last_ns:
            raise _Dropped("out of order", f"its stamp lies {(last_ns - stamp_ns) / 1e9:.3g} s before the last one's.")

    def _intrinsics(self) -> Camera:
        try:
            return self._camera.camera(self._settings.transform_timeout)
        except GeometryError as error:
            raise _Dropped("no camera_info", str(error)) from None

    def _check_motion(self, frame: Frame) -> None:
        """A grid in odom is good only as long as odom is one and the same place."""
        if self._last is None:
            return
        moved = float(np.linalg.norm(frame.odom_from_base.translation - self._last.odom_from_base.translation))
        if moved > _ODOMETRY_NOISE + _FASTEST * (frame.stamp_ns - self._last.stamp_ns) / 1e9:
            self._forget(f"the robot jumped {moved:.3g} m in odom")

    def _run(self, frame: Frame, ranging: Ranging) -> Result:
        self._health.engine_began(time.monotonic())
        try:
            return self._pipeline.process(frame)
        except ProjectionError as error:
            refusal = ranging.explain(error.reason)
            raise _Dropped(refusal.reason, refusal.detail) from None
        except GeometryError as error:
            raise _Dropped("no ground in view", str(error)) from None
        except EngineFailedError as error:
            raise _Dropped("engine failed", str(error)) from None
        except ModelError as error:
            raise _Dropped("no answer of the network", str(error)) from None
        finally:
            self._health.engine_ended(time.monotonic())


class _Laps:
    """The stages of one frame, ms."""

    def __init__(self, arrival: Arrival) -> None:
        self._last = time.monotonic()
        stamp_ns = stamp_of(arrival.message.header)
        self.milliseconds = {
            "receive": (arrival.received_ns - stamp_ns) / 1e6,
            "wait": (self._last - arrival.received) * 1e3,
        }

    def lap(self, stage: str) -> None:
        now = time.monotonic()
        self.milliseconds[stage] = (now - self._last) * 1e3
        self._last = now

    def add(self, stages: Mapping[str, float]) -> None:
        self.milliseconds.update(stages)
        self._last = time.monotonic()

    def until(self, now_ns: int, stamp_ns: int) -> dict[str, float]:
        """All stages, and the time from the image's stamp until now."""
        return {**self.milliseconds, "total": (now_ns - stamp_ns) / 1e6}
