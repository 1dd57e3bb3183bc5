"""The camera's topics: images, their calibration, and why images do not arrive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from seg_perception.doctor.dds import SEGMENT
from seg_perception.errors import GeometryError
from seg_perception.geometry.camera import Camera
from seg_perception.ros import messages
from seg_perception.ros.inputs.adaptive_qos import Cargo, LargeInput, info_topic_beside
from seg_perception.ros.inputs.reliability_fallback import PATIENCE, RELIABLE, Reliability

_IMAGES = Cargo(
    plural="images",
    parameter="image_reliability",
    driver="camera driver",
    instead="set image_transport to 'compressed'",
    # Only the newest counts; but of reliable large images at 1280x720 and 30 Hz, a depth of 1 lost a third to the one
    # that was still coming in.
    depths=(1, 2),
)


@dataclass(frozen=True)
class CameraState:
    """What is known about the camera's topics.

    Attributes:
        topic: of the images, resolved.
        info_topic: of the calibration, resolved.
        publishers: of the images.
        last_image: time.monotonic() of the newest image; None before the first.
        last_info: time.monotonic() of the newest calibration; None before the first.
        reliability: "best effort" or "reliable", of the subscription in use.
        problem: one sentence on why images do not arrive, and the mend; empty while they do, or while it is too early.
        shortfalls: one sentence on each topic of images, depth or points that best effort did not bring, and the mend.
    """

    topic: str
    info_topic: str
    publishers: int
    last_image: float | None
    last_info: float | None
    reliability: str
    problem: str
    shortfalls: tuple[str, ...]


class CameraInput:
    """Subscriptions to images and calibration, kept as short as they can be: only the newest counts."""

    def __init__(
        self,
        node: Any,
        transport: str,
        reliability: Reliability,
        on_image: Callable[[Any, float], None],
        say: Callable[[str], None],
        prefix: str = "",
    ) -> None:
        """Subscribe.

        Args:
            node: the node; its topic `image` is subscribed, or with `/compressed` after it, and the `camera_info`
                beside it unless that is remapped.
            transport: "raw" or "compressed".
            reliability: of images, as `LargeInput` has it.
            on_image: takes each message and the time.monotonic() of its arrival.
            say: logs a warning.
            prefix: what stands before the names of the topics, where there are several cameras.

        Raises:
            ConfigError: the parameter that overrides the reliability is none of these.
        """
        self._node = node
        self._type = Image if transport == "raw" else CompressedImage
        base = node.resolve_topic_name(f"{prefix}image")
        self._topic: str = node.resolve_topic_name(base if transport == "raw" else f"{base}/compressed")
        self._on_image = on_image
        self._say = say
        self._began = time.monotonic()
        self._last_image: float | None = None
        self._last_info: float | None = None
        self._info: CameraInfo | None = None
        self._has_info = threading.Event()
        self._parsed: tuple[CameraInfo, Camera] | None = None
        self._images = LargeInput(node, self._type, self._topic, _IMAGES, reliability, self._take_image, say)
        info_topic = _info_topic(node, base, f"{prefix}camera_info")
        # Some drivers publish the calibration once, latched; a volatile subscription would never see it, and a latched
        # one never hears the drivers that publish it with every image, which is no mistake of theirs.
        self._latched_infos = node.create_subscription(
            CameraInfo,
            info_topic,
            self._take_latched_info,
            QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=lambda event: None),
        )
        self._infos = node.create_subscription(
            CameraInfo,
            info_topic,
            self._take_info,
            QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def camera(self, timeout: float = 0.0) -> Camera:
        """The calibration as it was published last.

        Args:
            timeout: how long to wait for the very first one, s; it often comes just behind the first image.

        Raises:
            GeometryError: none has come yet, or it makes no camera.
        """
        self._has_info.wait(timeout)
        info, parsed, topic = self._info, self._parsed, self._infos.topic_name
        if info is None:
            raise GeometryError(f"{topic}: no camera_info has come yet; check the camera driver and the remapping.")
        # Kept together with its message: another one may come in the executor's thread at any moment.
        if parsed is None or parsed[0] is not info:
            try:
                parsed = info, messages.camera_of(info, self._topic)
            except GeometryError as error:
                raise GeometryError(f"{topic}: {error}") from None
            self._parsed = parsed
        return parsed[1]

    def check(self, now: float) -> None:
        """See `LargeInput.check`."""
        self._images.check(now)

    def state(self) -> CameraState:
        """What is known now."""
        return CameraState(
            topic=self._topic,
            info_topic=self._infos.topic_name,
            publishers=self._node.count_publishers(self._topic),
            last_image=self._last_image,
            last_info=self._last_info,
            reliability=self._images.reliability,
            problem=self._problem(time.monotonic()),
            shortfalls=tuple(filter(None, (self._images.shortfall,))),
        )

    def close(self) -> None:
        """Unsubscribe."""
        self._images.close()
        for subscription in (self._infos, self._latched_infos):
            self._node.destroy_subscription(subscription)

    def _take_image(self, message: Any) -> None:
        self._last_image = time.monotonic()
        self._on_image(message, self._last_image)

    def _take_info(self, message: CameraInfo) -> None:
        self._last_info = time.monotonic()
        self._images.announced()
        if self._info is None or _calibration(message) != _calibration(self._info):
            if self._info is not None:
                self._say(
                    f"{self._infos.topic_name}: the calibration has changed; images are projected with the new one."
                )
            self._info = message
            self._has_info.set()

    def _take_latched_info(self, message: CameraInfo) -> None:
        if self._info is None:
            self._last_info = time.monotonic()
            self._info = message
            self._has_info.set()

    def _waited(self, now: float) -> float:
        return now - max(self._began, self._last_image or self._began)

    def _problem(self, now: float) -> str:
        if self._images.incompatible:
            return self._images.incompatible
        if self._waited(now) < PATIENCE:
            return ""
        wanted = f"sensor_msgs/msg/{self._type.__name__}"
        types = {offer.topic_type for offer in self._node.get_publishers_info_by_topic(self._topic)}
        if types and wanted not in types:
            return f"it carries {' and '.join(sorted(types))}, not {wanted}; check the remapping and image_transport."
        # Reliable delivery has another way for large images, and a camera that is off sends no camera_info either.
        is_announced = self._last_info is not None and now - self._last_info < PATIENCE
        if self._type is CompressedImage or self._images.reliability == RELIABLE or not is_announced:
            return ""
        assert self._info is not None
        if 3 * self._info.width * self._info.height <= SEGMENT:
            return ""
        return (
            f"camera_info comes, but a raw colour image of {self._info.width}x{self._info.height} pixels does not fit "
            f"into the {SEGMENT // 1024} KB of shared memory that a Fast DDS publisher has by default; "
            f"{_IMAGES.advice()}"
        )


def _info_topic(node: Any, image_topic: str, name: str) -> str:
    """Where it was remapped to, else beside the images."""
    remapped: str = node.resolve_topic_name(name)
    if remapped != node.resolve_topic_name(name, only_expand=True):
        return remapped
    return info_topic_beside(image_topic)


def _calibration(info: CameraInfo) -> tuple[Any, ...]:
    # Bytes, because a number that is none (NaN) would differ from itself.
    return info.width, info.height, info.distortion_model, *(numbers.tobytes() for numbers in (info.d, info.k, info.p))
