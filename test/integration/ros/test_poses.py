"""Poses at an image's stamp, from odometry and from tf2, over real DDS in this process."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from support import node_process as ros_support

ros_support.isolate()

from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy

from seg_perception.errors import ConfigError, GeometryError
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.ros.inputs import poses
from seg_perception.ros.messages import time_of
from seg_perception.ros.optional import optional
from seg_perception.ros.parameters.node_settings import NodeSettings, settings_of

SECOND = 10**9
MOUNT = (0.3, 0.0, 1.0, 0.0, 0.2, 0.0)
_NUMBERS = count(1)


class Graph:
    """A node that asks for poses and one that tells them, spinning in a thread as the executor of a real node does."""

    def __init__(self, settings: NodeSettings) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        number = next(_NUMBERS)
        self.node = rclpy.create_node(f"asks_{number}", context=self.context)
        self.teller = rclpy.create_node(f"tells_{number}", context=self.context)
        self.source = poses.open_poses(self.node, settings)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._executor.add_node(self.teller)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def _spin(self) -> None:
        while not self._stop.is_set():
            self._executor.spin_once(timeout_sec=0.02)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.source.close()
        self._executor.shutdown()
        self.node.destroy_node()
        self.teller.destroy_node()
        rclpy.shutdown(context=self.context)

    def odometry(self, reliability: str = "RELIABLE") -> Any:
        publisher = self.teller.create_publisher(
            Odometry, "odometry", QoSProfile(depth=10, reliability=ReliabilityPolicy[reliability])
        )
        wait_for(publisher.get_subscription_count)
        return publisher


def wait_for(condition: Callable[[], Any], timeout: float = 5.0) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def odometry(stamp_ns: int, x: float, yaw: float = 0.0, **changes: Any) -> Odometry:
    message = Odometry(child_frame_id="base_link")
    message.header.frame_id = "odom"
    message.header.stamp = time_of(stamp_ns)
    message.pose.pose.position.x = x
    message.pose.pose.orientation.z, message.pose.pose.orientation.w = math.sin(yaw / 2), math.cos(yaw / 2)
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.fixture
def start() -> Iterator[Callable[..., Graph]]:
    graphs: list[Graph] = []

    def make(**changes: Any) -> Graph:
        values = {"pose_source": "odometry", "mount": list(MOUNT), **changes}
        graphs.append(Graph(settings_of(values)))
        return graphs[-1]

    yield make
    for graph in graphs:
        graph.close()


# -- odometry ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reliability", ["RELIABLE", "BEST_EFFORT"])
def test_the_pose_at_a_stamp_lies_between_those_around_it(start: Callable[..., Graph], reliability: str) -> None:
    graph = start()
    publisher = graph.odometry(reliability)
    publisher.publish(odometry(SECOND, 1.0, yaw=0.0))
    publisher.publish(odometry(2 * SECOND, 2.0, yaw=0.8))
    odom_from_base, base_from_optical = graph.source.lookup(SECOND + SECOND // 4, "camera", 2.0)
    np.testing.assert_allclose(odom_from_base.translation, [1.25, 0, 0], atol=1e-9)
    assert odom_from_base.rpy()[2] == pytest.approx(0.2)
    np.testing.assert_array_equal(base_from_optical.rotation, mount_to_base_from_optical(*MOUNT).rotation)


def test_a_pose_that_is_still_on_its_way_is_waited_for(start: Callable[..., Graph]) -> None:
    graph = start()
    publisher = graph.odometry()
    publisher.publish(odometry(SECOND, 1.0))
    threading.Timer(0.3, lambda: publisher.publish(odometry(2 * SECOND, 2.0))).start()
    began = time.monotonic()
    odom_from_base, _ = graph.source.lookup(SECOND + SECOND // 2, "camera", 3.0)
    assert 0.2 < time.monotonic() - began < 1.5
    assert odom_from_base.translation[0] == pytest.approx(1.5)


def test_a_pose_beyond_the_newest_is_never_made_up(start: Callable[..., Graph]) -> None:
    graph = start()
    publisher = graph.odometry()
    publisher.publish(odometry(SECOND, 1.0))
    publisher.publish(odometry(2 * SECOND, 2.0))
    graph.source.lookup(2 * SECOND, "camera", 2.0)
    began = time.monotonic()
    with pytest.raises(GeometryError, match=r"/odometry: .*span 1\.0+ s to 2\.0+ s"):
        graph.source.lookup(3 * SECOND, "camera", 0.2)
    assert 0.15 < time.monotonic() - began < 1.0


def test_silence_is_told_apart(start: Callable[..., Graph]) -> None:
    with pytest.raises(GeometryError, match="/odometry: no odometry has come yet"):
        start().source.lookup(SECOND, "camera", 0.05)


def with_orientation(x: float, w: float) -> Any:
    pose = odometry(SECOND, 1.0).pose
    pose.pose.orientation.x, pose.pose.orientation.w = x, w
    return pose


def framed(frame: str) -> Any:
    header = odometry(SECOND, 1.0).header
    header.frame_id = frame
    return header


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"child_frame_id": "wheel"}, "child_frame_id is 'wheel', not 'base_link'; set parameter 'base_frame'"),
        ({"header": framed("map")}, "header.frame_id is 'map', not 'odom'; set parameter 'odom_frame'"),
        ({"x": math.nan}, "refused: .*finite"),
        ({"pose": with_orientation(0.0, 0.0)}, "refused: .*quaternion .* of length 1"),
        ({"pose": with_orientation(math.inf, 1.0)}, "refused: .*quaternion .* of length 1"),
    ],
)
def test_odometry_that_makes_no_sense_is_the_reason(
    start: Callable[..., Graph], changes: dict[str, Any], words: str
) -> None:
    graph = start()
    publisher = graph.odometry()
    publisher.publish(odometry(SECOND, **{"x": 1.0, **changes}))
    time.sleep(0.1)
    with pytest.raises(GeometryError, match=f"^/odometry: .*{words}"):
        graph.source.lookup(SECOND, "camera", 0.05)
    publisher.publish(odometry(SECOND, 1.0))
    assert graph.source.lookup(SECOND, "camera", 2.0)[0].translation[0] == 1.0, "and the next good one is taken"


@pytest.mark.parametrize(
    "changes",
    [{"child_frame_id": ""}, {"child_frame_id": "/base_link"}, {"header": framed("")}, {"header": framed("/odom")}],
)
def test_odometry_whose_frames_are_left_out_or_have_a_slash_is_taken(
    start: Callable[..., Graph], changes: dict[str, Any]
) -> None:
    graph = start()
    graph.odometry().publish(odometry(SECOND, 1.0, **changes))
    assert graph.source.lookup(SECOND, "camera", 2.0)[0].translation[0] == 1.0


def test_without_tf_a_sensor_is_placed_where_the_camera_or_the_base_is(start: Callable[..., Graph]) -> None:
    graph = start()
    publisher = graph.odometry()
    publisher.publish(odometry(SECOND, 1.0))
    publisher.publish(odometry(2 * SECOND, 2.0))
    between = SECOND + SECOND // 2
    odom_from_base, base_from_optical = graph.source.lookup(between, "camera", 2.0)
    on_base = graph.source.sensor(between, "base_link", "camera", 2.0)
    np.testing.assert_allclose(on_base.translation, [1.5, 0, 0], atol=1e-9)
    at_camera = graph.source.sensor(between, "camera", "camera", 2.0)
    np.testing.assert_array_equal(at_camera.translation, (odom_from_base @ base_from_optical).translation)
    with pytest.raises(GeometryError, match=r"frame_id is 'lidar', and odometry tells only where .*; publish it in"):
        graph.source.sensor(between, "lidar", "camera", 2.0)


def test_after_a_reset_the_past_is_forgotten(start: Callable[..., Graph]) -> None:
    graph = start()
    publisher = graph.odometry()
    publisher.publish(odometry(SECOND, 1.0))
    graph.source.lookup(SECOND, "camera", 2.0)
    graph.source.reset()
    with pytest.raises(GeometryError, match="no odometry has come yet"):
        graph.source.lookup(SECOND, "camera", 0.05)


# -- which source --------------------------------------------------------------------------------------------------


def without_tf2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poses, "optional", lambda name: None if name == "tf2_ros" else optional(name))


def test_without_tf2_odometry_is_taken_and_the_mount_must_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    without_tf2(monkeypatch)
    settings = settings_of({"mount": list(MOUNT)})
    assert poses.choose_source(settings) == "odometry"
    with pytest.raises(ConfigError, match=r"'mount' is empty.*tf2_ros is not installed"):
        poses.choose_source(settings_of({}))
    with pytest.raises(ConfigError, match="'tf', and tf2_ros is not installed; install ros-"):
        poses.choose_source(replace(settings, pose_source="tf"))


def test_with_tf2_it_is_taken_unless_odometry_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poses, "optional", lambda name: object())
    settings = settings_of({})
    assert poses.choose_source(settings) == "tf"
    with pytest.raises(ConfigError, match="'mount' is empty"):
        poses.choose_source(replace(settings, pose_source="odometry"))


# -- tf2 -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tf(start: Callable[..., Graph]) -> tuple[Graph, Any, Any]:
    """A graph that listens to tf, a broadcaster and a static one."""
    tf2_ros = pytest.importorskip("tf2_ros", reason="tf2_ros is not installed; it comes with a ROS distribution")
    graph = start(pose_source="tf", mount=[])
    return graph, tf2_ros.TransformBroadcaster(graph.teller), tf2_ros.StaticTransformBroadcaster(graph.teller)


def transform(parent: str, child: str, stamp_ns: int, pose: Transform) -> Any:
    from geometry_msgs.msg import TransformStamped

    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp = time_of(stamp_ns)
    translation, rotation = message.transform.translation, message.transform.rotation
    translation.x, translation.y, translation.z = pose.translation.tolist()
    rotation.x, rotation.y, rotation.z, rotation.w = pose.quaternion().tolist()
    return message


def at(x: float, yaw: float = 0.0) -> Transform:
    return Transform.from_xyz_rpy(x, 0.0, 0.0, 0.0, 0.0, yaw)


def test_tf_gives_both_poses_at_the_stamp(tf: tuple[Graph, Any, Any]) -> None:
    graph, moving, fixed = tf
    fixed.sendTransform(transform("base_link", "camera", 0, mount_to_base_from_optical(*MOUNT)))
    moving.sendTransform([transform("odom", "base_link", SECOND, at(1.0))])
    moving.sendTransform([transform("odom", "base_link", 2 * SECOND, at(2.0, 0.8))])
    odom_from_base, base_from_optical = graph.source.lookup(SECOND + SECOND // 4, "camera", 3.0)
    np.testing.assert_allclose(odom_from_base.translation, [1.25, 0, 0], atol=1e-9)
    assert odom_from_base.rpy()[2] == pytest.approx(0.2)
    np.testing.assert_allclose(base_from_optical.rotation, mount_to_base_from_optical(*MOUNT).rotation, atol=1e-9)


def test_a_transform_that_is_still_on_its_way_is_waited_for(tf: tuple[Graph, Any, Any]) -> None:
    graph, moving, fixed = tf
    fixed.sendTransform(transform("base_link", "camera", 0, mount_to_base_from_optical(*MOUNT)))
    moving.sendTransform(transform("odom", "base_link", SECOND, at(1.0)))
    later = transform("odom", "base_link", 2 * SECOND, at(2.0))
    threading.Timer(0.4, lambda: moving.sendTransform(later)).start()
    odom_from_base, _ = graph.source.lookup(SECOND + SECOND // 2, "camera", 3.0)
    assert odom_from_base.translation[0] == pytest.approx(1.5)


def test_what_tf_lacks_is_told_with_the_frames(tf: tuple[Graph, Any, Any]) -> None:
    graph, moving, _ = tf
    with pytest.raises(GeometryError, match=r"no transform from 'base_link' to 'odom' in time"):
        graph.source.lookup(SECOND, "camera", 0.1)
    for stamp_ns in (SECOND, 2 * SECOND):
        moving.sendTransform(transform("odom", "base_link", stamp_ns, at(1.0)))
    with pytest.raises(GeometryError, match=r"no transform from 'camera' to 'base_link' in time"):
        graph.source.lookup(SECOND + 1, "camera", 0.5)
    with pytest.raises(GeometryError, match=r"no header\.frame_id"):
        graph.source.lookup(SECOND + 1, "", 0.5)
    with pytest.raises(GeometryError, match="future"):
        graph.source.lookup(9 * SECOND, "camera", 0.1)


def test_a_body_frame_is_not_taken_for_an_optical_one(tf: tuple[Graph, Any, Any]) -> None:
    graph, moving, fixed = tf
    fixed.sendTransform(transform("base_link", "camera_link", 0, at(0.3)))
    for stamp_ns in (SECOND, 2 * SECOND):
        moving.sendTransform(transform("odom", "base_link", stamp_ns, at(1.0)))
    with pytest.raises(GeometryError, match="looks at the sky"):
        graph.source.lookup(SECOND + 1, "camera_link", 2.0)


def test_a_reset_forgets_what_moves_and_keeps_what_is_fixed(tf: tuple[Graph, Any, Any]) -> None:
    graph, moving, fixed = tf
    fixed.sendTransform(transform("base_link", "camera", 0, mount_to_base_from_optical(*MOUNT)))
    moving.sendTransform(transform("odom", "base_link", 9 * SECOND, at(9.0)))
    graph.source.lookup(9 * SECOND, "camera", 3.0)
    graph.source.reset()
    moving.sendTransform(transform("odom", "base_link", SECOND, at(1.0)))
    assert graph.source.lookup(SECOND, "camera", 3.0)[0].translation[0] == 1.0
    with pytest.raises(GeometryError):
        graph.source.lookup(9 * SECOND, "camera", 0.1)


def test_what_is_no_transform_is_not_taken(tf: tuple[Graph, Any, Any]) -> None:
    graph, moving, fixed = tf
    fixed.sendTransform(transform("base_link", "camera", 0, mount_to_base_from_optical(*MOUNT)))
    for part in ("translation", "rotation"):
        broken = transform("odom", "base_link", SECOND, at(1.0))
        getattr(broken.transform, part).x = math.nan
        moving.sendTransform(broken)
    with pytest.raises(GeometryError, match="no transform from 'base_link' to 'odom'"):
        graph.source.lookup(SECOND, "camera", 0.3)
    moving.sendTransform(transform("odom", "base_link", SECOND, at(1.0)))
    assert graph.source.lookup(SECOND, "camera", 3.0)[0].translation[0] == 1.0


def test_a_mount_by_parameter_outranks_that_of_tf(start: Callable[..., Graph]) -> None:
    tf2_ros = pytest.importorskip("tf2_ros", reason="tf2_ros is not installed; it comes with a ROS distribution")
    graph = start(pose_source="tf")
    tf2_ros.StaticTransformBroadcaster(graph.teller).sendTransform(
        [transform("odom", "base_link", 0, at(1.0)), transform("base_link", "camera", 0, at(9.0))]
    )
    odom_from_base, base_from_optical = graph.source.lookup(SECOND, "camera", 3.0)
    assert odom_from_base.translation[0] == 1.0
    np.testing.assert_allclose(base_from_optical.translation, MOUNT[:3], atol=1e-12)


def test_tf_places_a_sensor_at_its_own_stamp_and_the_mount_the_camera(start: Callable[..., Graph]) -> None:
    tf2_ros = pytest.importorskip("tf2_ros", reason="tf2_ros is not installed; it comes with a ROS distribution")
    graph = start(pose_source="tf")
    fixed = [transform("base_link", "lidar", 0, at(0.5)), transform("base_link", "camera", 0, at(9.0))]
    tf2_ros.StaticTransformBroadcaster(graph.teller).sendTransform(fixed)
    moving = tf2_ros.TransformBroadcaster(graph.teller)
    for second in (1, 2):
        moving.sendTransform(transform("odom", "base_link", second * SECOND, at(float(second))))
    lidar = graph.source.sensor(SECOND + SECOND // 4, "lidar", "camera", 3.0)
    np.testing.assert_allclose(lidar.translation, [1.75, 0, 0], atol=1e-9)
    camera = graph.source.sensor(SECOND + SECOND // 4, "camera", "camera", 3.0)
    np.testing.assert_allclose(camera.translation, [1.25 + MOUNT[0], 0, MOUNT[2]], atol=1e-9)
    with pytest.raises(GeometryError, match=r"no transform from 'radar' to 'odom' in time"):
        graph.source.sensor(SECOND, "radar", "camera", 0.1)


def test_poses_that_are_closed_leave_nothing_on_the_node(tf: tuple[Graph, Any, Any]) -> None:
    """A lifecycle node is activated many times."""
    graph, _, _ = tf

    def others() -> list[Any]:
        return [*graph.node.services, *graph.node.subscriptions]

    graph.source.close()
    left = others()
    assert not any(each.service_name.endswith("tf2_frames") for each in graph.node.services)
    assert not any(each.topic_name.startswith("/tf") for each in graph.node.subscriptions)
    graph.source = poses.open_poses(graph.node, settings_of({"pose_source": "tf"}))
    graph.source.close()
    assert others() == left
