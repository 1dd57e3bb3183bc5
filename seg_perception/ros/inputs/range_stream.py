"""The latest messages of one depth or point cloud topic, and the reasons why one cannot be used."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo

from seg_perception.geometry.stamped_transform import stamp_of
from seg_perception.projection import select
from seg_perception.ros.diagnostics.statistics import Refusal
from seg_perception.ros.inputs.adaptive_qos import AdaptiveQosSubscription, SubscriptionSpec
from seg_perception.ros.parameters.node_settings import NodeSettings
from seg_perception.sensor_data.images.depth import depth_of
from seg_perception.sensor_data.point_clouds.decode import points_of

_DEPTHS = 5, 5  # length of the queue, as in rclpy's sensor data profile
_BUFFERED = 16  # messages: half a second at 30 Hz, longer than images take to arrive
_ALIVE = 1.0  # s; the node does not wait for a sensor that has been silent for longer


@dataclass(frozen=True)
class RangeTopicSpec:
    """What a depth or point cloud topic carries.

    Attributes:
        name: of one message.
        mode: the `projection.mode` that uses it.
        absent: reason of `projection.select` for a frame without it.
        late: reason of `projection.select` for a message of another time than the image.
        subscription: how to subscribe.
        decode: decodes a message; raises ImageError or PointCloudError.
    """

    name: str
    mode: Literal["depth", "points"]
    absent: str
    late: str
    subscription: SubscriptionSpec
    decode: Callable[[Any], NDArray[np.float32]]


DEPTH_IMAGE = RangeTopicSpec(
    "depth image",
    "depth",
    select.NO_DEPTH,
    select.DEPTH_LATE,
    SubscriptionSpec(
        "depth images",
        "ranging_reliability",
        "camera driver",
        "set depth_transport to 'compressedDepth'",
        _DEPTHS,
        expects_first=True,
    ),
    depth_of,
)
POINT_CLOUD = RangeTopicSpec(
    "point cloud",
    "points",
    select.NO_POINTS,
    select.POINTS_LATE,
    SubscriptionSpec("point clouds", "ranging_reliability", "sensor's driver", "", _DEPTHS, expects_first=True),
    points_of,
)


class RangeStream:
    """The latest messages of one topic; it is subscribed only if `projection.mode` uses it."""

    def __init__(
        self,
        node: Any,
        message_type: type,
        topic: str,
        spec: RangeTopicSpec,
        settings: NodeSettings,
        warn: Callable[[str], None],
        info_topic: str = "",
    ) -> None:
        """Subscribe, if `projection.mode` uses the topic.

        Args:
            node: the node.
            message_type: of the topic.
            topic: resolved name.
            spec: what the topic carries.
            settings: uses `projection.mode` and `ranging_reliability`.
            warn: logs a warning.
            info_topic: of the camera_info that comes with each message; empty for none.

        Raises:
            ConfigError: ROS's own parameter for the reliability has none of its values.
        """
        self.spec = spec
        self._node = node
        self._topic = topic
        self._messages: deque[Any] = deque(maxlen=_BUFFERED)
        self._received_at = -np.inf
        self._changed = threading.Condition()
        self._subscription: AdaptiveQosSubscription | None = None
        self._infos: Any = None
        if settings.pipeline.projection.mode not in ("auto", spec.mode):
            return
        subscription = self._subscription = AdaptiveQosSubscription(
            node, message_type, topic, spec.subscription, settings.ranging_reliability, self._take, warn
        )
        if info_topic:
            self._infos = node.create_subscription(
                CameraInfo,
                info_topic,
                lambda _: subscription.announce_message(),
                QoSProfile(depth=_DEPTHS[0], reliability=ReliabilityPolicy.BEST_EFFORT),
            )

    @property
    def fallback_reason(self) -> str:
        """See `AdaptiveQosSubscription.fallback_reason`."""
        return "" if self._subscription is None else self._subscription.fallback_reason

    def check(self, now: float) -> None:
        """See `AdaptiveQosSubscription.check`."""
        if self._subscription is not None:
            self._subscription.check(now)

    def nearest(self, stamp_ns: int, limit_ns: int, end: float) -> Any:
        """The message nearest to an image in time, however far from it; None before the first.

        If the sensor delivers, wait for a message that is not older than the image by more than the limit.

        Args:
            stamp_ns: of the image.
            limit_ns: largest time difference to the image.
            end: of the wait, time.monotonic().
        """

        def is_available() -> bool:
            silent = time.monotonic() - self._received_at > _ALIVE
            return silent or any(stamp_of(message.header) >= stamp_ns - limit_ns for message in self._messages)

        with self._changed:
            self._changed.wait_for(is_available, max(end - time.monotonic(), 0.0))
            return min(self._messages, key=lambda message: abs(stamp_of(message.header) - stamp_ns), default=None)

    def absent(self) -> Refusal:
        """Refusal for a topic on which no message has arrived."""
        why = f"no {self.spec.name} received yet; check that it is published, and the remapping of '{self.spec.mode}'."
        if self._subscription is not None and self._subscription.incompatible:
            why = self._subscription.incompatible
        return Refusal(self.spec.absent, f"{self._topic}: {why}")

    def late(self, difference: float, limit: float) -> Refusal:
        """Refusal if the nearest message was measured `difference` s after the image, beyond the limit."""
        return Refusal(
            self.spec.late,
            f"{self._topic}: the {self.spec.name} nearest to the image was measured {abs(difference):.3g} s "
            f"{'after' if difference > 0 else 'before'} it, and projection.max_time_difference allows {limit:g} s; "
            "check the sensor and its clock, or allow more time (max_time_difference, or ranging_timeout).",
        )

    def unusable(self, reason: str, detail: str) -> Refusal:
        """Refusal for a message of the right time that cannot be used."""
        return Refusal(f"{self.spec.name} {reason}", f"{self._topic}: {detail}")

    def clear(self) -> None:
        """Drop all messages."""
        with self._changed:
            self._messages.clear()

    def close(self) -> None:
        """Unsubscribe."""
        if self._subscription is not None:
            self._subscription.close()
        if self._infos is not None:
            self._node.destroy_subscription(self._infos)

    def _take(self, message: Any) -> None:
        with self._changed:
            self._messages.append(message)
            self._received_at = time.monotonic()
            self._changed.notify_all()
