"""Subscriptions to depth images and point clouds on a real lifecycle node, over real DDS."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from support import node_process as ros_support

ros_support.isolate()

from nav_msgs.msg import Odometry
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from support.topic_probe import BEST_EFFORT, RELIABLE, Driver, Listener, driving, starting

from seg_perception.errors import ConfigError
from seg_perception.ros.inputs.poses import open_poses
from seg_perception.ros.inputs.range_input import RangingInput
from seg_perception.ros.inputs.range_stream import DEPTH_IMAGE, POINT_CLOUD, Stream
from seg_perception.ros.inputs.reliability_fallback import PATIENCE
from seg_perception.ros.parameters.node_settings import settings_of


@pytest.fixture
def start() -> Iterator[Callable[..., Listener]]:
    """Starts a node with ROS arguments."""
    yield from starting(Listener)


@pytest.fixture
def driver() -> Iterator[Driver]:
    made = Driver()
    yield made
    made.close()


def depth_at(listener: Listener, **given: Any) -> Stream:
    return Stream(listener.node, Image, "/depth", DEPTH_IMAGE, settings_of(given), listener.said.append, "/camera_info")


def points_at(listener: Listener, **given: Any) -> Stream:
    return Stream(listener.node, PointCloud2, "/points", POINT_CLOUD, settings_of(given), listener.said.append)


def has_some(stream: Stream) -> bool:
    return stream.next_to(0, 0, time.monotonic()) is not None


def stay_away(stream: Stream) -> None:
    """So long that a change is due."""
    stream.check(time.monotonic())
    stream.check(time.monotonic() + 1.1 * PATIENCE)


def test_depth_images_too_large_for_best_effort_are_taken_reliably(start: Callable[..., Listener]) -> None:
    """The default of Fast DDS loses (nearly) all raw images of 1920x1080 between processes."""
    listener = start()
    stream = depth_at(listener)
    listener.node.create_subscription(Odometry, "odometry", lambda _: None, 1)  # what the driver waits for
    with driving(1920, 1080, 15, 300, "--ros-args", "-r", "image:=depth"):
        listener.wait(lambda: listener.node.count_publishers("/depth"), "the driver")
        end = time.monotonic() + 3 * PATIENCE
        listener.wait(lambda: stream.check(time.monotonic()) or listener.said or time.monotonic() > end, "the change")
        if not listener.said:
            pytest.skip("this machine is slow enough to lose no images of 1920x1080")
        assert "best effort brought" in listener.said[0] and "asking for reliable delivery" in listener.said[0]
        stream.forget()
        listener.wait(lambda: has_some(stream), "depth images", timeout=5.0)
    assert stream.shortfall.startswith("depth images from /depth are asked for reliably") and len(listener.said) == 1


def test_point_clouds_that_a_publisher_does_not_bring_are_asked_for_reliably_once(
    start: Callable[..., Listener], driver: Driver
) -> None:
    listener = start()
    stream = points_at(listener)
    clouds = driver.publisher(listener, PointCloud2, "/points", RELIABLE)
    stay_away(stream)
    assert listener.qos("/points").reliability == ReliabilityPolicy.RELIABLE
    (said,) = listener.said
    assert said.startswith("/points: best effort brought 0 point clouds in 2.")
    assert "asking for reliable delivery" in said
    assert "fastdds_large_images.xml" in said and "image_transport" not in said
    assert "/points are asked for reliably" in stream.shortfall and "brought 0 point clouds" in stream.shortfall
    listener.wait(clouds.get_subscription_count, "the node to subscribe again")
    listener.wait(lambda: clouds.publish(PointCloud2()) or has_some(stream), "a point cloud")
    stay_away(stream)
    assert len(listener.said) == 1


def test_clouds_that_come_best_effort_stay_so(start: Callable[..., Listener], driver: Driver) -> None:
    listener = start()
    stream = points_at(listener)
    clouds = driver.publisher(listener, PointCloud2, "/points", RELIABLE)
    listener.wait(lambda: clouds.publish(PointCloud2()) or has_some(stream), "a point cloud")
    stay_away(stream)
    assert listener.qos("/points").reliability == ReliabilityPolicy.BEST_EFFORT
    assert stream.shortfall == "" and not listener.said


def test_depth_images_that_are_announced_and_mostly_lost_are_asked_for_reliably(
    start: Callable[..., Listener], driver: Driver
) -> None:
    listener = start()
    stream = depth_at(listener)
    images = driver.publisher(listener, Image, "/depth", RELIABLE)
    infos = driver.publisher(listener, CameraInfo, "/camera_info", BEST_EFFORT)
    listener.wait(lambda: images.publish(Image()) or has_some(stream), "a depth image")
    stream.check(time.monotonic())
    for _ in range(10):
        infos.publish(CameraInfo())
        listener.spin(0.03)
    stream.check(time.monotonic() + 1.1 * PATIENCE)
    assert "camera_info in" in listener.said[0] and "depth_transport to 'compressedDepth'" in listener.said[0]


@pytest.mark.parametrize(("chosen", "expected"), [("best_effort", "BEST_EFFORT"), ("reliable", "RELIABLE")])
@pytest.mark.parametrize("by_ros", [False, True])
def test_what_the_user_has_chosen_is_never_changed(
    start: Callable[..., Listener], driver: Driver, chosen: str, expected: str, by_ros: bool
) -> None:
    listener = start(*(("-p", f"qos_overrides./points.subscription.reliability:={chosen}") if by_ros else ()))
    stream = points_at(listener, **({} if by_ros else {"ranging_reliability": chosen}))
    driver.publisher(listener, PointCloud2, "/points", RELIABLE)
    stay_away(stream)
    assert listener.qos("/points").reliability == ReliabilityPolicy[expected] and not listener.said


def test_a_sensor_that_does_not_offer_what_is_asked_for_is_told(start: Callable[..., Listener], driver: Driver) -> None:
    listener = start()
    stream = points_at(listener, ranging_reliability="reliable")
    driver.node.create_publisher(PointCloud2, "/points", BEST_EFFORT)
    listener.wait(lambda: listener.said, "a warning")
    assert "set parameter ranging_reliability to 'best_effort' or 'auto'" in listener.said[0]
    assert stream.absent().detail == listener.said[0]


def test_an_override_that_is_no_reliability_is_refused_and_leaves_nothing_subscribed(
    start: Callable[..., Listener],
) -> None:
    listener = start("-p", "qos_overrides./points.subscription.reliability:=fast")
    settings = settings_of({"pose_source": "odometry", "mount": [0.0, 0.0, 1.0, 0.0, 0.1, 0.0]})
    poses = open_poses(listener.node, settings)
    with pytest.raises(ConfigError, match=r"qos_overrides./points.subscription.reliability' is 'fast'"):
        RangingInput(listener.node, settings, poses, settings.cameras[0], listener.said.append)
    assert {each.topic_name for each in listener.node.subscriptions} == {"/odometry"}
