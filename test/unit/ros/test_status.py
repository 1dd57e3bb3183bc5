"""The status of the node, on a manual clock."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from support.ros.fake_drive import SETTINGS, FakeDrive

from seg_perception.ros.diagnostics.statistics import CameraStatistics, Refusal
from seg_perception.ros.diagnostics.status import NodeStatus, StatusLevel, status_of
from seg_perception.ros.engine_supervisor import WORKING, EngineState

NO_POINTS, NO_DEPTH = Refusal("no point cloud", "none."), Refusal("no depth image", "none.")
GROUNDLESS = Refusal("depth image shows no ground", "check where the camera is.")
LATE = Refusal("point cloud of another time than the image", "/points: 0.3 s before it.")


def test_working_node_is_ok_with_its_statistics() -> None:
    drive = FakeDrive()
    drive.advance(10.0)
    drive.statistics.replaced()
    status = drive.status()
    assert status.level == StatusLevel.OK == 0
    assert status.message == "16.0 images/s in, 16.0 results/s out."
    expected = {
        "image topic": "/camera/image",
        "image QoS": "best effort",
        "engine": "urban on the CPU",
        "poses": "tf",
        "cost matrix": str(SETTINGS.cost_matrix),
        "images": "160",
        "images replaced by newer ones": "1",
        "results": "160",
    }
    assert expected.items() <= status.values.items()
    assert float(status.values["total p99, ms"]) == pytest.approx(40, rel=0.01)


def test_projections_are_counted_and_missing_depth_is_ok() -> None:
    drive = FakeDrive()
    drive.add_results("depth", NO_POINTS, count=30)
    drive.add_results("plane", NO_POINTS, NO_DEPTH, count=10)
    status = drive.status()
    assert status.level == StatusLevel.OK
    assert (
        status.message == "16.0 images/s in, 16.0 results/s out, projected by plane (no point cloud, no depth image)."
    )
    expected = {
        "projection": "plane (no point cloud, no depth image)",
        "projected by depth": "30",
        "projected by plane": "10",
        "refused: no point cloud": "40",
        "refused: no depth image": "10",
    }
    assert expected.items() <= status.values.items()


def test_values_show_the_extrinsic_calibration_if_it_is_on() -> None:
    drive = FakeDrive()
    drive.add_results("plane")
    assert "extrinsic calibration" not in drive.status().values
    drive.statistics.projected("plane", [], "pitch +1.02°, roll +0.00°, standard error 0.03°, 9 observations")
    assert drive.status().values["extrinsic calibration"].startswith("pitch +1.02°")


@pytest.mark.parametrize(
    ("mode", "refusal", "level"),
    [
        ("auto", NO_DEPTH, StatusLevel.OK),
        ("auto", GROUNDLESS, StatusLevel.OK),
        ("auto", LATE, StatusLevel.WARN),
        ("points", LATE, StatusLevel.WARN),
        ("depth", GROUNDLESS, StatusLevel.WARN),
    ],
)
def test_missing_projection_is_a_warning_if_requested_or_if_its_sensor_delivers(
    mode: str, refusal: Refusal, level: StatusLevel
) -> None:
    drive = FakeDrive(mode)
    drive.add_results("plane", count=95)
    drive.add_results("plane", refusal, count=5)
    assert drive.status().level == StatusLevel.OK, "one in twenty"
    drive.add_results("plane", refusal, count=25)
    status = drive.status()
    assert status.level == level
    expected = (
        f"of the latest 100 results, 30 could not be projected as projection.mode '{mode}' requires: {refusal.detail}"
    )
    assert (status.message == expected) == (level == StatusLevel.WARN)


def test_stale_node_is_an_error_with_the_cause_and_recovers() -> None:
    drive = FakeDrive()
    drive.advance(10.0)
    drive.advance(2.0, reason="too old", detail="the image's stamp is 3 days behind the node's clock.")
    status = drive.status()
    assert status.level == StatusLevel.ERROR == 2
    assert "3 days behind" in status.message
    assert status.values["dropped: too old"] == "32"
    drive.advance(10.0)
    assert drive.status().level == StatusLevel.OK


@pytest.mark.parametrize(("share", "level"), [(0.05, StatusLevel.OK), (0.2, StatusLevel.WARN)])
def test_many_drops_are_a_warning(share: float, level: StatusLevel) -> None:
    drive = FakeDrive()
    for _ in range(10):
        drive.advance(1.0 - share)
        drive.advance(share, reason="no transform", detail="odom is late.")
    status = drive.status()
    assert status.level == level
    assert ("odom is late." in status.message) == (level == StatusLevel.WARN)


def test_reliability_fallback_is_a_warning() -> None:
    drive = FakeDrive()
    drive.camera = replace(drive.camera, reliability="reliable")
    drive.advance(10.0)
    assert drive.status().level == StatusLevel.OK
    drive.camera = replace(drive.camera, fallback_reasons=("the subscription to point clouds is reliable.",))
    assert drive.status().level == StatusLevel.WARN
    assert drive.status().message == "the subscription to point clouds is reliable."


def test_problem_of_the_camera_is_a_warning_while_results_arrive() -> None:
    drive = FakeDrive()
    drive.camera = replace(drive.camera, problem="another publisher's QoS does not fit.")
    drive.advance(10.0)
    assert (drive.status().level, drive.status().message) == (StatusLevel.WARN, "another publisher's QoS does not fit.")


def test_node_slower_than_camera_and_costmap_rate_is_a_warning() -> None:
    drive = FakeDrive()
    for _ in range(60):
        drive.advance(0.25, reason=None)
        drive.advance(0.05)
    assert drive.status().level == StatusLevel.WARN
    assert "3.2 results/s are fewer than the 5.0" in drive.status().message


def test_slow_camera_is_ok() -> None:
    drive = FakeDrive()
    drive.advance(30.0, rate=2.0)
    assert drive.status().level == StatusLevel.OK


def test_failed_engine_is_a_warning_and_one_given_up_an_error() -> None:
    drive = FakeDrive()
    drive.advance(10.0)
    drive.engine = EngineState(1, "RuntimeError: device lost", drive.now + 0.5)
    status = drive.status()
    assert status.level == StatusLevel.WARN
    assert status.message == "the engine failed (RuntimeError: device lost); it will be opened again in 0.5 s."
    drive.engine = EngineState(7, "RuntimeError: device lost", drive.now + 12)
    assert drive.status().level == StatusLevel.ERROR
    assert "7 times in a row" in drive.status().message


def test_inactive_node_is_ok() -> None:
    statistics = CameraStatistics()
    assert status_of(statistics.snapshot(5.0), None, WORKING, "", "", SETTINGS).level == StatusLevel.OK


@pytest.mark.slow
def test_status_and_supervisor_import_without_ros() -> None:
    parts = "seg_perception.ros.diagnostics.status, seg_perception.ros.engine_supervisor"
    script = f"import sys; sys.modules['rclpy'] = None; import {parts}"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_diagnostics_message_has_the_status() -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")
    from seg_perception.ros.diagnostics.status_message import diagnostics_message

    status = NodeStatus(StatusLevel.ERROR, "no node publishes /camera/image.", {"images": "0"})
    message = diagnostics_message(status, 1_500_000_000, "perception", "/camera/image")
    (entry,) = message.status
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1, 500_000_000)
    assert (entry.level, entry.name, entry.message) == (b"\x02", "perception", "no node publishes /camera/image.")
    assert [(value.key, value.value) for value in entry.values] == [("images", "0")]
