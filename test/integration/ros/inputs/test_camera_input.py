"""The image and camera_info subscriptions of a camera, over real DDS."""

from __future__ import annotations

import array
import time
from collections.abc import Callable

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from support.ros import node_process

node_process.isolate()

from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from support.ros.camera_input_node import CameraInputNode, image
from support.ros.topic_probe import BEST_EFFORT, RELIABLE, FakeCameraDriver

from seg_perception.errors import ConfigError


@pytest.mark.parametrize("offered", [BEST_EFFORT, RELIABLE])
def test_best_effort_subscription_receives_from_any_publisher(
    start_camera: Callable[..., CameraInputNode], driver: FakeCameraDriver, offered: QoSProfile
) -> None:
    perception = start_camera()
    camera = perception.subscribe_camera()
    assert camera.state().publishers == 0 and camera.state().last_image is None
    publisher = driver.publisher(perception, Image, "/image", offered)
    before = time.monotonic()
    publisher.publish(image())
    perception.wait(lambda: perception.images, "an image")
    message, received = perception.images[0]
    assert list(message.data) == list(range(8)) and before <= received <= time.monotonic()
    state = camera.state()
    assert (state.topic, state.publishers, state.reliability) == ("/image", 1, "best effort")
    assert state.last_image == received and state.last_info is None and state.problem == ""
    camera.close()
    perception.wait(lambda: publisher.get_subscription_count() == 0, "the end of the subscription")


@pytest.mark.parametrize(("arguments", "kept"), [((), 1), (("-p", "qos_overrides./image.subscription.depth:=4"), 4)])
def test_queue_keeps_the_latest_image_unless_its_depth_is_overridden(
    start_camera: Callable[..., CameraInputNode], driver: FakeCameraDriver, arguments: tuple[str, ...], kept: int
) -> None:
    perception = start_camera(*arguments)
    perception.subscribe_camera()
    publisher = driver.publisher(perception, Image, "/image")
    for number in range(5):
        publisher.publish(image(number))
    time.sleep(0.2)
    perception.spin(0.3)
    assert [message.data[0] for message, _ in perception.images] == list(range(5 - kept, 5))


@pytest.mark.parametrize("remap", ["image:=/camera/image_raw", "image/compressed:=/camera/image_raw/compressed"])
def test_compressed_topic_is_next_to_the_raw_one(
    start_camera: Callable[..., CameraInputNode], driver: FakeCameraDriver, remap: str
) -> None:
    perception = start_camera("-r", remap)
    camera = perception.subscribe_camera("compressed")
    publisher = driver.publisher(perception, CompressedImage, "/camera/image_raw/compressed")
    publisher.publish(CompressedImage(format="jpeg", data=array.array("B", b"abc")))
    perception.wait(lambda: perception.images, "an image")
    assert camera.state().topic == "/camera/image_raw/compressed" and camera.state().publishers == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "/camera_info"),
        (("-r", "__ns:=/robot"), "/robot/camera_info"),
        (("-r", "image:=/front/image_raw"), "/front/camera_info"),
        (("-r", "image:=/front/image_raw", "-r", "camera_info:=/calibration"), "/calibration"),
        (("-r", "__ns:=/robot", "-r", "image:=front/image_rect"), "/robot/front/camera_info"),
        (("-r", "image:=/front/image_raw", "-r", "/front/camera_info:=/elsewhere"), "/elsewhere"),
    ],
)
@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_camera_info_is_next_to_the_image_unless_remapped(
    start_camera: Callable[..., CameraInputNode], transport: str, arguments: tuple[str, ...], expected: str
) -> None:
    assert start_camera(*arguments).subscribe_camera(transport).state().info_topic == expected


def test_incompatible_qos_of_a_best_effort_camera_is_reported(
    start_camera: Callable[..., CameraInputNode], driver: FakeCameraDriver
) -> None:
    perception = start_camera()
    camera = perception.subscribe_camera(reliability="reliable")
    assert perception.qos("/image").reliability == ReliabilityPolicy.RELIABLE
    driver.node.create_publisher(Image, "/image", BEST_EFFORT)
    perception.wait(lambda: perception.warnings, "a warning")
    expected = "QoS is incompatible: the publisher offers best effort, volatile, and the node requests reliable; set "
    assert expected in camera.state().problem and expected in perception.warnings[0]
    assert perception.warnings[0].startswith("/image: ") and "image_reliability" in perception.warnings[0]


@pytest.mark.parametrize("chosen", ["best_effort", "reliable"])
def test_qos_override_takes_precedence_at_each_activation(
    start_camera: Callable[..., CameraInputNode], driver: FakeCameraDriver, chosen: str
) -> None:
    perception = start_camera("-p", f"qos_overrides./image.subscription.reliability:={chosen}")
    for _ in range(2):
        camera = perception.subscribe_camera(reliability="auto")
        assert camera.state().reliability == chosen.replace("_", " ")
        assert perception.qos("/image").reliability == ReliabilityPolicy[chosen.upper()]
        camera.close()


def test_qos_of_camera_info_can_be_overridden(start_camera: Callable[..., CameraInputNode]) -> None:
    perception = start_camera("-p", "qos_overrides./camera_info.subscription.reliability:=reliable")
    perception.subscribe_camera()
    assert perception.qos("/camera_info").reliability == ReliabilityPolicy.RELIABLE


def test_invalid_qos_override_is_rejected(start_camera: Callable[..., CameraInputNode]) -> None:
    perception = start_camera("-p", "qos_overrides./image.subscription.reliability:=fast")
    with pytest.raises(ConfigError, match="is 'fast'; use one of auto, best_effort, reliable") as caught:
        perception.subscribe_camera()
    assert "qos_overrides./image.subscription.reliability" in str(caught.value)
