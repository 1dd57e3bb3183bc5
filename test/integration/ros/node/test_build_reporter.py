"""The node reports the progress of an engine's build, and can be stopped during it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import TransitionCallbackReturn
from support.ros.node_process import isolate

from seg_perception.inference.progress import ProgressReporter
from seg_perception.ros.diagnostics import build_reporter as build_reporter_module
from seg_perception.ros.diagnostics.build_reporter import build_reporter
from seg_perception.ros.node import PerceptionNode
from seg_perception.ros.parameters.node_settings import NodeSettings

WARN = bytes([1])


class FakeNode:
    """Stores what is logged and published."""

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


def test_progress_is_logged_every_ten_percent_and_published_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(build_reporter_module.time, "monotonic", lambda: now)
    node = FakeNode()
    reporter = build_reporter(node, node, lambda: False)
    reporter.log("building a plan of urban")
    for step in range(1, 401):
        now = step * 0.01
        reporter.progress(step / 400)
    assert node.logged[:3] == [
        "building a plan of urban", "building the engine: 10%", "building the engine: 20%"
    ]  # fmt: skip
    assert len(node.logged) == 11 and node.logged[-1] == "building the engine: 100%"
    assert len(node.published) == 4
    (status,) = node.published[1].status
    assert (status.level, status.name) == (WARN, "robot/perception")
    assert status.message == "the engine is being built: 25% done."
    assert node.published[0].header.stamp.sec == 7


def test_stopping_the_node_ends_the_build() -> None:
    isolate()
    # Its own name: the lifecycle services of a destroyed node remain until its process ends, without answers.
    own_name = ["-r", "__node:=stopped_while_building"]
    rclpy.init(args=["--ros-args", *own_name, "-p", "mount:=[0.0, 0.0, 1.0, 0.0, 0.1, 0.0]"])
    steps: list[float] = []

    def open_network(settings: NodeSettings, reporter: ProgressReporter) -> Any:
        for step in range(100):
            steps.append(step / 100)
            reporter.progress(step / 100)

    node = PerceptionNode(open_network, is_stopping=lambda: len(steps) > 5)
    try:
        assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
        assert len(steps) == 6
    finally:
        node.destroy_node()
        rclpy.shutdown()
