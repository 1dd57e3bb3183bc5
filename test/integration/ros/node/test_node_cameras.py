"""The node with two cameras, as its own process, over real DDS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from support import tiny_networks as tiny

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from support.ros import node_process

node_process.isolate()

from sensor_msgs.msg import Image
from support.ros.node_in_process import FaultyNetwork, running_node
from support.ros.node_process import NodeProcess
from support.ros.robot import ERROR, GRASS, ROAD, WALL, Robot, cells, nanoseconds, write_model

from seg_perception.inference import batched_engine
from seg_perception.inference.engine import EngineOutput
from seg_perception.ros.parameters.conversion import read_node_settings
from seg_perception.ros.parameters.node_settings import NodeSettings

STALE_AFTER = 1.5  # s; on a busy machine an image may take half of that


@pytest.fixture(scope="module")
def parameters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two cameras at the same position; the left one is turned by 100 degrees to the left."""
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
        assert process.returncode is None, f"the node has ended:\n{process.output}"
        assert process.interrupt() == 0


@pytest.fixture(scope="module")
def left(front: Robot) -> Iterator[Robot]:
    with Robot("left_robot", camera="left") as robot:
        robot.wait_for_node()
        yield robot


@pytest.fixture(autouse=True)
def restart(front: Robot, left: Robot) -> None:
    front.change("deactivate", "activate")
    for robot in (front, left):
        robot.wait_for_node()
        robot.spin(0.3)
        for received in robot.received.values():
            received.clear()


def ahead(costmap: np.ndarray) -> np.ndarray:
    """Cells in front of the robot."""
    return costmap[45:55, 60:70]


def aside(costmap: np.ndarray) -> np.ndarray:
    """Cells to the left of the robot."""
    return costmap[60:70, 45:55]


def test_both_cameras_fill_one_costmap(front: Robot, left: Robot) -> None:
    alone = front.drive(ROAD)
    assert (ahead(alone) >= 0).any() and (aside(alone) == -1).all()
    both = left.drive(GRASS)
    assert (ahead(both)[ahead(alone) >= 0] == ahead(alone)[ahead(alone) >= 0]).all()
    assert (aside(both) > 20).any(), "grass costs more"


def test_each_camera_has_its_own_outputs(front: Robot, left: Robot) -> None:
    for robot, camera in ((front, "front"), (left, "left")):
        robot.subscribe(Image, f"{camera}/labels")
    front.spin(0.5)
    image = left.image(WALL)
    left.send(image)
    labels = left.wait(lambda: left.received["left/labels"], "labels")[-1]
    assert labels.header == image.header and set(labels.data) == {2}
    front.drive(ROAD)
    assert not any(set(labels.data) == {2} for labels in front.received["front/labels"])


def test_frame_older_than_the_latest_of_the_other_camera_is_fused(front: Robot, left: Robot) -> None:
    left.infos.publish(left.info())
    left.spin(0.1)
    late = left.image(GRASS)
    front.spin(0.05)
    front.drive(ROAD)
    newest = nanoseconds(front.received["costmap"][-1].header.stamp)
    assert nanoseconds(late.header.stamp) < newest
    front.received["costmap"].clear()
    front.spin(0.3)  # costmap_rate limits the costmaps
    left.send(late)

    def with_the_newest_stamp() -> list[Any]:
        return [costmap for costmap in front.received["costmap"] if nanoseconds(costmap.header.stamp) == newest]

    grid = front.wait(with_the_newest_stamp, "the costmap with the late frame")[-1]
    assert (aside(cells(grid)) > 20).any() and (ahead(cells(grid)) >= 0).any()


def test_stale_camera_is_named_and_its_field_of_view_retracted(front: Robot, left: Robot) -> None:
    front.drive(ROAD)
    assert (aside(left.drive(ROAD)) >= 0).any()
    status = front.diagnosis("no image arrived", lambda: front.send(front.image(ROAD)), ERROR)
    assert status.name == "perception: left" and "/left/image" in status.message
    costmap = front.drive(ROAD)
    assert (aside(costmap) == -1).all(), "although the half-life is an hour"
    assert (ahead(costmap) >= 0).any()
    well = front.diagnosis("results/s out", lambda: front.send(front.image(ROAD)))
    assert well.name == "perception: front"
    assert (aside(left.drive(ROAD)) >= 0).any(), "recovers with the camera"


def test_costmap_is_retracted_when_both_cameras_are_stale(front: Robot, left: Robot) -> None:
    front.drive(ROAD)
    left.drive(ROAD)
    front.received["costmap"].clear()
    front.wait(lambda: any((cells(grid) == -1).all() for grid in front.received["costmap"]), "the retracted costmap")


def test_networks_with_different_classes_are_rejected(tmp_path: Path, parameters: dict[str, Any]) -> None:
    other = tiny.save(tmp_path, tiny.network(), tiny.card())
    given = {**parameters, "left.model": str(other)}
    with (
        NodeProcess(tmp_path / "log", parameters=given, remaps={"__node": "odd"}) as process,
        Robot("odd_robot", "odd") as robot,
    ):
        assert not robot.change_state("configure")
        assert "'left.model'" in process.output and "has other classes than" in process.output
        assert process.interrupt() == 0


def test_image_waiting_for_calibration_does_not_delay_the_other_camera(front: Robot, left: Robot) -> None:
    assert front.set(transform_timeout=5.0, max_image_age=10.0, stale_after=10.0) == ""
    waiting = left.image(GRASS)
    left.images.publish(waiting)
    front.spin(0.2)
    image = front.image(ROAD)
    front.infos.publish(front.info())
    front.send(image)
    alone = cells(front.costmap_at(nanoseconds(image.header.stamp), timeout=4.0))
    assert (ahead(alone) >= 0).any() and (aside(alone) == -1).all()
    front.spin(0.3)  # costmap_rate limits the costmaps
    for offset in (-1_000_000, 1_000_000):
        left.odometry.publish(left.pose(nanoseconds(waiting.header.stamp) + offset))
    left.infos.publish(left.info())
    front.wait(
        lambda: (aside(cells(front.received["costmap"][-1])) > 20).any(), "the costmap with the image that waited"
    )
    assert front.set(transform_timeout=0.2, max_image_age=1.0, stale_after=STALE_AFTER) == ""


def test_images_far_behind_another_camera_are_dropped_with_the_reason(front: Robot, left: Robot) -> None:
    assert front.set(grid__half_life=0.05, max_image_age=5.0) == ""
    front.drive(ROAD)

    def send() -> None:
        front.send(front.image(ROAD))
        left.send(left.image(ROAD, left.now_ns() - 2 * 10**9))

    status = front.diagnosis("before that of the latest image", send, ERROR)
    assert status.name == "perception: left" and "synchronise the clocks of the cameras" in status.message
    assert front.set(grid__half_life=3600.0, max_image_age=1.0) == ""


class BatchCounter(FaultyNetwork):
    """Counts the images of each run."""

    def __init__(self, settings: NodeSettings) -> None:
        super().__init__(settings)
        self.runs: list[int] = []

    def run(self, *inputs: Any) -> EngineOutput:
        self.runs.append(len(inputs[0]))
        return super().run(*inputs)


def test_waiting_images_are_batched(
    parameters: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batched_engine, "_MAX_TIME_RATIO", 100.0)  # as on a GPU that one image does not fully use
    given = {**write_model(tmp_path, batch="N"), "cameras": ["front", "left"], "left.mount": parameters["left.mount"]}
    given["stale_after"] = STALE_AFTER
    own = {name: yaml.safe_load(value) if name.endswith("mount") else value for name, value in given.items()}
    network = BatchCounter(read_node_settings(own))
    assert network.spec.batch == 2
    with (
        running_node(network, given, tmp_path, "together"),
        Robot("front_robot", "together", "front") as front,
        Robot("other_robot", "together", "left") as left,
    ):
        front.activate()
        left.wait_for_node()
        left.infos.publish(left.info())
        front.drive(ROAD)
        network.runs.clear()
        network.gate.clear()
        front.send(front.image(ROAD))
        front.wait(lambda: network.runs, "the first run")
        front.send(front.image(ROAD))
        left.send(left.image(GRASS))
        front.spin(0.2)
        network.gate.set()
        front.wait(lambda: len(network.runs) > 1, "the second run")
        assert network.runs == [1, 2]
        costmap = front.drive(ROAD)  # costmap_rate may have dropped the costmap of that run
    assert (aside(costmap) > 20).any() and (ahead(costmap) >= 0).any()
