"""Starting the node as its own process with different parameters, over real DDS."""

from __future__ import annotations

import array
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from support.ros import node_process

node_process.isolate()

from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage
from support.ros.node_process import NodeProcess
from support.ros.robot import (
    ERROR,
    HEIGHT,
    ROAD,
    WALL,
    WIDTH,
    Robot,
    cells,
    nanoseconds,
    share,
)


def jpeg(stamp_ns: int) -> CompressedImage:
    content = cv2.imencode(".jpg", np.zeros((HEIGHT, WIDTH, 3), np.uint8))[1].tobytes()
    message = CompressedImage(format="jpeg", data=array.array("B", content))
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "/nowhere.onnx"}, "nowhere.onnx"),
        ({"cost_matrix": "/nowhere.yaml"}, "nowhere.yaml"),
        ({"mount": "[]"}, "parameter 'mount' is empty"),
        ({"cost_overrides": "['traverse.mud: 3']"}, "mud"),
        ({"ground.min_range": 5.0}, "max_range"),
    ],
)
def test_failed_configure_logs_the_reason_and_stays_unconfigured(
    tmp_path: Path, parameters: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    name = f"other_{abs(hash(words)) % 1000}"
    with (
        NodeProcess(tmp_path / "log", parameters={**parameters, **changes}, remaps={"__node": name}) as process,
        Robot("operator", name) as robot,
    ):
        assert not robot.change_state("configure")
        assert robot.state() == "unconfigured"
        assert "not configured" in process.output and words in process.output
        assert process.interrupt() == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"stale_after": "soon"}, "stale_after"), ({"threads": -3}, "threads"), ({"mount": "[1, 2.0]"}, "mount")],
)
def test_parameter_of_a_wrong_type_ends_the_node_with_a_sentence(
    tmp_path: Path, parameters: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    with NodeProcess(tmp_path / "log", parameters={**parameters, **changes}) as process:
        assert process.wait() == 2
        assert words in process.output and "Traceback" not in process.output


def test_clock_set_back_empties_the_grid_and_is_logged(tmp_path: Path, parameters: dict[str, Any]) -> None:
    settings = {**parameters, "use_sim_time": True, "stale_after": 5.0, "grid.half_life": 60.0}
    with (
        NodeProcess(tmp_path / "log", parameters=settings, remaps={"__node": "simulated"}) as process,
        Robot("simulator", "simulated") as robot,
    ):
        clocks = robot.node.create_publisher(Clock, "/clock", 10)
        robot.activate()

        def show(stamp_ns: int, colour: tuple[int, int, int]) -> np.ndarray:
            for offset in (0, 30_000_000):
                message = Clock()
                message.clock.sec, message.clock.nanosec = divmod(stamp_ns + offset, 10**9)
                clocks.publish(message)
                robot.infos.publish(robot.info())
                robot.spin(0.1)
            robot.send(robot.image(colour, stamp_ns))
            return cells(robot.costmap_at(stamp_ns))

        assert share(show(100 * 10**9, WALL), 100, 100) > 0
        both = show(101 * 10**9, ROAD)
        assert both.max() > 20, "the wall of a second ago is still in the grid"
        robot.received["costmap"].clear()
        assert share(show(50 * 10**9, ROAD), 0, 7) == 1.0, "the wall of a later time is not"
        assert "clock was set by -5" in process.output


def test_compressed_image_transport(tmp_path: Path, parameters: dict[str, Any]) -> None:
    settings = {**parameters, "image_transport": "compressed"}
    with (
        NodeProcess(tmp_path / "log", parameters=settings, remaps={"__node": "compressed"}) as process,
        Robot("streamer", "compressed") as robot,
    ):
        robot.activate()
        robot.infos.publish(robot.info())
        robot.spin(0.1)

        def cut() -> CompressedImage:
            message = jpeg(robot.now_ns())
            message.data = message.data[: len(message.data) // 2]
            return message

        robot.diagnosis("cannot be decoded", lambda: robot.send(cut()), level=ERROR)
        message = jpeg(robot.now_ns())
        robot.send(message)
        robot.costmap_at(nanoseconds(message.header.stamp))
        assert process.returncode is None
