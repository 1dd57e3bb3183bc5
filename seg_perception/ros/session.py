"""The node while it is active: subscriptions, the worker's thread and the watchdog."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration

from seg_perception.errors import ConfigError
from seg_perception.ros.diagnostics.camera_input_state import CameraInputState
from seg_perception.ros.diagnostics.status import StaleCause, stale_cause
from seg_perception.ros.frame_processor import FrameProcessor
from seg_perception.ros.inputs.frame_input import FrameInput, ReceivedImage
from seg_perception.ros.inputs.poses import open_poses
from seg_perception.ros.resources import NodeResources
from seg_perception.ros.worker import Worker

_WATCH_PERIOD = 0.1  # s; the costmap is retracted at most this much later than `stale_after`
_RETRACTION_PERIOD = 1.0  # s; a retraction is repeated, because a bridge may lose one
_STOP_TIMEOUT = 0.5  # s for the frame in progress
_ANY_STEP_BACK = Duration(nanoseconds=-1)


class ActiveSession:
    """Everything between activate and deactivate, from the first subscription to the last costmap.

    The executor's thread receives messages and watches the clock. The worker's thread processes images and publishes
    results. The watchdog runs on the steady clock, so it also works when ROS time stands still.
    """

    def __init__(self, node: Any, resources: NodeResources) -> None:
        """Subscribe and start.

        Raises:
            ConfigError: a QoS parameter has none of its values, or the source of poses lacks something.
        """
        self._node = node
        self._resources = resources
        self._log = node.get_logger()
        self._causes: dict[str, StaleCause | None] = dict.fromkeys(resources.cameras)
        self._retracted_at = 0.0
        settings = resources.settings
        # Since the last activation the surroundings, the costs and the settings may have changed.
        resources.pipeline.reconfigure(resources.matrix, settings.pipeline)
        resources.pipeline.reset()
        self._poses = open_poses(node, settings)
        self._inputs: dict[str, FrameInput] = {}
        try:
            for name, camera in resources.cameras.items():
                take = partial(self._take, name)
                size = camera.engine.card.width, camera.engine.card.height
                self._inputs[name] = FrameInput(
                    node, camera.settings, size, settings, self._poses, take, self._log.warning
                )
        except ConfigError:
            self._close_inputs()
            self._poses.close()
            raise
        self._processor = FrameProcessor(resources, self._inputs, self._now_ns, self._log.warning)
        self._worker = Worker(
            self._processor.process, resources.scheduler(), "perception", self._processor.is_ready, self._replaced
        )
        self._publish_label_info()
        resources.costmap.publish_filter_info(settings)
        for camera in resources.cameras.values():
            camera.statistics.activated(time.monotonic())
        self._watchdog = node.create_timer(_WATCH_PERIOD, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._jumps = node.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=_ANY_STEP_BACK, on_clock_change=True),
            post_callback=self._clock_jumped,
        )

    def camera_state(self, camera: str) -> CameraInputState:
        """The state of a camera's subscriptions."""
        return self._inputs[camera].state()

    def poses(self, camera: str) -> str:
        """The source of a camera's poses, in words."""
        return self._poses.describe(self._resources.cameras[camera].settings.mount)

    def apply_settings(self) -> None:
        """Use the changed settings and matrix of the resources."""
        self._processor.use(self._resources.matrix, self._resources.settings)
        self._publish_label_info()

    def stop(self) -> None:
        """Unsubscribe, finish the frame in progress, and retract the last costmap."""
        self._jumps.unregister()
        self._node.destroy_timer(self._watchdog)
        for camera in self._inputs.values():
            camera.close_images()
        if not self._worker.stop(_STOP_TIMEOUT):
            self._log.error("the engine did not finish in time; its thread is abandoned.")
        for camera in self._inputs.values():
            camera.close_ranges()
        self._poses.close()
        for camera_resources in self._resources.cameras.values():
            camera_resources.statistics.deactivated()
        if self._resources.costmap.retract(self._resources.settings):
            self._resources.costmap.flush()

    def _publish_label_info(self) -> None:
        for camera in self._resources.cameras.values():
            camera.outputs.publish_label_info(self._resources.matrix, self._now_ns())

    def _close_inputs(self) -> None:
        for camera in self._inputs.values():
            camera.close_images()
            camera.close_ranges()

    def _take(self, camera: str, message: Any, received: float) -> None:
        statistics = self._resources.cameras[camera].statistics
        statistics.received(received)
        if self._worker.offer(camera, ReceivedImage(message, received, self._now_ns())):
            self._replaced(camera)

    def _replaced(self, camera: str) -> None:
        self._resources.cameras[camera].statistics.replaced()

    def _watch(self) -> None:
        now, settings = time.monotonic(), self._resources.settings
        causes: dict[str, StaleCause | None] = {}
        for name, camera in self._inputs.items():
            camera.check(now)
            snapshot = self._resources.cameras[name].statistics.snapshot(now)
            causes[name] = stale_cause(snapshot, camera.state(), settings.stale_after)
        is_stale, was_stale = (all(each.values()) for each in (causes, self._causes))
        if is_stale and (not was_stale or now - self._retracted_at >= _RETRACTION_PERIOD):
            self._resources.costmap.retract(settings)
            self._retracted_at = now
        for name, cause in causes.items():
            if cause != self._causes[name]:
                self._log_change(name, cause, is_stale)
        self._causes = causes

    def _log_change(self, camera: str, cause: StaleCause | None, is_stale: bool) -> None:
        """Log that a camera delivers results again, or why it does not."""
        prefix = f"camera '{camera}': " if camera else ""
        if cause is None:
            self._log.info(f"{prefix}results arrive again.")
        elif not self._resources.cameras[camera].statistics.snapshot(time.monotonic()).results:
            self._log.warning(f"{prefix}no costmap yet: {cause}")
        elif is_stale:
            self._log.error(f"{prefix}the costmap is retracted: {cause}")
        else:
            self._log.error(f"{prefix}the cells that only this camera sees are retracted: {cause}")

    def _clock_jumped(self, jump: Any) -> None:
        self._worker.clear()
        self._poses.reset()
        for camera in self._inputs.values():
            camera.reset()
        seconds = jump.delta.nanoseconds / 1e9
        how = f"was set by {seconds:+.3g} s" if seconds else "was replaced by another one"
        self._processor.reset(f"the node's clock {how}")

    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)
