"""Poses and transforms as messages carry them, from recordings and from ROS alike: only field names matter here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from seg_perception.geometry.transforms import Transform

_UPWARDS = 0.7  # a camera whose view rises by more than 45 degrees sees no ground


@dataclass(frozen=True)
class Link:
    """One sample of a link between two frames; position and orientation as the message has them, unchecked.

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
            GeometryError: the numbers are no rigid transform.
        """
        return rigid(self.position, self.orientation)


def rigid(position: Any, orientation: Any) -> Transform:
    """From the two parts of a geometry_msgs/Transform or Pose.

    Raises:
        GeometryError: the numbers are no rigid transform.
    """
    quaternion = (orientation.x, orientation.y, orientation.z, orientation.w)
    return Transform.from_quaternion((position.x, position.y, position.z), quaternion)


def stamp_of(header: Any) -> int:
    """A std_msgs/Header's stamp in nanoseconds."""
    return int(header.stamp.sec) * 10**9 + int(header.stamp.nanosec)


def transform_links(transforms: Iterable[Any]) -> list[Link]:
    """The links of geometry_msgs/TransformStamped messages, such as those in a tf2_msgs/TFMessage."""
    return [
        Link(
            item.header.frame_id,
            item.child_frame_id,
            stamp_of(item.header),
            item.transform.translation,
            item.transform.rotation,
        )
        for item in transforms
    ]


def odometry_link(message: Any, odom_frame: str, base_frame: str) -> Link:
    """The link of a nav_msgs/Odometry from odom to what it moves, `base_frame` where it does not say."""
    pose = message.pose.pose
    child = message.child_frame_id or base_frame
    return Link(odom_frame, child, stamp_of(message.header), pose.position, pose.orientation)


def looks_at_the_sky(base_from_optical: Transform) -> bool:
    """Whether a camera's z axis points up so steeply that its frame can be no optical one (REP-103)."""
    return bool(base_from_optical.rotation[2, 2] > _UPWARDS)
