"""What the node holds while it is active: subscriptions, the worker's thread, the watchdog."""

from __future__ import annotations

import time
from typing import Any

from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration

from seg_perception.errors import ConfigError
from seg_perception.ros.camera_input import CameraInput, CameraState
from seg_perception.ros.loaded import Loaded
from seg_perception.ros.perceiver import Arrival, Perceiver
from seg_perception.ros.poses import open_poses
from seg_perception.ros.ranging_input import RangingInput
from seg_perception.ros.status import Cause, stale_cause
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
        self._cause: Cause | None = None
        self._blanked = 0.0
        settings = loaded.settings
        # What was seen before the node was put to rest may be gone, and costs may have changed meanwhile.
        loaded.pipeline.use(loaded.matrix, settings.pipeline)
        loaded.pipeline.forget()
        self._poses = open_poses(node, settings)
        try:
            self._camera = CameraInput(
                node, settings.image_transport, settings.image_reliability, self._take, self._log.warning
            )
        except ConfigError:
            self._poses.close()
            raise
        self._ranging = RangingInput(node, settings, self._poses)
        self._perceiver = Perceiver(loaded, self._camera, self._poses, self._ranging, self._now_ns, self._log.warning)
        self._worker = Worker(self._perceiver.process, "perception")
        loaded.outputs.announce(loaded.matrix, self._now_ns())
        loaded.costmap.announce(settings)
        loaded.health.activated(time.monotonic())
        self._watchdog = node.create_timer(_WATCH_PERIOD, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._jumps = node.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=_ANY_STEP_BACK, on_clock_change=True),
            post_callback=self._clock_jumped,
        )

    def camera_state(self) -> CameraState:
        """What is known about the camera's topics."""
        return self._camera.state()

    def poses(self) -> str:
        """Where poses come from, in words."""
        return self._poses.describe()

    def follow(self) -> None:
        """Work on with what has changed in the settings."""
        self._perceiver.use(self._loaded.matrix, self._loaded.settings)
        self._loaded.outputs.announce(self._loaded.matrix, self._now_ns())

    def stop(self) -> None:
        """Take in nothing more, finish the frame in progress, and take the last costmap back."""
        self._jumps.unregister()
        self._node.destroy_timer(self._watchdog)
        self._camera.close()
        if not self._worker.stop(_STOP_TIMEOUT):
            self._log.error("the engine has not answered in time; it is left behind.")
        self._ranging.close()
        self._poses.close()
        self._loaded.health.deactivated()
        if self._loaded.costmap.blank(self._loaded.settings):
            self._loaded.costmap.flush()

    def _take(self, message: Any, received: float) -> None:
        self._loaded.health.received(received)
        if self._worker.offer(Arrival(message, received, self._now_ns())):
            self._loaded.health.replaced()

    def _watch(self) -> None:
        now, settings = time.monotonic(), self._loaded.settings
        self._camera.check(now)
        figures = self._loaded.health.figures(now)
        cause = stale_cause(figures, self._camera.state(), settings.stale_after)
        if cause is None:
            if self._cause is not None:
                self._log.info("results are coming again.")
        else:
            if self._cause is None or now - self._blanked >= _BLANK_PERIOD:
                self._loaded.costmap.blank(settings)
                self._blanked = now
            if cause != self._cause and figures.results:
                self._log.error(f"the costmap is taken back: {cause}")
            elif cause != self._cause:
                self._log.warning(f"no costmap yet: {cause}")
        self._cause = cause

    def _clock_jumped(self, jump: Any) -> None:
        self._worker.clear()
        self._poses.reset()
        self._ranging.reset()
        seconds = jump.delta.nanoseconds / 1e9
        how = f"was set by {seconds:+.3g} s" if seconds else "was changed for another"
        self._perceiver.reset(f"the node's clock {how}")

    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)
