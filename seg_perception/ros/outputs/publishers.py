"""Creates the node's publishers, and their QoS."""

from __future__ import annotations

from typing import Any

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions


def latest() -> QoSProfile:
    """QoS for messages of which only the latest matters.

    Reliable, although subscribers may request less: large messages that are published best effort do not arrive
    (docs/how_to/nav2.md).
    """
    return QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)


def latched() -> QoSProfile:
    """QoS that nav2's static layer requires: reliable and transient local.

    Returns a new profile each time, because rclpy writes the overrides of a topic's parameters into the given profile.
    """
    return QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def make_publisher(node: Any, message_type: type, name: str, qos: QoSProfile) -> Any:
    """Create a lifecycle publisher below the node's name, whose QoS can be overridden by parameters."""
    overriding = QoSOverridingOptions.with_default_policies()
    return node.create_lifecycle_publisher(message_type, f"~/{name}", qos, qos_overriding_options=overriding)
