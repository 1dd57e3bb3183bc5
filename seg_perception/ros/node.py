"""perception_node: a lifecycle node from a camera topic to a costmap topic (docs/reference/node.md)."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

from seg_perception.errors import SegPerceptionError
from seg_perception.ros.diagnostics.build_reporter import build_reporter
from seg_perception.ros.diagnostics.status import status_of
from seg_perception.ros.diagnostics.status_message import diagnostics_message
from seg_perception.ros.parameters import declaration
from seg_perception.ros.parameters.node_settings import NodeSettings, load_matrix
from seg_perception.ros.resources import NodeResources, OpenNetwork, open_network
from seg_perception.ros.session import ActiveSession

_WAKE_S = 0.1  # longest time until Ctrl-C is noticed
_DIAGNOSTICS_PERIOD = 1.0  # s, what diagnostic_aggregator expects
_USER_ERROR = 2


class PerceptionNode(LifecycleNode):
    """The lifecycle node.

    configure loads matrix, model and engine, and creates the publishers. activate subscribes and starts the worker.
    deactivate retracts the last costmap, so that no subscriber keeps an outdated map.
    """

    def __init__(
        self, open_network: OpenNetwork = open_network, is_stopping: Callable[[], bool] = lambda: False
    ) -> None:
        """Create it, unconfigured.

        Args:
            open_network: opens the engine that the settings select.
            is_stopping: whether the process was asked to end; this also ends the build of an engine.

        Raises:
            ConfigError: the value of a parameter has a wrong type or is out of range.
        """
        super().__init__("perception")
        self._open_network = open_network
        self._is_stopping = is_stopping
        self._resources: NodeResources | None = None
        self._session: ActiveSession | None = None
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_DIAGNOSTICS_PERIOD, self._diagnose, clock=steady)
        declaration.declare(self)
        declaration.on_change(self, self._check_change, self._apply_change)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load everything; on failure log the reason and stay unconfigured."""
        try:
            reporter = build_reporter(self, self._diagnostics, self._is_stopping)
            self._resources = NodeResources(self, declaration.current(self), self._open_network, reporter)
        except SegPerceptionError as error:
            self.get_logger().error(f"not configured: {error}")
            return TransitionCallbackReturn.FAILURE
        except KeyboardInterrupt:
            self.get_logger().info("not configured: interrupted during the build of an engine")
            return TransitionCallbackReturn.FAILURE
        networks = dict.fromkeys(camera.engine.describe() for camera in self._resources.cameras.values())
        self.get_logger().info(f"configured: {'; '.join(networks)}")
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start; on failure log the reason and stay inactive."""
        assert self._resources is not None
        done = super().on_activate(state)
        try:
            self._session = ActiveSession(self, self._resources)
        except SegPerceptionError as error:
            self.get_logger().error(f"not activated: {error}")
            super().on_deactivate(state)
            return TransitionCallbackReturn.FAILURE
        return done

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop, and retract the last costmap."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything that configure loaded."""
        self._unload()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and release, from any state."""
        self._stop()
        self._unload()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Return to unconfigured, so that configure can be tried again."""
        self._stop()
        self._unload()
        return TransitionCallbackReturn.SUCCESS

    def _stop(self) -> None:
        if self._session is not None:
            self._session.stop()
            self._session = None

    def _unload(self) -> None:
        if self._resources is not None:
            self._resources.close()
            self._resources = None

    def _check_change(self, settings: NodeSettings) -> None:
        if self._resources is not None:
            self._checked = load_matrix(settings, self._resources.classes)

    def _apply_change(self, settings: NodeSettings) -> None:
        if self._resources is not None:
            # The matrix that was checked, because its file may have changed since.
            self._resources.use(settings, self._checked)
        if self._session is not None:
            self._session.apply_settings()

    def _diagnose(self) -> None:
        if self._resources is None:
            return
        for name, camera in self._resources.cameras.items():
            state = self._session.camera_state(name) if self._session else None
            status = status_of(
                camera.statistics.snapshot(time.monotonic()),
                state,
                camera.engine.state,
                camera.engine.describe(),
                self._session.poses(name) if self._session else "",
                self._resources.settings,
            )
            now_ns = self.get_clock().now().nanoseconds
            own_name = self.get_fully_qualified_name().lstrip("/")
            status_name = f"{own_name}: {name}" if name else own_name
            self._diagnostics.publish(diagnostics_message(status, now_ns, status_name, state.topic if state else ""))


def main(arguments: Sequence[str] | None = None, open_network: OpenNetwork = open_network) -> int:
    """Run the node until Ctrl-C or SIGTERM.

    Args:
        arguments: the command line, ROS arguments included; `sys.argv` when None.
        open_network: opens the engine that the settings select.

    Returns:
        The exit code: 0 stopped, 2 an error in the parameters, which one sentence on stderr explains.
    """
    stop = threading.Event()

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        stop.set()

    # rclpy's own handlers would end the context before the last costmap could be retracted.
    try:
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, ask_to_stop)
        node = PerceptionNode(open_network, stop.is_set)
    except (
        SegPerceptionError,
        ParameterException,
        RuntimeError,
    ) as error:  # RuntimeError: bad ROS arguments
        print(f"perception_node: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return _USER_ERROR
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not stop.is_set():
            try:
                executor.spin_once(timeout_sec=_WAKE_S)
            except ExternalShutdownException:
                break
            except Exception as error:  # a bad request, such as an impossible transition, must not end the node
                node.get_logger().error(f"{type(error).__name__}: {error}")
    finally:
        if rclpy.ok():
            node.trigger_shutdown()
        executor.shutdown(timeout_sec=_WAKE_S)
        node.destroy_node()
        rclpy.try_shutdown()
        # launch sends a second SIGINT after the terminal's own; it must not interrupt the shutdown.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return 0


if __name__ == "__main__":
    sys.exit(main())
