"""What the node holds while it is active: subscriptions, the worker's thread, the watchdog."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration

from seg_perception.errors import ConfigError
from seg_perception.ros.diagnostics.status import Cause, stale_cause
from seg_perception.ros.frame_processor import Perceiver
from seg_perception.ros.inputs.camera_input import CameraState
from seg_perception.ros.inputs.frame_input import Arrival, FrameInput
from seg_perception.ros.inputs.poses import open_poses
from seg_perception.ros.resources import Loaded
from seg_perception.ros.worker import Worker

_WATCH_PERIOD = 0.1  # s; how much later than `stale_after` the costmap is taken back at most
_BLANK_PERIOD = 1.0  # s; a blank costmap is repeated, for a bridge that may lose one
_STOP_TIMEOUT = 0.5  # s for the frame in progress
_ANY_STEP_BACK = Duration(nanoseconds=-1)


class Running:
    """From the first subscription to the last costmap.

    The executor's thread only takes messages in and looks after the clock; images are worked on, and results
    published, in the worker's thread. The watchdog runs on the steady clock: it bites when ROS time stands still, too.
    """

    def __init__(self, node: Any, loaded: Loaded) -> None:
        """Subscribe and start.

        Raises:
            ConfigError: poses or images cannot be had the way the parameters say.
        """
        self._node = node
        self._loaded = loaded
        self._log = node.get_logger()
        self._causes: dict[str, Cause | None] = dict.fromkeys(loaded.cameras)
        self._blanked = 0.0
        settings = loaded.settings
        # What was seen before the node was put to rest may be gone, and costs may have changed meanwhile.
        loaded.pipeline.use(loaded.matrix, settings.pipeline)
        loaded.pipeline.forget()
        self._poses = open_poses(node, settings)
        self._inputs: dict[str, FrameInput] = {}
        try:
            for name, camera in loaded.cameras.items():
                take = partial(self._take, name)
                self._inputs[name] = FrameInput(node, camera, settings, self._poses, take, self._log.warning)
        except ConfigError:
            self._close_inputs()
            self._poses.close()
            raise
        self._perceiver = Perceiver(loaded, self._inputs, self._now_ns, self._log.warning)
        self._worker = Worker(
            self._perceiver.process, loaded.mailboxes(), "perception", self._perceiver.may_begin, self._replaced
        )
        self._announce()
        loaded.costmap.announce(settings)
        for camera in loaded.cameras.values():
            camera.health.activated(time.monotonic())
        self._watchdog = node.create_timer(_WATCH_PERIOD, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._jumps = node.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=_ANY_STEP_BACK, on_clock_change=True),
            post_callback=self._clock_jumped,
        )

    def camera_state(self, camera: str) -> CameraState:
        """What is known about a camera's topics."""
        return self._inputs[camera].state()

    def poses(self, camera: str) -> str:
        """Where the poses of a camera come from, in words."""
        return self._poses.describe(self._loaded.cameras[camera].settings.mount)

    def follow(self) -> None:
        """Work on with what has changed in the settings."""
        self._perceiver.use(self._loaded.matrix, self._loaded.settings)
        self._announce()

    def stop(self) -> None:
        """Take in nothing more, finish the frame in progress, and take the last costmap back."""
        self._jumps.unregister()
        self._node.destroy_timer(self._watchdog)
        for camera in self._inputs.values():
            camera.close_images()
        if not self._worker.stop(_STOP_TIMEOUT):
            self._log.error("the engine has not answered in time; it is left behind.")
        for camera in self._inputs.values():
            camera.close_ranging()
        self._poses.close()
        for loaded in self._loaded.cameras.values():
            loaded.health.deactivated()
        if self._loaded.costmap.blank(self._loaded.settings):
            self._loaded.costmap.flush()

    def _announce(self) -> None:
        for camera in self._loaded.cameras.values():
            camera.outputs.announce(self._loaded.matrix, self._now_ns())

    def _close_inputs(self) -> None:
        for camera in self._inputs.values():
            camera.close_images()
            camera.close_ranging()

    def _take(self, camera: str, message: Any, received: float) -> None:
        health = self._loaded.cameras[camera].health
        health.received(received)
        if self._worker.offer(camera, Arrival(message, received, self._now_ns())):
            self._replaced(camera)

    def _replaced(self, camera: str) -> None:
        self._loaded.cameras[camera].health.replaced()

    def _watch(self) -> None:
        now, settings = time.monotonic(), self._loaded.settings
        causes: dict[str, Cause | None] = {}
        for name, camera in self._inputs.items():
            camera.check(now)
            figures = self._loaded.cameras[name].health.figures(now)
            causes[name] = stale_cause(figures, camera.state(), settings.stale_after)
        is_stale, was_stale = (all(each.values()) for each in (causes, self._causes))
        if is_stale and (not was_stale or now - self._blanked >= _BLANK_PERIOD):
            self._loaded.costmap.blank(settings)
            self._blanked = now
        for name, cause in causes.items():
            if cause != self._causes[name]:
                self._tell(name, cause, is_stale)
        self._causes = causes

    def _tell(self, camera: str, cause: Cause | None, is_stale: bool) -> None:
        """Log that a camera gives results again, or why it gives none."""
        who = f"camera '{camera}': " if camera else ""
        if cause is None:
            self._log.info(f"{who}results are coming again.")
        elif not self._loaded.cameras[camera].health.figures(time.monotonic()).results:
            self._log.warning(f"{who}no costmap yet: {cause}")
        elif is_stale:
            self._log.error(f"{who}the costmap is taken back: {cause}")
        else:
            self._log.error(f"{who}what only it could see is taken back: {cause}")

    def _clock_jumped(self, jump: Any) -> None:
        self._worker.clear()
        self._poses.reset()
        for camera in self._inputs.values():
            camera.reset()
        seconds = jump.delta.nanoseconds / 1e9
        how = f"was set by {seconds:+.3g} s" if seconds else "was changed for another"
        self._perceiver.reset(f"the node's clock {how}")

    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)
