"""Poses from tf2, over real DDS."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from support.ros import node_process

node_process.isolate()


from support.ros.pose_graph import MOUNT, SECOND, PoseGraph

from seg_perception.errors import GeometryError
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.ros.inputs import poses
from seg_perception.ros.messages import time_of
from seg_perception.ros.parameters.conversion import read_node_settings


@pytest.fixture
def tf(start_poses: Callable[..., PoseGraph]) -> tuple[PoseGraph, Any, Any]:
    """A graph whose pose source is tf, a broadcaster, and a static broadcaster."""
    tf2_ros = pytest.importorskip("tf2_ros", reason="tf2_ros is not installed; it comes with a ROS distribution")
    graph = start_poses(pose_source="tf", mount=[])
    return (
        graph,
        tf2_ros.TransformBroadcaster(graph.publisher_node),
        tf2_ros.StaticTransformBroadcaster(graph.publisher_node),
    )


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


def test_tf_interpolates_both_poses_at_the_stamp(tf: tuple[PoseGraph, Any, Any]) -> None:
    graph, moving, fixed = tf
    fixed.sendTransform(transform("base_link", "camera", 0, mount_to_base_from_optical(*MOUNT)))
    moving.sendTransform([transform("odom", "base_link", SECOND, at(1.0))])
    moving.sendTransform([transform("odom", "base_link", 2 * SECOND, at(2.0, 0.8))])
    odom_from_base, base_from_optical = graph.source.lookup(SECOND + SECOND // 4, "camera", 3.0)
    np.testing.assert_allclose(odom_from_base.translation, [1.25, 0, 0], atol=1e-9)
    assert odom_from_base.rpy()[2] == pytest.approx(0.2)
    np.testing.assert_allclose(base_from_optical.rotation, mount_to_base_from_optical(*MOUNT).rotation, atol=1e-9)


def test_lookup_waits_for_tf(tf: tuple[PoseGraph, Any, Any]) -> None:
    graph, moving, fixed = tf
    fixed.sendTransform(transform("base_link", "camera", 0, mount_to_base_from_optical(*MOUNT)))
    moving.sendTransform(transform("odom", "base_link", SECOND, at(1.0)))
    later = transform("odom", "base_link", 2 * SECOND, at(2.0))
    threading.Timer(0.4, lambda: moving.sendTransform(later)).start()
    odom_from_base, _ = graph.source.lookup(SECOND + SECOND // 2, "camera", 3.0)
    assert odom_from_base.translation[0] == pytest.approx(1.5)


def test_missing_transform_is_named_with_its_frames(tf: tuple[PoseGraph, Any, Any]) -> None:
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


def test_body_frame_is_rejected_as_optical_frame(tf: tuple[PoseGraph, Any, Any]) -> None:
    graph, moving, fixed = tf
    fixed.sendTransform(transform("base_link", "camera_link", 0, at(0.3)))
    for stamp_ns in (SECOND, 2 * SECOND):
        moving.sendTransform(transform("odom", "base_link", stamp_ns, at(1.0)))
    with pytest.raises(GeometryError, match="looks at the sky"):
        graph.source.lookup(SECOND + 1, "camera_link", 2.0)


def test_reset_drops_moving_and_keeps_static_transforms(tf: tuple[PoseGraph, Any, Any]) -> None:
    graph, moving, fixed = tf
    fixed.sendTransform(transform("base_link", "camera", 0, mount_to_base_from_optical(*MOUNT)))
    moving.sendTransform(transform("odom", "base_link", 9 * SECOND, at(9.0)))
    graph.source.lookup(9 * SECOND, "camera", 3.0)
    graph.source.reset()
    moving.sendTransform(transform("odom", "base_link", SECOND, at(1.0)))
    assert graph.source.lookup(SECOND, "camera", 3.0)[0].translation[0] == 1.0
    with pytest.raises(GeometryError):
        graph.source.lookup(9 * SECOND, "camera", 0.1)


def test_invalid_transform_is_ignored(tf: tuple[PoseGraph, Any, Any]) -> None:
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


def test_mount_parameter_overrides_tf(start_poses: Callable[..., PoseGraph]) -> None:
    tf2_ros = pytest.importorskip("tf2_ros", reason="tf2_ros is not installed; it comes with a ROS distribution")
    graph = start_poses(pose_source="tf")
    tf2_ros.StaticTransformBroadcaster(graph.publisher_node).sendTransform(
        [transform("odom", "base_link", 0, at(1.0)), transform("base_link", "camera", 0, at(9.0))]
    )
    odom_from_base, base_from_optical = graph.source.lookup(SECOND, "camera", 3.0)
    assert odom_from_base.translation[0] == 1.0
    np.testing.assert_allclose(base_from_optical.translation, MOUNT[:3], atol=1e-12)


def test_sensor_pose_from_tf_at_its_own_stamp(start_poses: Callable[..., PoseGraph]) -> None:
    tf2_ros = pytest.importorskip("tf2_ros", reason="tf2_ros is not installed; it comes with a ROS distribution")
    graph = start_poses(pose_source="tf")
    fixed = [transform("base_link", "lidar", 0, at(0.5)), transform("base_link", "camera", 0, at(9.0))]
    tf2_ros.StaticTransformBroadcaster(graph.publisher_node).sendTransform(fixed)
    moving = tf2_ros.TransformBroadcaster(graph.publisher_node)
    for second in (1, 2):
        moving.sendTransform(transform("odom", "base_link", second * SECOND, at(float(second))))
    lidar = graph.source.lookup_sensor(SECOND + SECOND // 4, "lidar", "camera", 3.0)
    np.testing.assert_allclose(lidar.translation, [1.75, 0, 0], atol=1e-9)
    camera = graph.source.lookup_sensor(SECOND + SECOND // 4, "camera", "camera", 3.0)
    np.testing.assert_allclose(camera.translation, [1.25 + MOUNT[0], 0, MOUNT[2]], atol=1e-9)
    with pytest.raises(GeometryError, match=r"no transform from 'radar' to 'odom' in time"):
        graph.source.lookup_sensor(SECOND, "radar", "camera", 0.1)


def test_closed_pose_source_leaves_nothing_on_the_node(tf: tuple[PoseGraph, Any, Any]) -> None:
    """A lifecycle node is activated many times, so nothing may accumulate."""
    graph, _, _ = tf

    def others() -> list[Any]:
        return [*graph.node.services, *graph.node.subscriptions]

    graph.source.close()
    left = others()
    assert not any(each.service_name.endswith("tf2_frames") for each in graph.node.services)
    assert not any(each.topic_name.startswith("/tf") for each in graph.node.subscriptions)
    graph.source = poses.open_poses(graph.node, read_node_settings({"pose_source": "tf"}))
    graph.source.close()
    assert others() == left
