"""A node status as a diagnostic_msgs message."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

from seg_perception.ros.diagnostics.status import NodeStatus
from seg_perception.ros.messages import time_of


def diagnostics_message(status: NodeStatus, stamp_ns: int, name: str, hardware: str) -> DiagnosticArray:
    """The message for /diagnostics.

    Args:
        status: of the node, for one camera.
        stamp_ns: the node's clock, nanoseconds.
        name: of the node, with its namespace.
        hardware: the hardware_id: the camera's image topic.
    """
    values = [KeyValue(key=key, value=value) for key, value in status.values.items()]
    entry = DiagnosticStatus(
        level=bytes([status.level]), name=name, message=status.message, hardware_id=hardware, values=values
    )
    return DiagnosticArray(header=Header(stamp=time_of(stamp_ns)), status=[entry])
