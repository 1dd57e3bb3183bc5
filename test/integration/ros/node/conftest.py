"""Fixtures of the tests of the node as its own process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from support.ros.node_process import NodeProcess
    from support.ros.robot import Robot


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("node")


@pytest.fixture(scope="module")
def parameters(folder: Path) -> dict[str, Any]:
    from support.ros.robot import write_model

    return write_model(folder)


@pytest.fixture(scope="module")
def process(folder: Path, parameters: dict[str, Any]) -> Iterator[NodeProcess]:
    from support.ros.node_process import NodeProcess

    with NodeProcess(folder / "log", parameters={**parameters, "stale_after": 0.6}) as started:
        yield started
        assert started.returncode is None, f"the node has ended:\n{started.output}"
        assert started.interrupt() == 0


@pytest.fixture(scope="module")
def active_robot(process: NodeProcess) -> Iterator[Robot]:
    from support.ros.robot import Robot

    with Robot() as robot:
        robot.activate()
        yield robot


@pytest.fixture
def robot(active_robot: Robot) -> Robot:
    """A robot whose restarted node has just published the costmap of one image."""
    active_robot.change("deactivate", "activate")
    for received in active_robot.received.values():
        received.clear()
    active_robot.drive()
    return active_robot
