"""What the node does with a network that breaks, hangs or gives nonsense: in this process, over real DDS."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from support import node_process as ros_support

ros_support.isolate()

import yaml
from support.node_in_process import Fragile, node_with
from support.robot import ERROR, Robot, cells, nanoseconds, values, write_model

from seg_perception.errors import ModelError
from seg_perception.ros.parameters.node_settings import settings_of

_NUMBERS = count(1)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[tuple[Fragile, Robot]]:
    parameters = write_model(tmp_path)
    mount = yaml.safe_load(parameters["mount"])
    fragile = Fragile(settings_of({**parameters, "mount": mount}))
    # A name for each: the lifecycle services of a destroyed node linger until its process ends, and answer nobody.
    name = f"fragile_{next(_NUMBERS)}"
    with node_with(fragile, parameters, tmp_path, name), Robot(node=name) as robot:
        robot.activate()
        robot.drive()
        yield fragile, robot


def test_a_broken_engine_is_told_opened_again_with_growing_waits_and_recovers(network: tuple[Fragile, Robot]) -> None:
    fragile, robot = network
    fragile.fault = RuntimeError("CUDA error 700: an illegal memory access was encountered")
    opened = fragile.opened
    robot.heard["costmap"].clear()
    status = robot.diagnosis("illegal memory access", lambda: robot.send(robot.image()), level=ERROR)
    assert int(values(status)["dropped: engine failed"]) > 0
    assert all((cells(grid) == -1).all() for grid in robot.heard["costmap"])
    robot.diagnosis("3 times in a row", lambda: robot.send(robot.image()))
    assert 2 <= fragile.opened - opened <= 4, "opened again, but not for every image"
    fragile.fault = None
    robot.diagnosis("images were dropped", lambda: robot.send(robot.image()))
    assert (robot.drive() >= 0).any(), "by itself"


def test_an_engine_that_hangs_makes_the_costmap_unknown_and_is_named(network: tuple[Fragile, Robot]) -> None:
    fragile, robot = network
    fragile.gate.clear()
    robot.heard["costmap"].clear()
    stuck = robot.image()
    robot.send(stuck)
    robot.diagnosis("busy with one image", lambda: robot.send(robot.image()), level=ERROR)
    grids = robot.wait(lambda: robot.heard["costmap"], "the costmap to be taken back")
    assert all((cells(grid) == -1).all() for grid in grids)
    fragile.gate.set()
    robot.spin(0.3)
    stamps = [nanoseconds(grid.header.stamp) for grid in robot.heard["costmap"]]
    assert nanoseconds(stuck.header.stamp) not in stamps, "what the engine gives when it wakes is too old"
    assert (robot.drive() >= 0).any()


def test_scores_that_are_not_finite_cost_one_image_only(network: tuple[Fragile, Robot]) -> None:
    fragile, robot = network
    opened = fragile.opened
    fragile.fault = ModelError("the network 'tiny' gave numbers that are not finite for this image.")
    robot.send(robot.image())
    robot.spin(0.3)
    fragile.fault = None
    assert (robot.drive() >= 0).any()
    assert fragile.opened == opened, "the engine is not to blame"
    status = robot.diagnosis("")
    assert values(status)["dropped: no answer of the network"] == "1"


def test_deactivating_does_not_wait_for_an_engine_that_hangs(network: tuple[Fragile, Robot]) -> None:
    fragile, robot = network
    fragile.gate.clear()
    robot.send(robot.image())
    robot.spin(0.2)
    robot.heard["costmap"].clear()
    before = robot.now_ns()
    assert robot.change_state("deactivate")
    assert robot.now_ns() - before < 2 * 10**9
    grid = robot.wait(lambda: robot.heard["costmap"], "the last word")[-1]
    assert np.all(cells(grid) == -1)
