"""Why a camera is stale, on a manual clock."""

from __future__ import annotations

from dataclasses import replace

from support.ros.fake_drive import STALE_AFTER, FakeDrive

from seg_perception.ros.diagnostics.status import StaleCause


def test_not_stale_while_results_arrive() -> None:
    drive = FakeDrive()
    for _ in range(10):
        drive.advance(1.0)
        assert drive.cause() is None


def test_stale_from_the_limit_until_the_next_result() -> None:
    drive = FakeDrive()
    drive.advance(1.0)
    last = drive.now
    drive.now = last + STALE_AFTER - 1e-3
    assert drive.cause() is None
    drive.now = last + STALE_AFTER
    assert drive.cause() is not None
    drive.advance(0.05)
    assert drive.cause() is None


def test_activation_starts_the_time_to_stale() -> None:
    drive = FakeDrive()
    drive.now += STALE_AFTER - 0.01
    assert drive.cause() is None
    drive.now += 0.01
    assert drive.cause() is not None


def test_inactive_node_is_never_stale() -> None:
    drive = FakeDrive()
    drive.statistics.deactivated()
    drive.now += 1000
    assert drive.cause() is None
    drive.statistics.activated(drive.now)
    assert drive.cause() is None


def test_cause_names_the_topic_without_publisher() -> None:
    drive = FakeDrive()
    drive.advance(1.0)
    drive.camera = replace(drive.camera, publishers=0)
    drive.now += 2
    assert str(drive.cause()).startswith("no node publishes /camera/image;")


def test_cause_for_a_publisher_without_images_has_the_advice_for_the_camera() -> None:
    drive = FakeDrive()
    drive.camera = replace(drive.camera, problem="give the camera driver more shared memory.")
    drive.now += 3
    assert str(drive.cause()) == (
        "/camera/image has a publisher, but for 3.0 s no image arrived; give the camera driver more shared memory."
    )


def test_cause_names_missing_camera_info() -> None:
    drive = FakeDrive()
    drive.camera = replace(drive.camera, last_info=None)
    drive.advance(2.0, reason="no camera_info")
    assert "no camera_info on /camera/camera_info" in str(drive.cause())


def test_cause_names_the_error_of_an_invalid_camera_info() -> None:
    drive = FakeDrive()
    drive.advance(2.0, reason="no camera_info", detail="/camera/camera_info: fx is 0, but must be greater than 0.")
    assert str(drive.cause()) == "all images are dropped: /camera/camera_info: fx is 0, but must be greater than 0."


def test_cause_is_the_most_frequent_reason_with_its_latest_detail() -> None:
    drive = FakeDrive()
    drive.advance(1.0)
    drive.advance(0.2, reason="out of order")
    drive.advance(1.0, reason="no transform", detail="first.")
    drive.advance(0.2, reason="no transform", detail="odom to base_link is missing since 1.0 s.")
    cause = drive.cause()
    assert cause == StaleCause("no transform", "")
    assert str(cause) == "all images are dropped: odom to base_link is missing since 1.0 s."


def test_drops_before_the_last_result_are_not_the_cause() -> None:
    drive = FakeDrive()
    drive.advance(3.0, reason="too old")
    drive.advance(0.05)
    drive.advance(1.2, reason="no transform")
    assert drive.cause() == StaleCause("no transform", "")


def test_cause_names_a_busy_engine_and_since_when() -> None:
    drive = FakeDrive()
    drive.advance(1.0)
    drive.statistics.engine_started(drive.now)
    drive.advance(3.2, reason=None)
    assert str(drive.cause()) == "the engine has been busy with one image for 3.2 s."
    drive.statistics.engine_finished(drive.now)
    assert drive.cause() == StaleCause("no result", "")


def test_cause_is_the_first_failing_stage() -> None:
    drive = FakeDrive()
    drive.statistics.engine_started(drive.now)
    drive.advance(2.0, reason="no transform")
    assert drive.cause() == StaleCause("engine busy", "")
    drive.now += 2
    drive.camera = replace(drive.camera, last_info=None)
    assert drive.cause() == StaleCause("no images", "")
    drive.camera = replace(drive.camera, publishers=0)
    assert drive.cause() == StaleCause("no publisher", "")


def test_cause_names_the_drops_of_a_slow_camera() -> None:
    drive = FakeDrive()
    drive.advance(4.0, rate=1.5, reason="no transform")
    drive.now += 0.6
    assert drive.cause() == StaleCause("no transform", "")
