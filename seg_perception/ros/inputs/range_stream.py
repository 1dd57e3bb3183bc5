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
from sensor_msgs.msg import CameraInfo

from seg_perception.geometry.stamped_transform import stamp_of
from seg_perception.projection import select
from seg_perception.ros.diagnostics.statistics import Refusal
from seg_perception.ros.inputs.adaptive_qos import Cargo, LargeInput
from seg_perception.ros.parameters.node_settings import NodeSettings
from seg_perception.sensor_data.images.depth import depth_of
from seg_perception.sensor_data.point_clouds.decode import points_of

_DEPTHS = 5, 5  # of the queue: what rclpy calls sensor data
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
        cargo: how it is subscribed.
        read: takes a message apart; raises ImageError or PointsError.
    """

    name: str
    mode: Literal["depth", "points"]
    absent: str
    late: str
    cargo: Cargo
    read: Callable[[Any], NDArray[np.float32]]


DEPTH_IMAGE = Kind(
    "depth image",
    "depth",
    select.NO_DEPTH,
    select.DEPTH_LATE,
    Cargo(
        "depth images",
        "ranging_reliability",
        "camera driver",
        "set depth_transport to 'compressedDepth'",
        _DEPTHS,
        first_is_due=True,
    ),
    depth_of,
)
POINT_CLOUD = Kind(
    "point cloud",
    "points",
    select.NO_POINTS,
    select.POINTS_LATE,
    Cargo("point clouds", "ranging_reliability", "sensor's driver", "", _DEPTHS, first_is_due=True),
    points_of,
)


class Stream:
    """The latest messages of one topic, which is subscribed only where the mode asks for it."""

    def __init__(
        self,
        node: Any,
        message_type: type,
        topic: str,
        kind: Kind,
        settings: NodeSettings,
        say: Callable[[str], None],
        info_topic: str = "",
    ) -> None:
        """Subscribe, where that is asked for.

        Args:
            node: the node.
            message_type: of the topic.
            topic: resolved.
            kind: what it carries.
            settings: `projection.mode` and `ranging_reliability` are read.
            say: logs a warning.
            info_topic: camera_info that comes with each message; empty for none.

        Raises:
            ConfigError: ROS's own parameter for the reliability is wrong.
        """
        self.kind = kind
        self._node = node
        self._topic = topic
        self._messages: deque[Any] = deque(maxlen=_KEPT)
        self._received = -np.inf
        self._changed = threading.Condition()
        self._input: LargeInput | None = None
        self._infos: Any = None
        if settings.pipeline.projection.mode not in ("auto", kind.mode):
            return
        received = self._input = LargeInput(
            node, message_type, topic, kind.cargo, settings.ranging_reliability, self._take, say
        )
        if info_topic:
            self._infos = node.create_subscription(
                CameraInfo,
                info_topic,
                lambda _: received.announced(),
                QoSProfile(depth=_DEPTHS[0], reliability=ReliabilityPolicy.BEST_EFFORT),
            )

    @property
    def shortfall(self) -> str:
        """See `LargeInput.shortfall`."""
        return "" if self._input is None else self._input.shortfall

    def check(self, now: float) -> None:
        """See `LargeInput.check`."""
        if self._input is not None:
            self._input.check(now)

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
        why = f"no {self.kind.name} has come yet; check that it is published, and the remapping of '{self.kind.mode}'."
        if self._input is not None and self._input.incompatible:
            why = self._input.incompatible
        return Refusal(self.kind.absent, f"{self._topic}: {why}")

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
        if self._input is not None:
            self._input.close()
        if self._infos is not None:
            self._node.destroy_subscription(self._infos)

    def _take(self, message: Any) -> None:
        with self._changed:
            self._messages.append(message)
            self._received = time.monotonic()
            self._changed.notify_all()
