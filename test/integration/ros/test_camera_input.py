"""The camera's subscriptions on a real lifecycle node, over real DDS."""

from __future__ import annotations

import array
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install '.[ros]'")

from support import node_process as ros_support

ros_support.isolate()

from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String
from support.topic_probe import BEST_EFFORT, RELIABLE, Driver, Listener, driving, starting

from seg_perception.errors import ConfigError, GeometryError
from seg_perception.ros import messages
from seg_perception.ros.inputs import camera_input
from seg_perception.ros.inputs.camera_input import CameraInput
from seg_perception.ros.inputs.reliability_fallback import Reliability

PATIENCE = 2.0  # s, as documented
NAN = float("nan")


class Clock:
    """time.monotonic() for the code under test, which a test can turn forward instead of waiting."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


class Perception(Listener):
    """A listener with a CameraInput, and what came of it."""

    def __init__(self, clock: Clock, arguments: tuple[str, ...]) -> None:
        super().__init__(arguments)
        self.clock = clock
        self._inputs: list[CameraInput] = []
        self.images: list[tuple[Any, float]] = []

    def listen(self, transport: str = "raw", reliability: Reliability = "auto") -> CameraInput:
        made = CameraInput(
            self.node, transport, reliability, lambda *image: self.images.append(image), self.said.append
        )
        self._inputs.append(made)
        return made

    def close(self) -> None:
        for each in self._inputs:
            each.close()
        super().close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(camera_input, "time", SimpleNamespace(monotonic=made))
    return made


@pytest.fixture
def start(clock: Clock) -> Iterator[Callable[..., Perception]]:
    """Starts a node with ROS arguments."""
    yield from starting(partial(Perception, clock))


@pytest.fixture
def driver() -> Iterator[Driver]:
    made = Driver()
    yield made
    made.close()


def info(width: int = 64, height: int = 48, focal: float = 50.0) -> CameraInfo:
    k = [focal, 0.0, 31.5, 0.0, focal, 23.5, 0.0, 0.0, 1.0]
    return CameraInfo(width=width, height=height, distortion_model="plumb_bob", d=[0.0] * 5, k=k)


def image(first: int = 0) -> Image:
    return Image(width=4, height=2, encoding="mono8", step=4, data=array.array("B", range(first, first + 8)))


def publish_infos(perception: Perception, publisher: Any, content: CameraInfo, count: int = 3) -> None:
    for _ in range(count):
        publisher.publish(content)
        perception.spin(0.03)


def check_after(perception: Perception, camera: CameraInput, seconds: float) -> None:
    perception.clock.ahead += seconds
    camera.check(perception.clock())


# -- images come ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offered", [BEST_EFFORT, RELIABLE])
def test_images_come_best_effort_from_whatever_publisher(
    start: Callable[..., Perception], driver: Driver, offered: QoSProfile
) -> None:
    perception = start()
    camera = perception.listen()
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
def test_of_images_that_wait_the_newest_is_kept_unless_more_are_asked_for(
    start: Callable[..., Perception], driver: Driver, arguments: tuple[str, ...], kept: int
) -> None:
    perception = start(*arguments)
    perception.listen()
    publisher = driver.publisher(perception, Image, "/image")
    for number in range(5):
        publisher.publish(image(number))
    time.sleep(0.2)
    perception.spin(0.3)
    assert [message.data[0] for message, _ in perception.images] == list(range(5 - kept, 5))


@pytest.mark.parametrize("remap", ["image:=/camera/image_raw", "image/compressed:=/camera/image_raw/compressed"])
def test_compressed_images_come_beside_the_raw_ones(
    start: Callable[..., Perception], driver: Driver, remap: str
) -> None:
    perception = start("-r", remap)
    camera = perception.listen("compressed")
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
def test_camera_info_is_looked_for_beside_the_image_unless_remapped(
    start: Callable[..., Perception], transport: str, arguments: tuple[str, ...], expected: str
) -> None:
    assert start(*arguments).listen(transport).state().info_topic == expected


# -- quality of service --------------------------------------------------------------------------------------------


def test_a_best_effort_camera_that_is_asked_for_reliability_is_told(
    start: Callable[..., Perception], driver: Driver
) -> None:
    perception = start()
    camera = perception.listen(reliability="reliable")
    assert perception.qos("/image").reliability == ReliabilityPolicy.RELIABLE
    driver.node.create_publisher(Image, "/image", BEST_EFFORT)
    perception.wait(lambda: perception.said, "a warning")
    expected = "QoS is incompatible: it offers best effort, volatile, and reliable is asked for; set parameter"
    assert expected in camera.state().problem and expected in perception.said[0]
    assert perception.said[0].startswith("/image: ") and "image_reliability" in perception.said[0]


@pytest.mark.parametrize("chosen", ["best_effort", "reliable"])
def test_ros_own_parameters_outrank_ours_each_time_the_node_is_activated(
    start: Callable[..., Perception], driver: Driver, chosen: str
) -> None:
    perception = start("-p", f"qos_overrides./image.subscription.reliability:={chosen}")
    for _ in range(2):
        camera = perception.listen(reliability="auto")
        assert camera.state().reliability == chosen.replace("_", " ")
        assert perception.qos("/image").reliability == ReliabilityPolicy[chosen.upper()]
        camera.close()


def test_the_reliability_can_be_overridden_for_camera_info_too(start: Callable[..., Perception]) -> None:
    perception = start("-p", "qos_overrides./camera_info.subscription.reliability:=reliable")
    perception.listen()
    assert perception.qos("/camera_info").reliability == ReliabilityPolicy.RELIABLE


def test_an_override_that_is_no_reliability_is_refused(start: Callable[..., Perception]) -> None:
    perception = start("-p", "qos_overrides./image.subscription.reliability:=fast")
    with pytest.raises(ConfigError, match="is 'fast'; use one of auto, best_effort, reliable") as caught:
        perception.listen()
    assert "qos_overrides./image.subscription.reliability" in str(caught.value)


# -- images that are announced, and do not come --------------------------------------------------------------------


def announced(
    perception: Perception,
    driver: Driver,
    reliability: Reliability = "auto",
    offered: QoSProfile = RELIABLE,
    content: CameraInfo | None = None,
) -> tuple[CameraInput, Any]:
    """A camera that sends its calibration and no image."""  # fmt: skip
    camera = perception.listen(reliability=reliability)
    driver.publisher(perception, Image, "/image", offered)
    infos = driver.publisher(perception, CameraInfo, "/camera_info")
    camera.check(perception.clock())
    publish_infos(perception, infos, info(1280, 720) if content is None else content)
    return camera, infos


def test_images_too_large_for_best_effort_are_taken_reliably(start: Callable[..., Perception]) -> None:
    """The default of Fast DDS loses (nearly) all raw images of 1920x1080 between processes."""
    perception = start()
    camera = perception.listen()
    perception.node.create_subscription(Odometry, "odometry", lambda _: None, 1)  # what the driver waits for
    with driving(1920, 1080, 15, 300):
        perception.wait(
            lambda: camera.check(time.monotonic()) or perception.said or len(perception.images) > 60, "the change"
        )
        if not perception.said:
            pytest.skip("this machine is slow enough to lose no images: best effort brought 60 of 1920x1080")
        assert "best effort brought" in perception.said[0] and "asking for reliable delivery" in perception.said[0]
        perception.images.clear()
        perception.wait(lambda: len(perception.images) >= 10, "images", timeout=5.0)
    assert camera.state().reliability == "reliable" and camera.state().problem == ""
    assert perception.images[-1][0].width == 1920 and len(perception.said) == 1


def test_reliable_delivery_is_asked_for_once_announced_images_stay_away(
    start: Callable[..., Perception], driver: Driver
) -> None:
    perception = start()
    camera, _ = announced(perception, driver)
    check_after(perception, camera, 0.9 * PATIENCE)
    assert camera.state().reliability == "best effort", "too early"
    check_after(perception, camera, 0.2 * PATIENCE)
    assert camera.state().reliability == "reliable"
    assert perception.qos("/image").reliability == ReliabilityPolicy.RELIABLE
    perception.spin(0.1)  # the executor has no use for the old subscription
    check_after(perception, camera, 2 * PATIENCE)
    assert len(perception.said) == 1


def test_a_camera_that_comes_back_best_effort_is_taken_so_again(
    start: Callable[..., Perception], driver: Driver
) -> None:
    perception = start()
    camera = perception.listen()
    reliable = driver.publisher(perception, Image, "/image")
    infos = driver.publisher(perception, CameraInfo, "/camera_info")
    camera.check(perception.clock())
    publish_infos(perception, infos, info(1280, 720))
    check_after(perception, camera, 1.1 * PATIENCE)
    assert camera.state().reliability == "reliable"
    driver.node.destroy_publisher(reliable)
    other = driver.node.create_publisher(Image, "/image", BEST_EFFORT)

    def arrives() -> bool:
        camera.check(perception.clock())
        other.publish(image())
        return bool(perception.images)

    perception.wait(arrives, "an image", timeout=3.0)
    assert camera.state().reliability == "best effort" and camera.state().problem == ""


def test_a_publisher_that_has_just_come_is_given_its_time(start: Callable[..., Perception], driver: Driver) -> None:
    perception = start()
    camera = perception.listen()
    check_after(perception, camera, 0.5 * PATIENCE)
    driver.publisher(perception, Image, "/image")
    infos = driver.publisher(perception, CameraInfo, "/camera_info")
    camera.check(perception.clock())
    publish_infos(perception, infos, info())
    check_after(perception, camera, 0.6 * PATIENCE)
    assert camera.state().reliability == "best effort" and not perception.said


def test_a_camera_that_is_off_is_no_reason_for_reliable_delivery(
    start: Callable[..., Perception], driver: Driver
) -> None:
    perception = start()
    camera = perception.listen()
    driver.publisher(perception, Image, "/image")
    for _ in range(3):
        check_after(perception, camera, 1.1 * PATIENCE)
    state = camera.state()
    assert (state.publishers, state.reliability, state.problem) == (1, "best effort", "") and not perception.said


@pytest.mark.parametrize(("reliability", "offered"), [("auto", BEST_EFFORT), ("best_effort", RELIABLE)])
def test_reliable_delivery_is_asked_for_only_where_offered_and_left_to_us(
    start: Callable[..., Perception], driver: Driver, reliability: Reliability, offered: QoSProfile
) -> None:
    perception = start()
    camera, _ = announced(perception, driver, reliability, offered)
    check_after(perception, camera, 1.1 * PATIENCE)
    assert camera.state().reliability == "best effort" and not perception.said


def test_the_users_own_best_effort_is_never_changed(start: Callable[..., Perception], driver: Driver) -> None:
    perception = start("-p", "qos_overrides./image.subscription.reliability:=best_effort")
    camera, _ = announced(perception, driver)
    check_after(perception, camera, 1.1 * PATIENCE)
    assert perception.qos("/image").reliability == ReliabilityPolicy.BEST_EFFORT and not perception.said


# -- why, and what to do -------------------------------------------------------------------------------------------


def test_calibration_without_large_images_is_put_down_to_shared_memory_with_the_mend(
    start: Callable[..., Perception], driver: Driver
) -> None:
    perception = start()
    camera, infos = announced(perception, driver, offered=BEST_EFFORT)
    assert camera.state().problem == "", "too early"
    perception.clock.ahead += 1.1 * PATIENCE
    publish_infos(perception, infos, info(1280, 720))
    problem = camera.state().problem
    for words in (
        "1280x720", "512 KB of shared memory", "config/dds/fastdds_large_images.xml", "FASTRTPS_DEFAULT_PROFILES_FILE",
        "FASTDDS_DEFAULT_PROFILES_FILE", "image_transport",
    ):  # fmt: skip
        assert words in problem
    perception.clock.ahead += 1.1 * PATIENCE
    assert camera.state().problem == "", "now camera_info has stopped, too: nothing points to shared memory"


def test_nothing_is_put_down_to_shared_memory_that_would_fit(start: Callable[..., Perception], driver: Driver) -> None:
    perception = start()
    camera, infos = announced(perception, driver, offered=BEST_EFFORT, content=info(320, 240))
    perception.clock.ahead += 1.1 * PATIENCE
    publish_infos(perception, infos, info(320, 240))
    assert camera.state().problem == ""


def test_a_topic_of_another_type_is_told(start: Callable[..., Perception], driver: Driver) -> None:
    perception = start("-r", "image:=/chatter")
    camera = perception.listen()
    driver.node.create_publisher(String, "/chatter", 1)
    perception.wait(lambda: perception.node.count_publishers("/chatter"), "the publisher")
    perception.clock.ahead += 1.1 * PATIENCE
    problem = camera.state().problem
    assert problem.startswith("it carries std_msgs/msg/String, not sensor_msgs/msg/Image; check the remapping")


# -- calibration ---------------------------------------------------------------------------------------------------


def calibrated(perception: Perception, driver: Driver, content: CameraInfo) -> tuple[CameraInput, Any]:
    camera = perception.listen()
    infos = driver.publisher(perception, CameraInfo, "/camera_info")
    infos.publish(content)
    perception.wait(lambda: camera.state().last_info, "camera_info")
    return camera, infos


def test_no_calibration_is_told_with_the_topic(start: Callable[..., Perception]) -> None:
    camera = start("-r", "image:=/front/image_raw").listen()
    with pytest.raises(GeometryError, match=r"^/front/camera_info: no camera_info has come yet; check .*\.$"):
        camera.camera()


def test_the_first_calibration_is_waited_for_by_the_worker(start: Callable[..., Perception], driver: Driver) -> None:
    perception = start()
    camera = perception.listen()
    infos = driver.publisher(perception, CameraInfo, "/camera_info")
    with pytest.raises(GeometryError, match="no camera_info has come yet"):
        camera.camera(timeout=0.05)
    with ThreadPoolExecutor(1) as worker:
        waiting = worker.submit(camera.camera, timeout=5.0)
        infos.publish(info())
        perception.wait(waiting.done, "the calibration")
    assert waiting.result().width == 64


def test_an_uncalibrated_camera_is_told_with_the_topic(start: Callable[..., Perception], driver: Driver) -> None:
    camera, _ = calibrated(start(), driver, CameraInfo(width=64, height=48))
    for _ in range(2):
        with pytest.raises(GeometryError, match=r"^/camera_info: the camera is not calibrated .*\.$"):
            camera.camera()


def test_the_calibration_is_read_once_and_a_new_one_is_told(start: Callable[..., Perception], driver: Driver) -> None:
    perception = start()
    camera, infos = calibrated(perception, driver, info())
    first = camera.camera()
    publish_infos(perception, infos, info())
    assert camera.camera() is first and not perception.said
    publish_infos(perception, infos, info(focal=60.0))
    perception.wait(lambda: perception.said, "the news")
    assert camera.camera().matrix[0, 0] == 60.0 and first.matrix[0, 0] == 50.0
    assert perception.said == ["/camera_info: the calibration has changed; images are projected with the new one."]


def test_a_calibration_that_is_no_number_is_not_new_each_time(start: Callable[..., Perception], driver: Driver) -> None:
    perception = start()
    content = info(focal=NAN)
    camera, infos = calibrated(perception, driver, content)
    publish_infos(perception, infos, content)
    assert perception.said == []
    with pytest.raises(GeometryError, match="finite"):
        camera.camera()


def test_a_calibration_that_comes_while_the_old_one_is_read_is_not_lost(
    start: Callable[..., Perception], driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    perception = start()
    camera, infos = calibrated(perception, driver, info(focal=50.0))

    def read_slowly(content: CameraInfo, topic: str) -> Any:
        infos.publish(info(focal=60.0))
        perception.wait(lambda: perception.said, "the new calibration")
        return read(content, topic)

    read = messages.camera_of
    monkeypatch.setattr(messages, "camera_of", read_slowly)
    assert camera.camera().matrix[0, 0] == 50.0
    assert camera.camera().matrix[0, 0] == 60.0


def test_a_rectified_topic_has_the_rectified_camera(start: Callable[..., Perception], driver: Driver) -> None:
    perception = start("-r", "image:=/image_rect")
    content = info()
    content.p = [45.0, 0.0, 30.0, 0.0, 0.0, 45.0, 20.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    camera, _ = calibrated(perception, driver, content)
    assert camera.camera().matrix[0, 0] == 45.0


def test_a_calibration_that_was_published_once_and_latched_is_found(start: Callable[..., Perception]) -> None:
    perception = start()
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = perception.node.create_publisher(CameraInfo, "/camera_info", latched)
    publisher.publish(info())
    camera = perception.listen()
    perception.wait(lambda: camera.state().last_info is not None, "the calibration of before")
    assert camera.camera().width == 64
