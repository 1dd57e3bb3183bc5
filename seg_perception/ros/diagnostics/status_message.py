"""A Status as the message that diagnostics tools read."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

from seg_perception.ros.diagnostics.status import Status
from seg_perception.ros.messages import time_of


def diagnostics_message(status: Status, stamp_ns: int, name: str, hardware: str) -> DiagnosticArray:
    """The message for /diagnostics.

    Args:
        status: the verdict.
        stamp_ns: the node's clock.
        name: of the node, with its namespace.
        hardware: what it looks after: the camera's topic.
    """
    values = [KeyValue(key=key, value=value) for key, value in status.values.items()]
    entry = DiagnosticStatus(
        level=bytes([status.level]), name=name, message=status.message, hardware_id=hardware, values=values
    )
    return DiagnosticArray(header=Header(stamp=time_of(stamp_ns)), status=[entry])
