"""The node with a network that fails, hangs or gives invalid output: in this process, over real DDS."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from support.ros import node_process

node_process.isolate()

import yaml
from support.ros.node_in_process import FaultyNetwork, running_node
from support.ros.robot import ERROR, Robot, cells, nanoseconds, values, write_model

from seg_perception.errors import ModelError
from seg_perception.ros.parameters.conversion import read_node_settings

_NUMBERS = count(1)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[tuple[FaultyNetwork, Robot]]:
    parameters = write_model(tmp_path)
    mount = yaml.safe_load(parameters["mount"])
    faulty = FaultyNetwork(read_node_settings({**parameters, "mount": mount}))
    # A name for each: the lifecycle services of a destroyed node remain until its process ends, without answers.
    name = f"faulty_{next(_NUMBERS)}"
    with running_node(faulty, parameters, tmp_path, name), Robot(node=name) as robot:
        robot.activate()
        robot.drive()
        yield faulty, robot


def test_failed_engine_is_reported_and_opened_again_with_backoff(network: tuple[FaultyNetwork, Robot]) -> None:
    faulty, robot = network
    faulty.fault = RuntimeError("CUDA error 700: an illegal memory access was encountered")
    opened = faulty.opened
    robot.received["costmap"].clear()
    status = robot.diagnosis("illegal memory access", lambda: robot.send(robot.image()), level=ERROR)
    assert int(values(status)["dropped: engine failed"]) > 0
    assert all((cells(grid) == -1).all() for grid in robot.received["costmap"])
    robot.diagnosis("3 times in a row", lambda: robot.send(robot.image()))
    assert 2 <= faulty.opened - opened <= 4, "not opened again for every image"
    faulty.fault = None
    robot.diagnosis("images were dropped", lambda: robot.send(robot.image()))
    assert (robot.drive() >= 0).any(), "recovers"


def test_costmap_is_retracted_and_the_cause_named_when_the_engine_hangs(network: tuple[FaultyNetwork, Robot]) -> None:
    faulty, robot = network
    faulty.gate.clear()
    robot.received["costmap"].clear()
    stuck = robot.image()
    robot.send(stuck)
    robot.diagnosis("busy with one image", lambda: robot.send(robot.image()), level=ERROR)
    grids = robot.wait(lambda: robot.received["costmap"], "the retraction of the costmap")
    assert all((cells(grid) == -1).all() for grid in grids)
    faulty.gate.set()
    robot.spin(0.3)
    stamps = [nanoseconds(grid.header.stamp) for grid in robot.received["costmap"]]
    assert nanoseconds(stuck.header.stamp) not in stamps, "a result that took too long is dropped"
    assert (robot.drive() >= 0).any()


def test_output_that_is_not_finite_drops_one_image_only(network: tuple[FaultyNetwork, Robot]) -> None:
    faulty, robot = network
    opened = faulty.opened
    faulty.fault = ModelError("the network 'tiny' gave numbers that are not finite for this image.")
    robot.send(robot.image())
    robot.spin(0.3)
    faulty.fault = None
    assert (robot.drive() >= 0).any()
    assert faulty.opened == opened, "the engine is not opened again"
    status = robot.diagnosis("")
    assert values(status)["dropped: no output of the network"] == "1"


def test_deactivating_does_not_wait_for_an_engine_that_hangs(network: tuple[FaultyNetwork, Robot]) -> None:
    faulty, robot = network
    faulty.gate.clear()
    robot.send(robot.image())
    robot.spin(0.2)
    robot.received["costmap"].clear()
    before = robot.now_ns()
    assert robot.change_state("deactivate")
    assert robot.now_ns() - before < 2 * 10**9
    grid = robot.wait(lambda: robot.received["costmap"], "the retraction of the costmap")[-1]
    assert np.all(cells(grid) == -1)
