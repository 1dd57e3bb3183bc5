"""A recording of any length from a short one: the same drive again and again, each time later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from seg_perception.bags.messages import ros2_types
from seg_perception.sim.drive_bag import TF_STATIC


def repeat_bag(source: Path, out: Path, times: int, period_ns: int) -> None:
    """Write a drive several times over.

    Args:
        source: a rosbag2 that `sim.drive_bag.write_drive` wrote.
        out: folder of the new bag; must not exist yet.
        times: how often.
        period_ns: from one turn to the next, nanoseconds.
    """
    types = ros2_types()
    with Reader(source) as reader, Writer(out, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {
            connection.id: writer.add_connection(connection.topic, connection.msgtype, typestore=types)
            for connection in reader.connections
        }
        for turn in range(times):
            later = turn * period_ns
            for connection, stamp_ns, data in reader.messages():
                if turn and connection.topic == TF_STATIC:
                    continue
                message = types.deserialize_cdr(data, connection.msgtype)
                _delay(message, later)
                writer.write(
                    connections[connection.id], stamp_ns + later, types.serialize_cdr(message, connection.msgtype)
                )


def _delay(message: Any, nanoseconds: int) -> None:
    """Move the stamp of a message with a header, or of each transform in it."""
    for stamped in getattr(message, "transforms", [message]):
        stamp = stamped.header.stamp
        stamp.sec, stamp.nanosec = divmod(stamp.sec * 10**9 + stamp.nanosec + nanoseconds, 10**9)
