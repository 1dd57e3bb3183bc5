"""Staleness, parameters and lifecycle of the node as its own process, over real DDS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from support.ros import node_process

node_process.isolate()

from sensor_msgs.msg import Image
from support.ros.node_process import NodeProcess
from support.ros.robot import (
    ERROR,
    Robot,
    cells,
    nanoseconds,
    share,
)


def stale_costmap(robot: Robot, action: Callable[[], Any] = lambda: None) -> tuple[np.ndarray, np.ndarray, float]:
    """The costmap before and after the camera stops, and the time between the two, s."""
    last = robot.drive()
    start = robot.now_ns()
    robot.received["costmap"].clear()
    action()
    grid = robot.wait(lambda: robot.received["costmap"], "the retraction of the costmap")[-1]
    return last, cells(grid), (nanoseconds(grid.header.stamp) - start) / 1e9


def test_costmap_is_retracted_when_the_camera_stops(robot: Robot) -> None:
    last, after, seconds = stale_costmap(robot)
    assert (last >= 0).any() and (after == -1).all()
    assert 0.4 < seconds < 0.6 + 0.6
    robot.diagnosis("no image arrived", level=ERROR)
    assert share(robot.drive(), 0, 7) == 1.0, "recovers"


def test_stale_cost_makes_the_field_of_view_lethal(robot: Robot) -> None:
    assert robot.set(stale_cost="lethal") == ""
    last, after, _ = stale_costmap(robot)
    assert (after[last >= 0] == 100).all() and set(np.unique(after)) == {-1, 100}
    assert robot.set(stale_cost="unknown") == ""


def test_costs_and_risk_level_change_while_running(robot: Robot) -> None:
    assert robot.set(cost_overrides=["traverse.road: 200"]) == ""
    assert share(robot.drive(), 75, 82) == 1.0
    assert robot.set(cost_overrides=[""], risk__alpha=0.95) == ""
    assert robot.drive().max() > 7, "CVaR averages the most expensive 5 %"
    assert robot.set(risk__alpha=-1.0) == ""
    assert share(robot.drive(), 0, 7) == 1.0


def test_cost_matrix_changes_without_dropping_a_frame(robot: Robot, folder: Path, parameters: dict[str, Any]) -> None:
    expensive = folder / "expensive.yaml"
    expensive.write_text(Path(parameters["cost_matrix"]).read_text().replace("road: 0", "road: 100"))
    robot.subscribe(Image, "labels")
    robot.spin(0.3)
    robot.received["costmap"].clear()
    robot.received["labels"].clear()
    sent = []
    for number in range(30):
        image = robot.image()
        robot.send(image)
        sent.append(nanoseconds(image.header.stamp))
        if number == 15:  # while the node works on this image
            assert robot.set(cost_matrix=str(expensive)) == ""
        # The node replaces images that wait, so the next one is sent when this one has its labels.
        robot.wait(lambda: len(robot.received["labels"]) == len(sent), f"the labels of image {number}")
        robot.spin(0.05)
    try:
        robot.costmap_at(sent[-1])
        assert [nanoseconds(labels.header.stamp) for labels in robot.received["labels"]] == sent
        medians = {
            nanoseconds(grid.header.stamp): np.median(cells(grid)[cells(grid) >= 0])
            for grid in robot.received["costmap"]
        }
        before, after = ([medians[stamp] for stamp in part if stamp in medians] for part in (sent[:15], sent[17:]))
        assert max(before) <= 7 and min(after) >= 39
    finally:
        assert robot.set(cost_matrix=parameters["cost_matrix"]) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cost_matrix": "/nowhere.yaml"}, "nowhere.yaml"),
        ({"cost_overrides": ["traverse.mud: 3"]}, "mud"),
        ({"ground__max_range": 0.2}, "max_range"),
        ({"stale_cost": "free"}, "stale_cost"),
        ({"grid__width": 30.0}, "read"),
        ({"risk__lethal_at": 400.0}, "lethal_at"),
    ],
)
def test_invalid_change_is_rejected_with_a_sentence(robot: Robot, change: dict[str, Any], words: str) -> None:
    assert words in robot.set(**change)
    assert share(robot.drive(), 0, 7) == 1.0


def test_impossible_transition_is_refused(robot: Robot, process: NodeProcess) -> None:
    assert not robot.try_transition("cleanup"), "an active node cannot be cleaned up"
    assert process.returncode is None
    assert share(robot.drive(), 0, 7) == 1.0


def test_deactivating_retracts_the_costmap(robot: Robot) -> None:
    robot.drive()
    robot.received["costmap"].clear()
    assert robot.change_state("deactivate")
    grid = robot.wait(lambda: robot.received["costmap"], "the retraction of the costmap")[-1]
    assert (cells(grid) == -1).all()
    assert robot.change_state("cleanup") and robot.state() == "unconfigured"
    robot.activate()
    assert share(robot.drive(), 0, 7) == 1.0
