"""The node as its own process with invalid inputs, over real DDS."""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from support.ros import node_process

node_process.isolate()

from nav_msgs.msg import Odometry
from support.ros.robot import (
    ERROR,
    HEIGHT,
    ROAD,
    WALL,
    WARN,
    WIDTH,
    Robot,
    cells,
    nanoseconds,
    share,
    values,
)

INVALID: dict[str, tuple[Callable[[Robot], Any], str, str]] = {
    "an unknown encoding": (lambda r: r.image(encoding="flir16"), "cannot be decoded", "flir16"),
    "no encoding": (lambda r: r.image(encoding=""), "cannot be decoded", "encoding"),
    "too few bytes": (lambda r: r.image(data=array.array("B", bytes(100))), "cannot be decoded", "must hold"),
    "too many bytes": (
        lambda r: r.image(data=array.array("B", bytes(3 * WIDTH * HEIGHT + 1))), "cannot be decoded", "must hold",
    ),
    "no bytes": (lambda r: r.image(data=array.array("B")), "cannot be decoded", "must hold"),
    "no pixels": (lambda r: r.image(width=0, height=0), "cannot be decoded", "is empty"),
    "a step of 0": (lambda r: r.image(step=0), "cannot be decoded", "step"),
    "a step below a row": (lambda r: r.image(step=WIDTH), "cannot be decoded", "step"),
    "a wrong size": (lambda r: r.image(width=2**31, height=2**31), "cannot be decoded", "the limit of 25000000"),
    "another size than its camera_info": (
        lambda r: r.image(height=HEIGHT // 2, data=array.array("B", bytes(3 * WIDTH * HEIGHT // 2))),
        "size differs from camera_info",
        "64x24",
    ),
    "no stamp": (lambda r: r.image(stamp_ns=0), "no stamp", "header.stamp is 0"),
    "an old stamp": (lambda r: r.image(stamp_ns=r.now_ns() - 5 * 10**9), "too old", "max_image_age"),
    "a stamp of last year": (lambda r: r.image(stamp_ns=r.now_ns() - 10**16), "too old", "use_sim_time"),
    "a stamp ahead": (lambda r: r.image(stamp_ns=r.now_ns() + 10**9), "from the future", "ahead"),
}  # fmt: skip


@pytest.mark.parametrize("name", INVALID)
def test_invalid_image_is_counted_by_its_reason_and_the_node_recovers(robot: Robot, name: str) -> None:
    make, reason, words = INVALID[name]
    robot.received["costmap"].clear()
    status = robot.diagnosis(words, meanwhile=lambda: robot.send(make(robot)), level=ERROR)
    assert int(values(status)[f"dropped: {reason}"]) > 0
    assert all((cells(grid) == -1).all() for grid in robot.received["costmap"]), "no costs are published"
    assert share(robot.drive(), 0, 7) == 1.0


def test_image_older_than_the_previous_one_is_dropped_and_reported(robot: Robot) -> None:
    def both() -> None:
        image = robot.image()
        robot.send(image)
        robot.spin(0.05)
        robot.send(robot.image(WALL, nanoseconds(image.header.stamp) - 10_000_000))

    status = robot.diagnosis("out of order", both, level=WARN)
    assert "before that of the previous image" in status.message
    assert share(robot.drive(), 0, 7) == 1.0, "the old images are not in the grid"


def odometry_of_nan(robot: Robot, stamp_ns: int) -> Odometry:
    message = robot.pose(stamp_ns)
    message.pose.pose.position.x = float("nan")
    return message


def odometry_without_rotation(robot: Robot, stamp_ns: int) -> Odometry:
    message = robot.pose(stamp_ns)
    message.pose.pose.orientation.w = 0.0
    return message


def odometry_of_a_wheel(robot: Robot, stamp_ns: int) -> Odometry:
    message = robot.pose(stamp_ns)
    message.child_frame_id = "left_wheel"
    return message


def odometry_in_the_map(robot: Robot, stamp_ns: int) -> Odometry:
    message = robot.pose(stamp_ns)
    message.header.frame_id = "map"
    return message


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (odometry_of_nan, "finite"),
        (odometry_without_rotation, "quaternion"),
        (odometry_of_a_wheel, "'left_wheel'"),
        (odometry_in_the_map, "'map'"),
    ],
)
def test_invalid_odometry_drops_images_with_the_reason(
    robot: Robot, make: Callable[[Robot, int], Odometry], words: str
) -> None:
    def send() -> None:
        image = robot.image()
        robot.odometry.publish(make(robot, nanoseconds(image.header.stamp)))
        robot.images.publish(image)

    status = robot.diagnosis(words, meanwhile=send, level=ERROR)
    assert int(values(status)["dropped: no transform"]) > 0
    robot.spin(0.3)  # until the waiting image is dropped
    assert share(robot.drive(), 0, 7) == 1.0


def test_stopped_odometry_is_named(robot: Robot) -> None:
    status = robot.diagnosis("not known at", meanwhile=lambda: robot.images.publish(robot.image()), level=ERROR)
    assert "/odometry" in status.message
    robot.spin(0.3)  # until the waiting image is dropped
    assert share(robot.drive(), 0, 7) == 1.0


def test_node_waits_for_late_odometry(robot: Robot) -> None:
    image = robot.image()
    stamp_ns = nanoseconds(image.header.stamp)
    robot.odometry.publish(robot.pose(stamp_ns - 10_000_000))
    robot.images.publish(image)
    robot.spin(0.1)
    robot.odometry.publish(robot.pose(stamp_ns + 10_000_000))
    assert share(cells(robot.costmap_at(stamp_ns)), 0, 7) == 1.0


def test_uncalibrated_camera_is_reported_and_the_node_recovers(robot: Robot) -> None:
    status = robot.diagnosis(
        "not calibrated", lambda: robot.send(robot.image(), info=robot.info(focal=0.0)), level=ERROR
    )
    assert "/camera_info" in status.message
    assert share(robot.drive(), 0, 7) == 1.0


def test_new_calibration_changes_the_projection(robot: Robot) -> None:
    wide = robot.drive()
    robot.change("deactivate", "activate")
    robot.infos.publish(robot.info(focal=3.0 * WIDTH))
    robot.spin(0.2)
    image = robot.image()
    robot.send(image, info=robot.info(focal=3.0 * WIDTH))
    narrow = cells(robot.costmap_at(nanoseconds(image.header.stamp)))
    assert (narrow >= 0).sum() < 0.5 * (wide >= 0).sum(), "a longer focal length sees less ground"


def test_jump_in_odom_empties_the_grid(robot: Robot) -> None:
    robot.drive(WALL, x=0.0)
    robot.spin(0.1)
    robot.drive(ROAD, x=500.0)
    back = robot.drive(ROAD, x=0.0)
    assert share(back, 0, 7) == 1.0, "the wall from before the jump is gone"
