"""The node with two cameras, as its own process and over real DDS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_networks as tiny

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

import ros_support

ros_support.isolate()

from robot import ERROR, GRASS, ROAD, WALL, Robot, cells, nanoseconds, write_model
from ros_support import NodeProcess
from sensor_msgs.msg import Image

STALE_AFTER = 0.6


@pytest.fixture(scope="module")
def parameters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two cameras, the left one where the front one is, but turned by 100 degrees to the left."""
    given = write_model(tmp_path_factory.mktemp("cameras"))
    x, y, z, roll, pitch, _ = np.array(given["mount"].strip("[()]").split(","), float).tolist()
    return {
        **given,
        "cameras": "[front, left]",
        "left.mount": str([x, y, z, roll, pitch, 1.75]),
        "left.weight": 2.0,
        "grid.half_life": 3600.0,
        "stale_after": STALE_AFTER,
    }


@pytest.fixture(scope="module")
def front(parameters: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    log = tmp_path_factory.mktemp("log") / "log"
    with NodeProcess(log, parameters=parameters) as process, Robot(camera="front") as robot:
        robot.activate()
        yield robot
        assert process.returncode is None, f"the node has died:\n{process.output}"
        assert process.interrupt() == 0


@pytest.fixture(scope="module")
def left(front: Robot) -> Iterator[Robot]:
    with Robot("left_robot", camera="left") as robot:
        robot.wait(robot.images.get_subscription_count, "the node")
        yield robot


@pytest.fixture(autouse=True)
def start_anew(front: Robot, left: Robot) -> None:
    front.change("deactivate", "activate")
    for robot in (front, left):
        robot._wait_for_node()
        robot.spin(0.3)
        for heard in robot.heard.values():
            heard.clear()


def ahead(costmap: np.ndarray) -> np.ndarray:
    return costmap[45:55, 60:70]


def aside(costmap: np.ndarray) -> np.ndarray:
    """To the left."""
    return costmap[60:70, 45:55]


def test_both_fill_one_costmap_each_with_its_own_side(front: Robot, left: Robot) -> None:
    alone = front.drive(ROAD)
    assert (ahead(alone) >= 0).any() and (aside(alone) == -1).all()
    both = left.drive(GRASS)
    assert (ahead(both)[ahead(alone) >= 0] == ahead(alone)[ahead(alone) >= 0]).all()
    assert (aside(both) > 20).any(), "grass costs more"


def test_each_has_outputs_of_its_own(front: Robot, left: Robot) -> None:
    for robot, camera in ((front, "front"), (left, "left")):
        robot.listen(Image, f"{camera}/labels")
    front.spin(0.5)
    image = left.image(WALL)
    left.send(image)
    labels = left.wait(lambda: left.heard["left/labels"], "labels")[-1]
    assert labels.header == image.header and set(labels.data) == {2}
    front.drive(ROAD)
    assert not any(set(labels.data) == {2} for labels in front.heard["front/labels"])


def test_a_frame_that_comes_later_than_a_newer_one_of_the_other_camera_still_counts(front: Robot, left: Robot) -> None:
    left.infos.publish(left.info())
    left.spin(0.1)
    late = left.image(GRASS)
    front.spin(0.05)
    front.drive(ROAD)
    newest = nanoseconds(front.heard["costmap"][-1].header.stamp)
    assert nanoseconds(late.header.stamp) < newest
    front.heard["costmap"].clear()
    left.send(late)
    grid = front.wait(lambda: front.heard["costmap"], "the costmap with the late frame")[-1]
    assert nanoseconds(grid.header.stamp) == newest, "a costmap is as new as the newest that it shows"
    assert (aside(cells(grid)) > 20).any() and (ahead(cells(grid)) >= 0).any()


def test_a_camera_that_falls_silent_is_named_and_its_side_is_taken_back_while_the_other_goes_on(
    front: Robot, left: Robot
) -> None:
    front.drive(ROAD)
    assert (aside(left.drive(ROAD)) >= 0).any()
    status = front.diagnosis("no image came", lambda: front.send(front.image(ROAD)), ERROR)
    assert status.name == "perception: left" and "/left/image" in status.message
    costmap = cells(front.heard["costmap"][-1])
    assert (aside(costmap) == -1).all(), "though the grid would remember for an hour"
    assert (ahead(costmap) >= 0).any()
    well = front.diagnosis("results/s out", lambda: front.send(front.image(ROAD)))
    assert well.name == "perception: front"
    assert (aside(left.drive(ROAD)) >= 0).any(), "and it comes back with the camera"


def test_when_both_are_silent_the_whole_costmap_is_taken_back(front: Robot, left: Robot) -> None:
    front.drive(ROAD)
    left.drive(ROAD)
    front.heard["costmap"].clear()
    front.spin(STALE_AFTER + 0.4)
    assert (cells(front.wait(lambda: front.heard["costmap"], "the blank costmap")[-1]) == -1).all()


def test_networks_of_other_classes_cannot_share_a_grid(tmp_path: Path, parameters: dict[str, Any]) -> None:
    other = tiny.save(tmp_path, tiny.network(), tiny.card())
    given = {**parameters, "left.model": str(other)}
    with (
        NodeProcess(tmp_path / "log", parameters=given, remaps={"__node": "odd"}) as process,
        Robot("odd_robot", "odd") as robot,
    ):
        assert not robot.change_state("configure")
        assert "'left.model'" in process.output and "has other classes than" in process.output
        assert process.interrupt() == 0
