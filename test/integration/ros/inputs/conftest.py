"""Fixtures of the tests of the node's subscriptions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.ros.camera_input_node import CameraInputNode, ManualClock
    from support.ros.pose_graph import PoseGraph
    from support.ros.topic_probe import FakeCameraDriver


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    from support.ros.camera_input_node import ManualClock

    from seg_perception.ros.inputs import camera_input

    created = ManualClock()
    monkeypatch.setattr(camera_input, "time", SimpleNamespace(monotonic=created))
    return created


@pytest.fixture
def start_camera(clock: ManualClock) -> Iterator[Callable[..., CameraInputNode]]:
    """Starts a node with ROS arguments."""
    from support.ros.camera_input_node import CameraInputNode
    from support.ros.topic_probe import probe_nodes

    yield from probe_nodes(partial(CameraInputNode, clock))


@pytest.fixture
def driver() -> Iterator[FakeCameraDriver]:
    from support.ros.topic_probe import FakeCameraDriver

    created = FakeCameraDriver()
    yield created
    created.close()


@pytest.fixture
def start_poses() -> Iterator[Callable[..., PoseGraph]]:
    """Starts a graph with these parameters."""
    from support.ros.pose_graph import pose_graphs

    yield from pose_graphs()
