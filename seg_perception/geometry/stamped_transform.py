"""Poses and transforms of messages. Only field names matter, so messages of recordings and of ROS both work."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from seg_perception.geometry.transforms import Transform

_UPWARDS = 0.7  # sine of about 45 degrees: a camera that looks up more steeply sees no ground


@dataclass(frozen=True)
class StampedTransform:
    """A transform between two frames at a stamp; position and orientation as in the message, unchecked.

    Attributes:
        parent: frame.
        child: frame.
        stamp_ns: nanoseconds.
        position: has x, y, z, m.
        orientation: has x, y, z, w.
    """

    parent: str
    child: str
    stamp_ns: int
    position: Any
    orientation: Any

    def transform(self) -> Transform:
        """parent_from_child.

        Raises:
            GeometryError: the numbers are not a rigid transform.
        """
        return rigid_transform(self.position, self.orientation)


def rigid_transform(position: Any, orientation: Any) -> Transform:
    """A Transform from the two parts of a geometry_msgs/Transform or Pose.

    Raises:
        GeometryError: the numbers are not a rigid transform.
    """
    quaternion = (orientation.x, orientation.y, orientation.z, orientation.w)
    return Transform.from_quaternion((position.x, position.y, position.z), quaternion)


def stamp_of(header: Any) -> int:
    """A std_msgs/Header's stamp in nanoseconds."""
    return int(header.stamp.sec) * 10**9 + int(header.stamp.nanosec)


def stamped_transforms(transforms: Iterable[Any]) -> list[StampedTransform]:
    """From geometry_msgs/TransformStamped messages, such as those in a tf2_msgs/TFMessage."""
    return [
        StampedTransform(
            item.header.frame_id,
            item.child_frame_id,
            stamp_of(item.header),
            item.transform.translation,
            item.transform.rotation,
        )
        for item in transforms
    ]


def odometry_transform(message: Any, odom_frame: str, base_frame: str) -> StampedTransform:
    """odom_from_child of a nav_msgs/Odometry; the child is `base_frame` where the message names none."""
    pose = message.pose.pose
    child = message.child_frame_id or base_frame
    return StampedTransform(odom_frame, child, stamp_of(message.header), pose.position, pose.orientation)


def looks_upwards(base_from_optical: Transform) -> bool:
    """Whether a camera's z axis points up so steeply that its frame cannot be an optical frame (REP-103)."""
    return bool(base_from_optical.rotation[2, 2] > _UPWARDS)
