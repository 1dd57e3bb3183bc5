"""What the node says while its engine is being built, and that it can be stopped meanwhile."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import TransitionCallbackReturn
from support.node_process import isolate

from seg_perception.inference.tensorrt.open import Watch
from seg_perception.ros.diagnostics import build_watch as room
from seg_perception.ros.diagnostics.build_watch import build_watch
from seg_perception.ros.node import PerceptionNode
from seg_perception.ros.parameters.node_settings import NodeSettings

WARN = bytes([1])


class Listener:
    """A node that writes down what it logs and publishes."""

    def __init__(self) -> None:
        self.logged: list[str] = []
        self.published: list[DiagnosticArray] = []

    def get_logger(self) -> Any:
        return SimpleNamespace(info=self.logged.append)

    def get_clock(self) -> Any:
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=7 * 10**9))

    def get_fully_qualified_name(self) -> str:
        return "/robot/perception"

    def publish(self, message: DiagnosticArray) -> None:
        self.published.append(message)


def test_the_log_tells_every_tenth_and_diagnostics_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(room.time, "monotonic", lambda: now)
    listener = Listener()
    watch = build_watch(listener, listener, lambda: False)
    watch.say("building a plan of urban")
    for step in range(1, 401):
        now = step * 0.01
        watch.progress(step / 400)
    assert listener.logged[:3] == [
        "building a plan of urban", "building the engine: 10%", "building the engine: 20%"
    ]  # fmt: skip
    assert len(listener.logged) == 11 and listener.logged[-1] == "building the engine: 100%"
    assert len(listener.published) == 4
    (status,) = listener.published[1].status
    assert (status.level, status.name) == (WARN, "robot/perception")
    assert status.message == "the engine is being built: 25% done."
    assert listener.published[0].header.stamp.sec == 7


def test_a_node_that_is_asked_to_end_ends_the_build_too() -> None:
    isolate()
    # A name of its own: the lifecycle services of a destroyed node linger until its process ends, and answer nobody.
    own_name = ["-r", "__node:=stopped_while_building"]
    rclpy.init(args=["--ros-args", *own_name, "-p", "mount:=[0.0, 0.0, 1.0, 0.0, 0.1, 0.0]"])
    steps: list[float] = []

    def open_network(settings: NodeSettings, watch: Watch) -> Any:
        for step in range(100):
            steps.append(step / 100)
            watch.progress(step / 100)

    node = PerceptionNode(open_network, is_stopping=lambda: len(steps) > 5)
    try:
        assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
        assert len(steps) == 6
    finally:
        node.destroy_node()
        rclpy.shutdown()
