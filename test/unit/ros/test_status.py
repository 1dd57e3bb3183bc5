"""What the node says about itself, on a clock driven by hand."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import dataclass, replace

import pytest

from seg_perception.ros.diagnostics.stamps import stamp_problem
from seg_perception.ros.diagnostics.statistics import Health, Refusal
from seg_perception.ros.diagnostics.status import Cause, Level, Status, stale_cause, status_of
from seg_perception.ros.engine_supervisor import WELL, EngineState
from seg_perception.ros.parameters.node_settings import settings_of

SETTINGS = settings_of({})
STALE_AFTER = SETTINGS.stale_after
DAY = 86400 * 10**9


@dataclass(frozen=True)
class Camera:
    topic: str = "/camera/image"
    info_topic: str = "/camera/camera_info"
    publishers: int = 1
    last_info: float | None = 100.0
    reliability: str = "best effort"
    problem: str = ""
    shortfalls: tuple[str, ...] = ()


class Drive:
    """A node on a clock driven by hand, active from second 100 on."""

    def __init__(self, mode: str = "auto") -> None:
        self.settings = settings_of({"projection.mode": mode})
        self.now = 100.0
        self.health = Health()
        self.health.activated(self.now)
        self.camera = Camera()
        self.engine = WELL

    def go(self, seconds: float, rate: float = 16.0, reason: str | None = "", detail: str = "why.") -> None:
        """Images at a rate: each becomes a result, or is dropped for a reason; with None nothing becomes of it."""
        for _ in range(round(seconds * rate)):
            self.now += 1 / rate
            self.health.received(self.now)
            if reason:
                self.health.dropped(reason, detail)
            elif reason is not None:
                self.health.result(self.now, {"total": 40.0})

    def project(self, projection: str, *refusals: Refusal, count: int = 1) -> None:
        """So many results, projected one way for these reasons."""
        for _ in range(count):
            self.health.projected(projection, refusals)
            self.go(1 / 16)

    def cause(self) -> Cause | None:
        return stale_cause(self.health.figures(self.now), self.camera, STALE_AFTER)

    def status(self) -> Status:
        figures = self.health.figures(self.now)
        return status_of(figures, self.camera, self.engine, "urban on the CPU", "tf", self.settings)


def test_nothing_is_stale_while_results_come() -> None:
    drive = Drive()
    for _ in range(10):
        drive.go(1.0)
        assert drive.cause() is None


def test_staleness_begins_at_its_limit_and_ends_with_the_next_result() -> None:
    drive = Drive()
    drive.go(1.0)
    last = drive.now
    drive.now = last + STALE_AFTER - 1e-3
    assert drive.cause() is None
    drive.now = last + STALE_AFTER
    assert drive.cause() is not None
    drive.go(0.05)
    assert drive.cause() is None


def test_a_node_that_was_just_activated_has_its_time() -> None:
    drive = Drive()
    drive.now += STALE_AFTER - 0.01
    assert drive.cause() is None
    drive.now += 0.01
    assert drive.cause() is not None


def test_a_node_that_is_not_active_is_never_stale() -> None:
    drive = Drive()
    drive.health.deactivated()
    drive.now += 1000
    assert drive.cause() is None
    drive.health.activated(drive.now)
    assert drive.cause() is None


def test_no_publisher_is_told_with_the_topic() -> None:
    drive = Drive()
    drive.go(1.0)
    drive.camera = replace(drive.camera, publishers=0)
    drive.now += 2
    assert str(drive.cause()).startswith("nobody publishes /camera/image;")


def test_a_publisher_without_images_is_told_with_the_cameras_advice() -> None:
    drive = Drive()
    drive.camera = replace(drive.camera, problem="give the camera driver more shared memory.")
    drive.now += 3
    assert str(drive.cause()) == (
        "/camera/image has a publisher, but for 3.0 s no image came; give the camera driver more shared memory."
    )


def test_images_without_camera_info_are_told() -> None:
    drive = Drive()
    drive.camera = replace(drive.camera, last_info=None)
    drive.go(2.0, reason="no camera_info")
    assert "no camera_info on /camera/camera_info" in str(drive.cause())


def test_a_camera_info_that_makes_no_camera_is_told_with_what_is_wrong_in_it() -> None:
    drive = Drive()
    drive.go(2.0, reason="no camera_info", detail="/camera/camera_info: fx is 0, but must be greater than 0.")
    assert str(drive.cause()) == "no image can be used: /camera/camera_info: fx is 0, but must be greater than 0."


def test_the_reason_that_most_images_fall_to_is_the_cause_with_its_latest_detail() -> None:
    drive = Drive()
    drive.go(1.0)
    drive.go(0.2, reason="out of order")
    drive.go(1.0, reason="no transform", detail="first.")
    drive.go(0.2, reason="no transform", detail="odom to base_link is missing since 1.0 s.")
    cause = drive.cause()
    assert cause == Cause("no transform", "")
    assert str(cause) == "no image can be used: odom to base_link is missing since 1.0 s."


def test_drops_before_the_last_result_are_no_cause() -> None:
    drive = Drive()
    drive.go(3.0, reason="too old")
    drive.go(0.05)
    drive.go(1.2, reason="no transform")
    assert drive.cause() == Cause("no transform", "")


def test_an_engine_that_does_not_answer_is_told_since_when() -> None:
    drive = Drive()
    drive.go(1.0)
    drive.health.engine_began(drive.now)
    drive.go(3.2, reason=None)
    assert str(drive.cause()) == "the engine has been busy with one image for 3.2 s."
    drive.health.engine_ended(drive.now)
    assert drive.cause() == Cause("no answer", "")


def test_the_first_broken_link_is_told_when_several_are() -> None:
    drive = Drive()
    drive.health.engine_began(drive.now)
    drive.go(2.0, reason="no transform")
    assert drive.cause() == Cause("engine silent", "")
    drive.now += 2
    drive.camera = replace(drive.camera, last_info=None)
    assert drive.cause() == Cause("no images", "")
    drive.camera = replace(drive.camera, publishers=0)
    assert drive.cause() == Cause("no publisher", "")


def test_rates_are_those_of_now() -> None:
    drive = Drive()
    drive.go(1.0, rate=30)
    assert drive.health.figures(drive.now).image_rate == pytest.approx(30, abs=1.1)
    drive.go(20.0, rate=10)
    assert drive.health.figures(drive.now).image_rate == pytest.approx(10, abs=0.3)
    assert drive.health.figures(drive.now).result_rate == pytest.approx(10, abs=0.3)
    drive.now += 10
    assert drive.health.figures(drive.now).image_rate == 0


def test_latencies_follow_the_present() -> None:
    drive = Drive()
    for index in range(1000):
        drive.now += 0.03
        drive.health.result(drive.now, {"network": 500.0 if index < 700 else float(index - 699)})
    summary = drive.health.figures(drive.now).latency()["network"]
    assert summary["p50"] == pytest.approx(150, rel=0.01)
    assert summary["p95"] == pytest.approx(285, rel=0.01)
    assert summary["p99"] == pytest.approx(297, rel=0.01)
    drive.now += 60
    assert drive.health.figures(drive.now).latency() == {}


def test_activation_counts_anew() -> None:
    drive = Drive()
    drive.go(1.0)
    drive.go(1.0, reason="too old")
    drive.health.replaced()
    drive.health.activated(drive.now)
    figures = drive.health.figures(drive.now)
    assert (figures.images, figures.results, figures.replaced, figures.drops) == (0, 0, 0, {})


def test_a_healthy_node_says_so_with_its_figures() -> None:
    drive = Drive()
    drive.go(10.0)
    drive.health.replaced()
    status = drive.status()
    assert status.level == Level.OK == 0
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


NO_POINTS, NO_DEPTH = Refusal("no point cloud", "none."), Refusal("no depth image", "none.")
GROUNDLESS = Refusal("depth image shows no ground", "check where the camera is.")
LATE = Refusal("point cloud of another time than the image", "/points: 0.3 s before it.")


def test_how_images_are_projected_is_said_and_counted_and_a_robot_without_depth_is_well() -> None:
    drive = Drive()
    drive.project("depth", NO_POINTS, count=30)
    drive.project("plane", NO_POINTS, NO_DEPTH, count=10)
    status = drive.status()
    assert status.level == Level.OK
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


def test_what_is_known_of_the_horizon_is_shown_where_somebody_asks() -> None:
    drive = Drive()
    drive.project("plane")
    assert "horizon" not in drive.status().values
    drive.health.projected("plane", [], "pitch +1.02°, roll +0.00°, standard error 0.03°, by 9 looks")
    assert drive.status().values["horizon"].startswith("pitch +1.02°")


@pytest.mark.parametrize(
    ("mode", "refusal", "level"),
    [
        ("auto", NO_DEPTH, Level.OK),
        ("auto", GROUNDLESS, Level.OK),
        ("auto", LATE, Level.WARN),
        ("points", LATE, Level.WARN),
        ("depth", GROUNDLESS, Level.WARN),
    ],
)
def test_a_projection_that_falls_short_is_a_warning_if_asked_for_and_with_auto_if_its_sensor_delivers(
    mode: str, refusal: Refusal, level: Level
) -> None:
    drive = Drive(mode)
    drive.project("plane", count=95)
    drive.project("plane", refusal, count=5)
    assert drive.status().level == Level.OK, "one in twenty"
    drive.project("plane", refusal, count=25)
    status = drive.status()
    assert status.level == level
    said = f"of the latest 100 results, 30 could not be projected as projection.mode '{mode}' wants: {refusal.detail}"
    assert (status.message == said) == (level == Level.WARN)


def test_a_stale_node_is_an_error_with_the_cause_and_recovers_by_itself() -> None:
    drive = Drive()
    drive.go(10.0)
    drive.go(2.0, reason="too old", detail="the image's stamp lies 3 days behind the node's clock.")
    status = drive.status()
    assert status.level == Level.ERROR == 2
    assert "3 days behind" in status.message
    assert status.values["dropped: too old"] == "32"
    drive.go(10.0)
    assert drive.status().level == Level.OK


@pytest.mark.parametrize(("share", "level"), [(0.05, Level.OK), (0.2, Level.WARN)])
def test_a_notable_share_of_drops_is_a_warning(share: float, level: Level) -> None:
    drive = Drive()
    for _ in range(10):
        drive.go(1.0 - share)
        drive.go(share, reason="no transform", detail="odom is late.")
    status = drive.status()
    assert status.level == level
    assert ("odom is late." in status.message) == (level == Level.WARN)


def test_what_comes_only_reliably_is_a_warning_unless_that_was_asked_for() -> None:
    drive = Drive()
    drive.camera = replace(drive.camera, reliability="reliable")
    drive.go(10.0)
    assert drive.status().level == Level.OK
    drive.camera = replace(drive.camera, shortfalls=("point clouds are asked for reliably.",))
    assert drive.status().level == Level.WARN
    assert drive.status().message == "point clouds are asked for reliably."


def test_a_problem_of_the_camera_is_a_warning_while_results_still_come() -> None:
    drive = Drive()
    drive.camera = replace(drive.camera, problem="another publisher's QoS does not fit.")
    drive.go(10.0)
    assert (drive.status().level, drive.status().message) == (Level.WARN, "another publisher's QoS does not fit.")


def test_a_node_slower_than_camera_and_costmap_rate_is_a_warning() -> None:
    drive = Drive()
    for _ in range(60):
        drive.go(0.25, reason=None)
        drive.go(0.05)
    assert drive.status().level == Level.WARN
    assert "3.2 results/s are fewer than the 5.0" in drive.status().message


def test_a_slow_camera_does_not_hide_what_becomes_of_its_images() -> None:
    drive = Drive()
    drive.go(4.0, rate=1.5, reason="no transform")
    drive.now += 0.6
    assert drive.cause() == Cause("no transform", "")


def test_a_slow_camera_is_no_fault_of_the_node() -> None:
    drive = Drive()
    drive.go(30.0, rate=2.0)
    assert drive.status().level == Level.OK


def test_an_engine_that_is_being_opened_again_is_a_warning_and_one_given_up_an_error() -> None:
    drive = Drive()
    drive.go(10.0)
    drive.engine = EngineState(1, "RuntimeError: device lost", drive.now + 0.5)
    status = drive.status()
    assert status.level == Level.WARN
    assert status.message == "the engine failed (RuntimeError: device lost); it is opened again in 0.5 s."
    drive.engine = EngineState(7, "RuntimeError: device lost", drive.now + 12)
    assert drive.status().level == Level.ERROR
    assert "7 times in a row" in drive.status().message


def test_a_node_that_is_not_active_is_no_error() -> None:
    health = Health()
    assert status_of(health.figures(5.0), None, WELL, "", "", SETTINGS).level == Level.OK


@pytest.mark.parametrize(
    ("stamp_ns", "reason", "words"),
    [
        (0, "no stamp", "header.stamp is 0"),
        (7 * DAY, "too old", "3 days behind the node's clock; is use_sim_time missing?"),
        (10 * DAY - 90 * 10**9, "too old", "90 s behind"),
        (10 * DAY - 600 * 10**9, "too old", "10 min behind"),
        (10 * DAY + 10**9, "from the future", "1 s ahead"),
        (14 * DAY, "from the future", "4 days ahead"),
    ],
)
def test_stamps_that_cannot_be_right_are_told_in_words(stamp_ns: int, reason: str, words: str) -> None:
    problem = stamp_problem(stamp_ns, 10 * DAY, max_age=1.0, max_lead=0.1)
    assert problem is not None
    assert problem[0] == reason
    assert words in problem[1]


def test_stamps_within_their_limits_are_right() -> None:
    for stamp_ns in (10 * DAY - 10**9, 10 * DAY, 10 * DAY + 10**8):
        assert stamp_problem(stamp_ns, 10 * DAY, max_age=1.0, max_lead=0.1) is None


def test_threads_may_report_all_at_once() -> None:
    health = Health()
    health.activated(0.0)

    def report() -> None:
        for index in range(2000):
            health.received(float(index))
            health.dropped("too old", "why.")
            health.result(float(index), {"total": 1.0})
            health.figures(float(index)) if index % 100 == 0 else health.replaced()

    threads = [threading.Thread(target=report) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    figures = health.figures(2000.0)
    assert (figures.images, figures.results, figures.drops["too old"]) == (8000, 8000, 8000)
    assert figures.replaced == 4 * 1980


def test_what_decides_needs_no_ros() -> None:
    parts = "seg_perception.ros.diagnostics.status, seg_perception.ros.engine_supervisor"
    script = f"import sys; sys.modules['rclpy'] = None; import {parts}"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_the_message_for_diagnostics_tools_says_the_same() -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")
    from seg_perception.ros.diagnostics.status_message import diagnostics_message

    status = Status(Level.ERROR, "nobody publishes /camera/image.", {"images": "0"})
    message = diagnostics_message(status, 1_500_000_000, "perception", "/camera/image")
    (entry,) = message.status
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1, 500_000_000)
    assert (entry.level, entry.name, entry.message) == (b"\x02", "perception", "nobody publishes /camera/image.")
    assert [(value.key, value.value) for value in entry.values] == [("images", "0")]
