"""The ROS 2 message types of the rosbags library, which need no ROS installation."""

from __future__ import annotations

from functools import cache
from typing import Any

from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore


@cache
def ros2_types() -> Typestore:
    """The message types of ROS 2; those used here are the same from Humble on."""
    return get_typestore(Stores.ROS2_HUMBLE)


def make_rosbags_message(message_type: str, /, **fields: Any) -> Any:
    """A message of a type such as "std_msgs/msg/Header"; all its fields must be given, arrays as numpy arrays."""
    return ros2_types().types[message_type](**fields)
