"""Selection of the pose source, and poses from odometry, over real DDS."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from support.ros import node_process

node_process.isolate()


from support.ros.pose_graph import MOUNT, SECOND, PoseGraph, odometry

from seg_perception.errors import ConfigError, GeometryError
from seg_perception.geometry.transforms import mount_to_base_from_optical
from seg_perception.ros.inputs import poses
from seg_perception.ros.optional import optional
from seg_perception.ros.parameters.conversion import read_node_settings


@pytest.mark.parametrize("reliability", ["RELIABLE", "BEST_EFFORT"])
def test_pose_is_interpolated_at_the_stamp(start_poses: Callable[..., PoseGraph], reliability: str) -> None:
    graph = start_poses()
    publisher = graph.odometry(reliability)
    publisher.publish(odometry(SECOND, 1.0, yaw=0.0))
    publisher.publish(odometry(2 * SECOND, 2.0, yaw=0.8))
    odom_from_base, base_from_optical = graph.source.lookup(SECOND + SECOND // 4, "camera", 2.0)
    np.testing.assert_allclose(odom_from_base.translation, [1.25, 0, 0], atol=1e-9)
    assert odom_from_base.rpy()[2] == pytest.approx(0.2)
    np.testing.assert_array_equal(base_from_optical.rotation, mount_to_base_from_optical(*MOUNT).rotation)


def test_lookup_waits_for_odometry(start_poses: Callable[..., PoseGraph]) -> None:
    graph = start_poses()
    publisher = graph.odometry()
    publisher.publish(odometry(SECOND, 1.0))
    threading.Timer(0.3, lambda: publisher.publish(odometry(2 * SECOND, 2.0))).start()
    began = time.monotonic()
    odom_from_base, _ = graph.source.lookup(SECOND + SECOND // 2, "camera", 3.0)
    assert 0.2 < time.monotonic() - began < 1.5
    assert odom_from_base.translation[0] == pytest.approx(1.5)


def test_pose_is_never_extrapolated(start_poses: Callable[..., PoseGraph]) -> None:
    graph = start_poses()
    publisher = graph.odometry()
    publisher.publish(odometry(SECOND, 1.0))
    publisher.publish(odometry(2 * SECOND, 2.0))
    graph.source.lookup(2 * SECOND, "camera", 2.0)
    began = time.monotonic()
    with pytest.raises(GeometryError, match=r"/odometry: .*span 1\.0+ s to 2\.0+ s"):
        graph.source.lookup(3 * SECOND, "camera", 0.2)
    assert 0.15 < time.monotonic() - began < 1.0


def test_missing_odometry_has_its_own_error(start_poses: Callable[..., PoseGraph]) -> None:
    with pytest.raises(GeometryError, match="/odometry: no odometry received yet"):
        start_poses().source.lookup(SECOND, "camera", 0.05)


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
def test_invalid_odometry_is_named_in_the_error(
    start_poses: Callable[..., PoseGraph], changes: dict[str, Any], words: str
) -> None:
    graph = start_poses()
    publisher = graph.odometry()
    publisher.publish(odometry(SECOND, **{"x": 1.0, **changes}))
    time.sleep(0.1)
    with pytest.raises(GeometryError, match=f"^/odometry: .*{words}"):
        graph.source.lookup(SECOND, "camera", 0.05)
    publisher.publish(odometry(SECOND, 1.0))
    assert graph.source.lookup(SECOND, "camera", 2.0)[0].translation[0] == 1.0, "the next valid one is used"


@pytest.mark.parametrize(
    "changes",
    [{"child_frame_id": ""}, {"child_frame_id": "/base_link"}, {"header": framed("")}, {"header": framed("/odom")}],
)
def test_odometry_with_empty_or_slashed_frames_is_accepted(
    start_poses: Callable[..., PoseGraph], changes: dict[str, Any]
) -> None:
    graph = start_poses()
    graph.odometry().publish(odometry(SECOND, 1.0, **changes))
    assert graph.source.lookup(SECOND, "camera", 2.0)[0].translation[0] == 1.0


def test_sensor_pose_from_odometry_in_camera_or_base_frame(start_poses: Callable[..., PoseGraph]) -> None:
    graph = start_poses()
    publisher = graph.odometry()
    publisher.publish(odometry(SECOND, 1.0))
    publisher.publish(odometry(2 * SECOND, 2.0))
    between = SECOND + SECOND // 2
    odom_from_base, base_from_optical = graph.source.lookup(between, "camera", 2.0)
    on_base = graph.source.lookup_sensor(between, "base_link", "camera", 2.0)
    np.testing.assert_allclose(on_base.translation, [1.5, 0, 0], atol=1e-9)
    at_camera = graph.source.lookup_sensor(between, "camera", "camera", 2.0)
    np.testing.assert_array_equal(at_camera.translation, (odom_from_base @ base_from_optical).translation)
    with pytest.raises(
        GeometryError, match=r"frame_id is 'lidar', and odometry gives only the poses of .*; publish it in"
    ):
        graph.source.lookup_sensor(between, "lidar", "camera", 2.0)


def test_reset_drops_odometry(start_poses: Callable[..., PoseGraph]) -> None:
    graph = start_poses()
    publisher = graph.odometry()
    publisher.publish(odometry(SECOND, 1.0))
    graph.source.lookup(SECOND, "camera", 2.0)
    graph.source.reset()
    with pytest.raises(GeometryError, match="no odometry received yet"):
        graph.source.lookup(SECOND, "camera", 0.05)


def without_tf2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poses, "optional", lambda name: None if name == "tf2_ros" else optional(name))


def test_without_tf2_odometry_is_selected_and_mount_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    without_tf2(monkeypatch)
    settings = read_node_settings({"mount": list(MOUNT)})
    assert poses.select_pose_source(settings) == "odometry"
    with pytest.raises(ConfigError, match=r"'mount' is empty.*tf2_ros is not installed"):
        poses.select_pose_source(read_node_settings({}))
    with pytest.raises(ConfigError, match="'tf', and tf2_ros is not installed; install ros-"):
        poses.select_pose_source(replace(settings, pose_source="tf"))


def test_with_tf2_tf_is_selected_unless_odometry_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poses, "optional", lambda name: object())
    settings = read_node_settings({})
    assert poses.select_pose_source(settings) == "tf"
    with pytest.raises(ConfigError, match="'mount' is empty"):
        poses.select_pose_source(replace(settings, pose_source="odometry"))
