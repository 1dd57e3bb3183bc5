"""The camera's topics: images, their calibration, and what to do about images that do not arrive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import DurabilityPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from seg_perception.doctor.dds import SEGMENT
from seg_perception.errors import ConfigError, GeometryError
from seg_perception.geometry.camera import Camera
from seg_perception.ros import messages

_PATIENCE = 2.0  # s without an image from a publisher that is there
_RELIABILITIES = ("auto", "best_effort", "reliable")
_SOME = 6  # camera_info within _PATIENCE: fewer say nothing about a rate
_ADVICE = (
    "start the camera driver with this package's config/dds/fastdds_large_images.xml as "
    "FASTRTPS_DEFAULT_PROFILES_FILE (up to Jazzy) or FASTDDS_DEFAULT_PROFILES_FILE (from Kilted on), or set "
    "image_transport to 'compressed'."
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
    """

    topic: str
    info_topic: str
    publishers: int
    last_image: float | None
    last_info: float | None
    reliability: str
    problem: str


@dataclass
class _Window:
    """What came in since a moment, time.monotonic(), at which camera_info was about to announce images."""

    began: float
    images: int = 0
    infos: int = 0

    def loses(self) -> bool:
        """Whether all images stay away that camera_info announces, or most of them."""
        return (self.images == 0 and self.infos > 1) or (self.infos >= _SOME and self.images < self.infos / 2)


class CameraInput:
    """Subscriptions to images and calibration, kept as short as they can be: only the newest counts."""

    def __init__(
        self,
        node: Any,
        transport: str,
        reliability: str,
        on_image: Callable[[Any, float], None],
        say: Callable[[str], None],
        prefix: str = "",
    ) -> None:
        """Subscribe.

        Args:
            node: the node; its topic `image` is subscribed, or with `/compressed` after it, and the `camera_info`
                beside it unless that is remapped.
            transport: "raw" or "compressed".
            reliability: "best_effort", "reliable", or "auto": best effort until that turns out to lose most of them.
                ROS's own parameter qos_overrides.TOPIC.subscription.reliability outranks it.
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
        chosen = _chosen_reliability(node, self._topic, reliability)
        self._may_fall_back = chosen == "auto"
        self._on_image = on_image
        self._say = say
        self._began = time.monotonic()
        self._window = _Window(self._began)
        self._last_image: float | None = None
        self._last_info: float | None = None
        self._incompatible = ""
        self._info: CameraInfo | None = None
        self._has_info = threading.Event()
        self._parsed: tuple[CameraInfo, Camera] | None = None
        self._reliability = ReliabilityPolicy.RELIABLE if chosen == "reliable" else ReliabilityPolicy.BEST_EFFORT
        self._images = self._subscribe(QoSOverridingOptions((QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH)))
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
            _newest(ReliabilityPolicy.BEST_EFFORT),
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
        """Look after images that do not arrive; called from the executor's thread every now and then.

        Best effort loses images that are larger than the publisher's shared memory, most or all of them. Where the
        publishers offer reliable delivery, that is asked for instead, for as long as they do.

        Args:
            now: time.monotonic().
        """
        if self._may_fall_back and self._incompatible and self._offered() == {ReliabilityPolicy.BEST_EFFORT}:
            self._say(f"{self._topic}: reliable delivery is no longer offered; going back to best effort.")
            self._ask_for(ReliabilityPolicy.BEST_EFFORT)
        if self._window.infos == 0:
            self._window = _Window(now)
        if now - self._window.began < _PATIENCE:
            return
        window, self._window = self._window, _Window(now)
        if not self._may_fall_back or self._reliability == ReliabilityPolicy.RELIABLE or not window.loses():
            return
        if self._offered() == {ReliabilityPolicy.RELIABLE}:
            self._say(
                f"{self._topic}: best effort brought {window.images} images and {window.infos} camera_info in "
                f"{now - window.began:.1f} s; asking for reliable delivery, which is slower. Better: {_ADVICE}"
            )
            self._ask_for(ReliabilityPolicy.RELIABLE)

    def state(self) -> CameraState:
        """What is known now."""
        return CameraState(
            topic=self._topic,
            info_topic=self._infos.topic_name,
            publishers=self._node.count_publishers(self._topic),
            last_image=self._last_image,
            last_info=self._last_info,
            reliability=_name(self._reliability),
            problem=self._problem(time.monotonic()),
        )

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in (self._images, self._infos, self._latched_infos):
            self._node.destroy_subscription(subscription)

    def _offered(self) -> set[ReliabilityPolicy]:
        offers = self._node.get_publishers_info_by_topic(self._topic)
        return {offer.qos_profile.reliability for offer in offers}

    def _ask_for(self, reliability: ReliabilityPolicy) -> None:
        self._reliability = reliability
        self._incompatible = ""
        self._node.destroy_subscription(self._images)
        # The parameters of the first subscription have its depth; they must not undo this one's.
        self._images = self._subscribe(overriding=None)

    def _subscribe(self, overriding: QoSOverridingOptions | None) -> Any:
        return self._node.create_subscription(
            self._type,
            self._topic,
            self._take_image,
            _newest(self._reliability),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._take_incompatible),
            qos_overriding_options=overriding,
        )

    def _take_image(self, message: Any) -> None:
        self._last_image = time.monotonic()
        self._window.images += 1
        self._incompatible = ""
        self._on_image(message, self._last_image)

    def _take_info(self, message: CameraInfo) -> None:
        self._last_info = time.monotonic()
        self._window.infos += 1
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

    def _take_incompatible(self, event: Any) -> None:
        offers = self._node.get_publishers_info_by_topic(self._topic)
        offered = " and ".join(sorted({_words(offer.qos_profile) for offer in offers})) or "something else"
        self._incompatible = (
            f"its QoS is incompatible: it offers {offered}, and {_name(self._reliability)} is asked for; set parameter "
            "image_reliability to 'best_effort' or 'auto', or mend qos_overrides."
        )
        self._say(f"{self._topic}: {self._incompatible}")

    def _waited(self, now: float) -> float:
        return now - max(self._began, self._last_image or self._began)

    def _problem(self, now: float) -> str:
        if self._incompatible:
            return self._incompatible
        if self._waited(now) < _PATIENCE:
            return ""
        wanted = f"sensor_msgs/msg/{self._type.__name__}"
        types = {offer.topic_type for offer in self._node.get_publishers_info_by_topic(self._topic)}
        if types and wanted not in types:
            return f"it carries {' and '.join(sorted(types))}, not {wanted}; check the remapping and image_transport."
        # Reliable delivery has another way for large images, and a camera that is off sends no camera_info either.
        is_announced = self._last_info is not None and now - self._last_info < _PATIENCE
        if self._type is CompressedImage or self._reliability == ReliabilityPolicy.RELIABLE or not is_announced:
            return ""
        assert self._info is not None
        if 3 * self._info.width * self._info.height <= SEGMENT:
            return ""
        return (
            f"camera_info comes, but a raw colour image of {self._info.width}x{self._info.height} pixels does not fit "
            f"into the {SEGMENT // 1024} KB of shared memory that a Fast DDS publisher has by default; {_ADVICE}"
        )


def _newest(reliability: ReliabilityPolicy) -> QoSProfile:
    # Of reliable large images at 1280x720 and 30 Hz, a depth of 1 lost a third to the one that was still coming in.
    return QoSProfile(depth=2 if reliability == ReliabilityPolicy.RELIABLE else 1, reliability=reliability)


def _info_topic(node: Any, image_topic: str, name: str) -> str:
    """Where it was remapped to, else beside the images, as image_transport's getCameraInfoTopic has it."""
    remapped: str = node.resolve_topic_name(name)
    if remapped != node.resolve_topic_name(name, only_expand=True):
        return remapped
    return f"{image_topic.rpartition('/')[0]}/camera_info"


def _chosen_reliability(node: Any, topic: str, setting: str) -> str:
    """`setting`, unless the parameter that ROS has for it says otherwise.

    rclpy would declare it with what the subscription begins with, and "best_effort" as the user's word could then not
    be told from our own.
    """
    name = f"qos_overrides.{topic}.subscription.reliability"
    if not node.has_parameter(name):
        description = "Reliability of the image subscription; by default that of image_reliability."
        node.declare_parameter(name, setting, ParameterDescriptor(description=description, read_only=True))
    chosen = str(node.get_parameter(name).value)
    if chosen not in _RELIABILITIES:
        raise ConfigError(f"parameter '{name}' is '{chosen}'; use one of {', '.join(_RELIABILITIES)}.")
    return chosen


def _calibration(info: CameraInfo) -> tuple[Any, ...]:
    # Bytes, because a number that is none (NaN) would differ from itself.
    return info.width, info.height, info.distortion_model, *(numbers.tobytes() for numbers in (info.d, info.k, info.p))


def _name(reliability: ReliabilityPolicy) -> str:
    return str(reliability.name).lower().replace("_", " ")


def _words(profile: QoSProfile) -> str:
    return f"{_name(profile.reliability)}, {profile.durability.name.lower().replace('_', ' ')}"
