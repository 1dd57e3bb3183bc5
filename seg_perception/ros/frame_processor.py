"""From image messages to published results; runs in the worker's thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from seg_perception.errors import GeometryError, ModelError, ProjectionError
from seg_perception.geometry.stamped_transform import stamp_of
from seg_perception.pipeline.prepared_frame import PreparedFrame
from seg_perception.pipeline.result import Result
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.ros.diagnostics.stamps import stamp_problem
from seg_perception.ros.engine_supervisor import EngineFailedError
from seg_perception.ros.inputs.frame_input import DroppedError, FrameInput, ReceivedImage, StageTimer
from seg_perception.ros.inputs.range_input import RangeMeasurements
from seg_perception.ros.parameters.node_settings import NodeSettings
from seg_perception.ros.resources import CameraResources, NodeResources
from seg_perception.sensor_data.frame import Frame

_SET_BACK_NS = 10**9  # stamps that go back by more than this, and are not too old, mean that the clock was set back
_MAX_SPEED = 60.0  # m/s; odometry that moves faster was reset, or comes from another robot
_ODOMETRY_NOISE = 1.0  # m


@dataclass(eq=False)
class CameraState:
    """One camera and its latest result."""

    resources: CameraResources
    input: FrameInput
    last_stamp_ns: int = 0
    last_result: Result | None = None


@dataclass(frozen=True, eq=False)
class PendingFrame:
    """A frame that is ready for the network."""

    camera: CameraState
    image: ReceivedImage
    timer: StageTimer
    measurements: RangeMeasurements
    prepared: PreparedFrame


class FrameProcessor:
    """Turns received images into published results. It counts each image without a result, by its reason."""

    def __init__(
        self,
        resources: NodeResources,
        inputs: dict[str, FrameInput],
        now_ns: Callable[[], int],
        warn: Callable[[str], None],
    ) -> None:
        """Create it.

        Args:
            resources: pipeline, publishers and statistics. From here on only the worker's thread may use the pipeline.
            inputs: of each camera.
            now_ns: the node's clock, nanoseconds.
            warn: logs a warning.
        """
        self._pipeline = resources.pipeline
        self._settings = resources.settings
        self._costmap = resources.costmap
        self._cameras = {name: CameraState(camera, inputs[name]) for name, camera in resources.cameras.items()}
        self._now_ns = now_ns
        self._warn = warn
        self._lock = threading.Lock()
        self._next_settings: tuple[CostMatrix, NodeSettings] | None = None
        self._reset_reason = ""
        self._newest: Frame | None = None

    def use(self, matrix: CostMatrix, settings: NodeSettings) -> None:
        """Use this matrix and these settings from the next frame on; callable from any thread."""
        with self._lock:
            self._next_settings = matrix, settings

    def reset(self, reason: str) -> None:
        """Empty the grid before the next frame; callable from any thread."""
        with self._lock:
            self._reset_reason = reason

    def is_ready(self, name: str, image: ReceivedImage) -> bool:
        """Whether an image need not wait any longer for calibration and poses; raises nothing.

        With a single camera the image waits while it is processed, because no other camera is delayed.
        """
        with self._lock:
            _, settings = self._next_settings or (None, self._settings)
        if len(self._cameras) == 1 or time.monotonic() - image.received >= settings.transform_timeout:
            return True
        try:
            return self._cameras[name].input.is_ready(image)
        except Exception:  # processing the image raises it again, and counts it
            return True

    def process(self, images: Sequence[tuple[str, ReceivedImage]]) -> None:
        """Process images of several cameras that share a network in one batch; raises nothing.

        Args:
            images: (camera, image) of each.
        """
        pending: list[PendingFrame] = []
        for name, image in images:
            camera = self._cameras[name]
            with self._counting_drops(camera):
                self._apply_changes()
                pending.append(self._prepare(camera, image))
        if not pending:
            return
        results: list[Result] = []
        with self._counting_drops(*(frame.camera for frame in pending)):
            results = self._run(pending)
        for frame, result in zip(pending, results, strict=False):
            with self._counting_drops(frame.camera):
                self._publish(frame, result)

    @contextmanager
    def _counting_drops(self, *cameras: CameraState) -> Iterator[None]:
        """Count the images that an exception drops, by the reason."""
        try:
            yield
        except DroppedError as drop:
            for camera in cameras:
                camera.resources.statistics.dropped(drop.reason, drop.detail)
        except Exception as error:  # of any kind: the node must process the next image
            for camera in cameras:
                camera.resources.statistics.dropped("unexpected error", f"{type(error).__name__}: {error}")
            self._warn(f"an image was dropped because of an unexpected error: {type(error).__name__}: {error}")

    def _apply_changes(self) -> None:
        with self._lock:
            change, self._next_settings = self._next_settings, None
            reason, self._reset_reason = self._reset_reason, ""
        if change is not None:
            matrix, self._settings = change
            self._pipeline.reconfigure(matrix, self._settings.pipeline)
        if reason:
            self._reset(reason)

    def _reset(self, reason: str) -> None:
        self._warn(f"{reason}: the grid is emptied.")
        self._pipeline.reset()
        self._newest = None
        for camera in self._cameras.values():
            camera.last_stamp_ns = 0

    def _prepare(self, camera: CameraState, image: ReceivedImage) -> PendingFrame:
        timer = StageTimer(image)
        self._check_stamp(camera, stamp_of(image.message.header))
        # With several cameras, the image has already waited in the scheduler.
        timeout = self._settings.transform_timeout if len(self._cameras) == 1 else 0.0
        frame, measurements = camera.input.frame_of(image, timer, self._settings, timeout)
        self._check_motion(frame)
        try:
            prepared = self._pipeline.prepare(frame, camera.resources.engine)
        except ProjectionError as error:
            refusal = measurements.explain(error.reason)
            raise DroppedError(refusal.reason, refusal.detail) from None
        except GeometryError as error:
            raise DroppedError("no ground in view", str(error)) from None
        return PendingFrame(camera, image, timer, measurements, prepared)

    def _check_stamp(self, camera: CameraState, stamp_ns: int) -> None:
        problem = stamp_problem(stamp_ns, self._now_ns(), self._settings.max_image_age, self._settings.max_image_lead)
        if problem is not None:
            raise DroppedError(*problem)
        back = (camera.last_stamp_ns - stamp_ns) / 1e9
        if back * 1e9 > _SET_BACK_NS:
            self._reset(f"image stamps went back by {back:.3g} s")
        elif back >= 0:
            raise DroppedError("out of order", f"its stamp is {back:.3g} s before that of the previous image.")
        newest = self._newest
        if newest is not None and stamp_ns < newest.stamp_ns and not self._pipeline.grid.is_late(stamp_ns):
            raise DroppedError(
                "far behind another camera",
                f"its stamp is {(newest.stamp_ns - stamp_ns) / 1e9:.3g} s before that of the latest image of "
                f"'{newest.frame_id}'; synchronise the clocks of the cameras, or reduce the delay of this one.",
            )

    def _check_motion(self, frame: Frame) -> None:
        """Empty the grid if the robot jumped in odom, because its cells are then in the wrong place."""
        if self._newest is None:
            return
        moved = float(np.linalg.norm(frame.odom_from_base.translation - self._newest.odom_from_base.translation))
        if moved > _ODOMETRY_NOISE + _MAX_SPEED * abs(frame.stamp_ns - self._newest.stamp_ns) / 1e9:
            self._reset(f"the robot jumped {moved:.3g} m in odom")

    def _run(self, pending: Sequence[PendingFrame]) -> list[Result]:
        prepared = [frame.prepared for frame in pending]
        all_statistics = [camera.resources.statistics for camera in self._cameras.values()]
        for statistics in all_statistics:  # every camera waits for this run
            statistics.engine_started(time.monotonic())
        try:
            results = self._pipeline.finish(prepared, self._stale_results(pending), self._settings.stale_after)
        except EngineFailedError as error:
            raise DroppedError("engine failed", str(error)) from None
        except ModelError as error:
            raise DroppedError("no output of the network", str(error)) from None
        finally:
            for statistics in all_statistics:
                statistics.engine_finished(time.monotonic())
        for frame, result in zip(pending, results, strict=True):
            frame.camera.last_stamp_ns, frame.camera.last_result = result.frame.stamp_ns, result
            if self._newest is None or result.frame.stamp_ns > self._newest.stamp_ns:
                self._newest = result.frame
        return results

    def _stale_results(self, pending: Sequence[PendingFrame]) -> list[Result]:
        """The last results of the stale cameras: those without a new result for `stale_after`."""
        now, active = time.monotonic(), [frame.camera for frame in pending]
        return [
            camera.last_result
            for camera in self._cameras.values()
            if camera.last_result is not None
            and camera not in active
            and camera.resources.statistics.seconds_without_result(now) >= self._settings.stale_after
        ]

    def _publish(self, pending: PendingFrame, result: Result) -> None:
        camera, image, timer = pending.camera.resources, pending.image, pending.timer
        stamp_ns = result.frame.stamp_ns
        timer.add(result.timings_ms)
        if time.monotonic() - image.received > self._settings.stale_after:
            raise DroppedError(
                "took too long", f"an image took more than stale_after, {self._settings.stale_after:g} s."
            )
        self._costmap.publish(result, self._settings, camera.settings.name)
        size = result.frame.camera.width, result.frame.camera.height
        camera.outputs.publish(image.message.header, size, result, self._settings)
        timer.end_stage("publish")
        milliseconds = timer.finish(self._now_ns(), stamp_ns)
        refusals = [pending.measurements.explain(reason) for reason in result.refused]
        correction = result.attitude_correction
        camera.statistics.projected(result.projection, refusals, correction.describe() if correction else "")
        camera.statistics.result(time.monotonic(), milliseconds)
        camera.outputs.publish_latency(stamp_ns, milliseconds)
