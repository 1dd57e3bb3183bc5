"""How the node's publishers are made."""

from __future__ import annotations

from typing import Any

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions


def latest() -> QoSProfile:
    """For what is of use only while it is new.

    Reliable, although readers may ask for less: large messages that are published best effort do not arrive
    (docs/how_to/nav2.md).
    """
    return QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)


def latched() -> QoSProfile:
    """What nav2's static layer connects to: nothing less, or it never does.

    A new profile each time: rclpy writes the overrides of one topic's parameters into the profile it is given.
    """
    return QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def make_publisher(node: Any, message_type: type, name: str, qos: QoSProfile) -> Any:
    """A publisher of a lifecycle node, below the node's name, whose QoS can be overridden by parameters."""
    overriding = QoSOverridingOptions.with_default_policies()
    return node.create_lifecycle_publisher(message_type, f"~/{name}", qos, qos_overriding_options=overriding)
