"""The camera's topics: images and calibration, and why no images arrive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from seg_perception.doctor.dds import DEFAULT_SEGMENT
from seg_perception.errors import GeometryError
from seg_perception.geometry.camera import Camera
from seg_perception.ros import messages
from seg_perception.ros.diagnostics.camera_input_state import CameraInputState
from seg_perception.ros.inputs.adaptive_qos import AdaptiveQosSubscription, SubscriptionSpec, camera_info_topic
from seg_perception.ros.inputs.reliability_fallback import PATIENCE
from seg_perception.ros.reliability import RELIABLE, Reliability

_IMAGES = SubscriptionSpec(
    messages="images",
    parameter="image_reliability",
    driver="camera driver",
    alternative="set image_transport to 'compressed'",
    # Only the latest image is needed. But with reliable delivery of 1280x720 images at 30 Hz, a depth of 1 lost a
    # third: each incoming image replaced the complete one before it.
    depths=(1, 2),
)


class CameraInput:
    """Subscriptions to images and calibration with the shortest possible queues: only the latest message is needed."""

    def __init__(
        self,
        node: Any,
        transport: str,
        reliability: Reliability,
        on_image: Callable[[Any, float], None],
        warn: Callable[[str], None],
        prefix: str = "",
    ) -> None:
        """Subscribe.

        Args:
            node: the node. The input subscribes its topic `image` or `image/compressed`, and the `camera_info` next to
                it unless that is remapped.
            transport: "raw" or "compressed".
            reliability: of images, see `AdaptiveQosSubscription`.
            on_image: called with each message and the time.monotonic() of its arrival.
            warn: logs a warning.
            prefix: of the topic names, if there are several cameras.

        Raises:
            ConfigError: the parameter that overrides the reliability has none of its values.
        """
        self._node = node
        self._type = Image if transport == "raw" else CompressedImage
        base = node.resolve_topic_name(f"{prefix}image")
        self._topic: str = node.resolve_topic_name(base if transport == "raw" else f"{base}/compressed")
        self._on_image = on_image
        self._warn = warn
        self._subscribed_at = time.monotonic()
        self._last_image: float | None = None
        self._last_info: float | None = None
        self._info: CameraInfo | None = None
        self._has_info = threading.Event()
        self._parsed: tuple[CameraInfo, Camera] | None = None
        self._images = AdaptiveQosSubscription(
            node, self._type, self._topic, _IMAGES, reliability, self._take_image, warn
        )
        info_topic = _info_topic(node, base, f"{prefix}camera_info")
        # Some drivers publish the calibration once, latched, and a volatile subscription would never receive it. A
        # latched subscription receives nothing from drivers that publish it with every image. Hence two of them.
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
        """The latest calibration.

        Args:
            timeout: longest wait for the first one, s; it often arrives just after the first image.

        Raises:
            GeometryError: no calibration has arrived yet, or it is not valid.
        """
        self._has_info.wait(timeout)
        info, parsed, topic = self._info, self._parsed, self._infos.topic_name
        if info is None:
            raise GeometryError(f"{topic}: no camera_info received yet; check the camera driver and the remapping.")
        # Stored with its message, because the executor's thread may receive another one at any moment.
        if parsed is None or parsed[0] is not info:
            try:
                parsed = info, messages.camera_of(info, self._topic)
            except GeometryError as error:
                raise GeometryError(f"{topic}: {error}") from None
            self._parsed = parsed
        return parsed[1]

    def check(self, now: float) -> None:
        """See `AdaptiveQosSubscription.check`."""
        self._images.check(now)

    def state(self) -> CameraInputState:
        """The state of the subscriptions now."""
        return CameraInputState(
            topic=self._topic,
            info_topic=self._infos.topic_name,
            publishers=self._node.count_publishers(self._topic),
            last_image=self._last_image,
            last_info=self._last_info,
            reliability=self._images.reliability,
            problem=self._problem(time.monotonic()),
            fallback_reasons=tuple(filter(None, (self._images.fallback_reason,))),
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
        self._images.announce_message()
        if self._info is None or _calibration(message) != _calibration(self._info):
            if self._info is not None:
                self._warn(
                    f"{self._infos.topic_name}: the calibration has changed; images are projected with the new one."
                )
            self._info = message
            self._has_info.set()

    def _take_latched_info(self, message: CameraInfo) -> None:
        if self._info is None:
            self._last_info = time.monotonic()
            self._info = message
            self._has_info.set()

    def _seconds_without_image(self, now: float) -> float:
        return now - max(self._subscribed_at, self._last_image or self._subscribed_at)

    def _problem(self, now: float) -> str:
        if self._images.incompatible:
            return self._images.incompatible
        if self._seconds_without_image(now) < PATIENCE:
            return ""
        expected = f"sensor_msgs/msg/{self._type.__name__}"
        types = {publisher.topic_type for publisher in self._node.get_publishers_info_by_topic(self._topic)}
        if types and expected not in types:
            return f"it carries {' and '.join(sorted(types))}, not {expected}; check the remapping and image_transport."
        # Reliable delivery brings large images, too, and a camera that is off sends no camera_info either.
        receives_info = self._last_info is not None and now - self._last_info < PATIENCE
        if self._type is CompressedImage or self._images.reliability == RELIABLE or not receives_info:
            return ""
        assert self._info is not None
        if 3 * self._info.width * self._info.height <= DEFAULT_SEGMENT:
            return ""
        return (
            f"camera_info arrives, but a raw colour image of {self._info.width}x{self._info.height} pixels does not "
            f"fit into the {DEFAULT_SEGMENT // 1024} KB of shared memory that a Fast DDS publisher has by default; "
            f"{_IMAGES.advice()}"
        )


def _info_topic(node: Any, image_topic: str, name: str) -> str:
    """The topic that `name` is remapped to, else the one next to the images."""
    remapped: str = node.resolve_topic_name(name)
    if remapped != node.resolve_topic_name(name, only_expand=True):
        return remapped
    return camera_info_topic(image_topic)


def _calibration(info: CameraInfo) -> tuple[Any, ...]:
    # Compared as bytes, because NaN differs from itself.
    return info.width, info.height, info.distortion_model, *(numbers.tobytes() for numbers in (info.d, info.k, info.p))
