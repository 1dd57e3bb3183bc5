"""Subscriptions to depth images and point clouds on a real lifecycle node, over real DDS."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from support.ros import node_process

node_process.isolate()

from nav_msgs.msg import Odometry
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from support.ros.topic_probe import (
    BEST_EFFORT,
    RELIABLE,
    FakeCameraDriver,
    ProbeNode,
    probe_nodes,
    running_driver_process,
)

from seg_perception.errors import ConfigError
from seg_perception.ros.inputs.poses import open_poses
from seg_perception.ros.inputs.range_input import RangeInput
from seg_perception.ros.inputs.range_stream import DEPTH_IMAGE, POINT_CLOUD, RangeStream
from seg_perception.ros.inputs.reliability_fallback import PATIENCE
from seg_perception.ros.parameters.conversion import read_node_settings


@pytest.fixture
def start() -> Iterator[Callable[..., ProbeNode]]:
    """Starts a node with ROS arguments."""
    yield from probe_nodes(ProbeNode)


@pytest.fixture
def driver() -> Iterator[FakeCameraDriver]:
    created = FakeCameraDriver()
    yield created
    created.close()


def depth_stream(probe: ProbeNode, **given: Any) -> RangeStream:
    return RangeStream(
        probe.node, Image, "/depth", DEPTH_IMAGE, read_node_settings(given), probe.warnings.append, "/camera_info"
    )


def points_stream(probe: ProbeNode, **given: Any) -> RangeStream:
    return RangeStream(
        probe.node, PointCloud2, "/points", POINT_CLOUD, read_node_settings(given), probe.warnings.append
    )


def has_message(stream: RangeStream) -> bool:
    return stream.nearest(0, 0, time.monotonic()) is not None


def let_window_pass(stream: RangeStream) -> None:
    """Check until the window without messages is over."""
    stream.check(time.monotonic())
    stream.check(time.monotonic() + 1.1 * PATIENCE)


def test_depth_images_too_large_for_best_effort_are_received_reliably(start: Callable[..., ProbeNode]) -> None:
    """By default, Fast DDS loses nearly all raw 1920x1080 images between processes."""
    probe = start()
    stream = depth_stream(probe)
    probe.node.create_subscription(Odometry, "odometry", lambda _: None, 1)  # the driver waits for it
    with running_driver_process(1920, 1080, 15, 300, "--ros-args", "-r", "image:=depth"):
        probe.wait(lambda: probe.node.count_publishers("/depth"), "the driver")
        end = time.monotonic() + 3 * PATIENCE
        probe.wait(lambda: stream.check(time.monotonic()) or probe.warnings or time.monotonic() > end, "the change")
        if not probe.warnings:
            pytest.skip("this machine is slow enough to lose no images of 1920x1080")
        assert "best effort delivered" in probe.warnings[0] and "asking for reliable delivery" in probe.warnings[0]
        stream.clear()
        probe.wait(lambda: has_message(stream), "depth images", timeout=5.0)
    assert (
        stream.fallback_reason.startswith("the subscription to depth images on /depth is reliable")
        and len(probe.warnings) == 1
    )


def test_changes_to_reliable_once_when_no_point_cloud_arrives(
    start: Callable[..., ProbeNode], driver: FakeCameraDriver
) -> None:
    probe = start()
    stream = points_stream(probe)
    clouds = driver.publisher(probe, PointCloud2, "/points", RELIABLE)
    let_window_pass(stream)
    assert probe.qos("/points").reliability == ReliabilityPolicy.RELIABLE
    (warning,) = probe.warnings
    assert warning.startswith("/points: best effort delivered 0 point clouds in 2.")
    assert "asking for reliable delivery" in warning
    assert "fastdds_large_images.xml" in warning and "image_transport" not in warning
    assert "on /points is reliable" in stream.fallback_reason and "delivered 0 point clouds" in stream.fallback_reason
    probe.wait(clouds.get_subscription_count, "the node to subscribe again")
    probe.wait(lambda: clouds.publish(PointCloud2()) or has_message(stream), "a point cloud")
    let_window_pass(stream)
    assert len(probe.warnings) == 1


def test_no_change_while_point_clouds_arrive(start: Callable[..., ProbeNode], driver: FakeCameraDriver) -> None:
    probe = start()
    stream = points_stream(probe)
    clouds = driver.publisher(probe, PointCloud2, "/points", RELIABLE)
    probe.wait(lambda: clouds.publish(PointCloud2()) or has_message(stream), "a point cloud")
    let_window_pass(stream)
    assert probe.qos("/points").reliability == ReliabilityPolicy.BEST_EFFORT
    assert stream.fallback_reason == "" and not probe.warnings


def test_changes_to_reliable_when_announced_depth_images_are_missing(
    start: Callable[..., ProbeNode], driver: FakeCameraDriver
) -> None:
    probe = start()
    stream = depth_stream(probe)
    images = driver.publisher(probe, Image, "/depth", RELIABLE)
    infos = driver.publisher(probe, CameraInfo, "/camera_info", BEST_EFFORT)
    probe.wait(lambda: images.publish(Image()) or has_message(stream), "a depth image")
    stream.check(time.monotonic())
    for _ in range(10):
        infos.publish(CameraInfo())
        probe.spin(0.03)
    stream.check(time.monotonic() + 1.1 * PATIENCE)
    assert "camera_info in" in probe.warnings[0] and "depth_transport to 'compressedDepth'" in probe.warnings[0]


@pytest.mark.parametrize(("chosen", "expected"), [("best_effort", "BEST_EFFORT"), ("reliable", "RELIABLE")])
@pytest.mark.parametrize("by_ros", [False, True])
def test_explicit_reliability_never_changes(
    start: Callable[..., ProbeNode], driver: FakeCameraDriver, chosen: str, expected: str, by_ros: bool
) -> None:
    probe = start(*(("-p", f"qos_overrides./points.subscription.reliability:={chosen}") if by_ros else ()))
    stream = points_stream(probe, **({} if by_ros else {"ranging_reliability": chosen}))
    driver.publisher(probe, PointCloud2, "/points", RELIABLE)
    let_window_pass(stream)
    assert probe.qos("/points").reliability == ReliabilityPolicy[expected] and not probe.warnings


def test_incompatible_qos_of_a_sensor_is_reported(start: Callable[..., ProbeNode], driver: FakeCameraDriver) -> None:
    probe = start()
    stream = points_stream(probe, ranging_reliability="reliable")
    driver.node.create_publisher(PointCloud2, "/points", BEST_EFFORT)
    probe.wait(lambda: probe.warnings, "a warning")
    assert "set parameter ranging_reliability to 'best_effort' or 'auto'" in probe.warnings[0]
    assert stream.absent().detail == probe.warnings[0]


def test_invalid_qos_override_is_rejected_without_subscriptions(
    start: Callable[..., ProbeNode],
) -> None:
    probe = start("-p", "qos_overrides./points.subscription.reliability:=fast")
    settings = read_node_settings({"pose_source": "odometry", "mount": [0.0, 0.0, 1.0, 0.0, 0.1, 0.0]})
    poses = open_poses(probe.node, settings)
    with pytest.raises(ConfigError, match=r"qos_overrides./points.subscription.reliability' is 'fast'"):
        RangeInput(probe.node, settings, poses, settings.cameras[0], probe.warnings.append)
    assert {each.topic_name for each in probe.node.subscriptions} == {"/odometry"}
