"""The latest messages of one depth or point cloud topic, and the words for what is wrong with them."""

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
from rclpy.qos_overriding_options import QoSOverridingOptions

from seg_perception.geometry.links import stamp_of
from seg_perception.geometry.projection_settings import ProjectionMode
from seg_perception.images.depth import depth_of
from seg_perception.points.raw import points_of
from seg_perception.projection import choose
from seg_perception.ros.health import Refusal

_DEPTH = 5  # of the queue: what rclpy calls sensor data
_KEPT = 16  # messages; half a second at 30 Hz, which is more than images come late
_ALIVE = 1.0  # s; nothing is waited for from a sensor that has been silent for longer


@dataclass(frozen=True)
class Kind:
    """What a stream carries.

    Attributes:
        name: what one of its messages is called.
        mode: the projection that it is for.
        absent: reason of `choose` for a frame without it.
        late: reason of `choose` for one of another time.
        read: takes a message apart; raises ImageError or PointsError.
    """

    name: str
    mode: Literal["depth", "points"]
    absent: str
    late: str
    read: Callable[[Any], NDArray[np.float32]]


DEPTH_IMAGE = Kind("depth image", "depth", choose.NO_DEPTH, choose.DEPTH_LATE, depth_of)
POINT_CLOUD = Kind("point cloud", "points", choose.NO_POINTS, choose.POINTS_LATE, points_of)


class Stream:
    """The latest messages of one topic, which is subscribed only where the mode asks for it."""

    def __init__(self, node: Any, message_type: type, topic: str, kind: Kind, mode: ProjectionMode) -> None:
        self.kind = kind
        self._node = node
        self._topic = topic
        self._messages: deque[Any] = deque(maxlen=_KEPT)
        self._received = -np.inf
        self._changed = threading.Condition()
        self._subscription = None
        if mode in ("auto", kind.mode):
            self._subscription = node.create_subscription(
                message_type,
                topic,
                self._take,
                QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )

    def next_to(self, stamp_ns: int, limit_ns: int, end: float) -> Any:
        """The message next to an image in time, however far from it; None before the first.

        A sensor that delivers is waited for until something comes that is as late as the limit allows, or later.

        Args:
            stamp_ns: of the image.
            limit_ns: how far apart the two may be.
            end: of the wait, time.monotonic().
        """

        def is_there() -> bool:
            silent = time.monotonic() - self._received > _ALIVE
            return silent or any(stamp_of(message.header) >= stamp_ns - limit_ns for message in self._messages)

        with self._changed:
            self._changed.wait_for(is_there, max(end - time.monotonic(), 0.0))
            return min(self._messages, key=lambda message: abs(stamp_of(message.header) - stamp_ns), default=None)

    def absent(self) -> Refusal:
        """Nothing has come at all."""
        return Refusal(
            self.kind.absent,
            f"{self._topic}: no {self.kind.name} has come yet; check that it is published, and the remapping of "
            f"'{self.kind.mode}'.",
        )

    def late(self, apart: float, limit: float) -> Refusal:
        """All that has come is of another time; the next of it lies `apart` s after the image."""
        return Refusal(
            self.kind.late,
            f"{self._topic}: the {self.kind.name} next to the image was measured {abs(apart):.3g} s "
            f"{'after' if apart > 0 else 'before'} it, and projection.max_time_difference allows {limit:g} s; check "
            "the sensor and its clock, or allow more time (that, or ranging_timeout).",
        )

    def refused(self, what: str, detail: str) -> Refusal:
        """What has come in time cannot be used."""
        return Refusal(f"{self.kind.name} {what}", f"{self._topic}: {detail}")

    def forget(self) -> None:
        """Drop all messages."""
        with self._changed:
            self._messages.clear()

    def close(self) -> None:
        """Unsubscribe."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)

    def _take(self, message: Any) -> None:
        with self._changed:
            self._messages.append(message)
            self._received = time.monotonic()
            self._changed.notify_all()
