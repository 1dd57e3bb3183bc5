"""The calibration of a camera from its camera_info, over real DDS."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from support.ros import node_process

node_process.isolate()

from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo
from support.ros.camera_input_node import CameraInputNode, info, publish_infos
from support.ros.topic_probe import FakeCameraDriver

from seg_perception.errors import GeometryError
from seg_perception.ros import messages
from seg_perception.ros.inputs.camera_input import CameraInput

NAN = float("nan")


def calibrated(perception: CameraInputNode, driver: FakeCameraDriver, content: CameraInfo) -> tuple[CameraInput, Any]:
    camera = perception.subscribe_camera()
    infos = driver.publisher(perception, CameraInfo, "/camera_info")
    infos.publish(content)
    perception.wait(lambda: camera.state().last_info, "camera_info")
    return camera, infos


def test_missing_calibration_is_reported_with_the_topic(start_camera: Callable[..., CameraInputNode]) -> None:
    camera = start_camera("-r", "image:=/front/image_raw").subscribe_camera()
    with pytest.raises(GeometryError, match=r"^/front/camera_info: no camera_info received yet; check .*\.$"):
        camera.camera()


def test_worker_waits_for_the_first_calibration(
    start_camera: Callable[..., CameraInputNode], driver: FakeCameraDriver
) -> None:
    perception = start_camera()
    camera = perception.subscribe_camera()
    infos = driver.publisher(perception, CameraInfo, "/camera_info")
    with pytest.raises(GeometryError, match="no camera_info received yet"):
        camera.camera(timeout=0.05)
    with ThreadPoolExecutor(1) as worker:
        waiting = worker.submit(camera.camera, timeout=5.0)
        infos.publish(info())
        perception.wait(waiting.done, "the calibration")
    assert waiting.result().width == 64


def test_uncalibrated_camera_is_reported_with_the_topic(
    start_camera: Callable[..., CameraInputNode], driver: FakeCameraDriver
) -> None:
    camera, _ = calibrated(start_camera(), driver, CameraInfo(width=64, height=48))
    for _ in range(2):
        with pytest.raises(GeometryError, match=r"^/camera_info: the camera is not calibrated .*\.$"):
            camera.camera()


def test_calibration_is_parsed_once_and_a_change_is_logged(
    start_camera: Callable[..., CameraInputNode], driver: FakeCameraDriver
) -> None:
    perception = start_camera()
    camera, infos = calibrated(perception, driver, info())
    first = camera.camera()
    publish_infos(perception, infos, info())
    assert camera.camera() is first and not perception.warnings
    publish_infos(perception, infos, info(focal=60.0))
    perception.wait(lambda: perception.warnings, "the warning")
    assert camera.camera().matrix[0, 0] == 60.0 and first.matrix[0, 0] == 50.0
    assert perception.warnings == ["/camera_info: the calibration has changed; images are projected with the new one."]


def test_calibration_with_nan_is_not_logged_as_changed(
    start_camera: Callable[..., CameraInputNode], driver: FakeCameraDriver
) -> None:
    perception = start_camera()
    content = info(focal=NAN)
    camera, infos = calibrated(perception, driver, content)
    publish_infos(perception, infos, content)
    assert perception.warnings == []
    with pytest.raises(GeometryError, match="finite"):
        camera.camera()


def test_calibration_received_during_parsing_is_not_lost(
    start_camera: Callable[..., CameraInputNode], driver: FakeCameraDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    perception = start_camera()
    camera, infos = calibrated(perception, driver, info(focal=50.0))

    def parse_slowly(content: CameraInfo, topic: str) -> Any:
        infos.publish(info(focal=60.0))
        perception.wait(lambda: perception.warnings, "the new calibration")
        return parse(content, topic)

    parse = messages.camera_of
    monkeypatch.setattr(messages, "camera_of", parse_slowly)
    assert camera.camera().matrix[0, 0] == 50.0
    assert camera.camera().matrix[0, 0] == 60.0


def test_rectified_topic_uses_the_projection_matrix(
    start_camera: Callable[..., CameraInputNode], driver: FakeCameraDriver
) -> None:
    perception = start_camera("-r", "image:=/image_rect")
    content = info()
    content.p = [45.0, 0.0, 30.0, 0.0, 0.0, 45.0, 20.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    camera, _ = calibrated(perception, driver, content)
    assert camera.camera().matrix[0, 0] == 45.0


def test_latched_calibration_is_received(start_camera: Callable[..., CameraInputNode]) -> None:
    perception = start_camera()
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = perception.node.create_publisher(CameraInfo, "/camera_info", latched)
    publisher.publish(info())
    camera = perception.subscribe_camera()
    perception.wait(lambda: camera.state().last_info is not None, "the latched calibration")
    assert camera.camera().width == 64
