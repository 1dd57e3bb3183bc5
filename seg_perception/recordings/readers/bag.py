"""rosbag2 and ROS 1 bags through the rosbags library; every failure is an error of one sentence."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from rosbags.convert.converter import migrate_message
from rosbags.interfaces import QosDurability
from rosbags.rosbag1 import Reader as Rosbag1Reader
from rosbags.rosbag2 import Reader as Rosbag2Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from seg_perception.errors import RecordingError
from seg_perception.recordings.rosbags_types import ros2_types

_REPAIR_COMMANDS = {
    ".bag": "rosbag reindex",
    ".mcap": "mcap recover",
    ".db3": "ros2 bag reindex",
}


class Bag:
    """An open bag.

    rosbags' own definitions of the standard types decode the messages. These types have not changed within ROS 1, nor
    in ROS 2 since Humble. So bags without definitions can be read, and bags with other types whose definitions do not
    parse.

    Attributes:
        path: the bag, a folder or a file.
        files: the files of the bag.
        kind: "ROS 1 bag" or "rosbag2 (STORAGE)".
        types: topic to message type, for topics that hold messages.
        latched: transient-local (ROS 1: latched) topics, such as /tf_static.
        counts: topic to number of messages.
        seconds: from the first message to the last.
    """

    def __init__(self, path: Path) -> None:
        """Open a bag.

        Raises:
            RecordingError: it cannot be opened.
        """
        self.path = path
        is_ros1 = path.suffix == ".bag"
        self.files = tuple(sorted(file for file in path.iterdir() if file.is_file())) if path.is_dir() else (path,)
        try:
            for file in self.files:
                _check_sqlite(file)
            self._reader = Rosbag1Reader(path) if is_ros1 else Rosbag2Reader(path)
            self._reader.open()
        except Exception as error:  # a damaged file makes the reader fail in many ways
            raise RecordingError(
                f"{path}: cannot be opened as a bag ({_reason(error)}); {_repair_hint(path)}."
            ) from None
        self._is_open = True
        self._is_ros1 = is_ros1
        self._migrations: dict[str, object] = {}
        self._deserialize = _ros1_types().deserialize_ros1 if is_ros1 else ros2_types().deserialize_cdr
        storage = next((file.suffix[1:] for file in self.files if file.suffix in _REPAIR_COMMANDS), "compressed")
        self.kind = "ROS 1 bag" if is_ros1 else f"rosbag2 ({storage})"
        filled = [connection for connection in self._reader.connections if connection.msgcount]
        self.types = {connection.topic: connection.msgtype for connection in filled}
        self.counts = {topic: sum(c.msgcount for c in filled if c.topic == topic) for topic in self.types}
        self.seconds = self._reader.duration / 1e9
        self.latched = {connection.topic for connection in filled if _is_latched(connection)}

    def topics_of(self, *message_types: str) -> list[str]:
        """The topics of these types that hold messages, sorted."""
        return sorted(topic for topic, name in self.types.items() if name in message_types)

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        """The messages of some topics in the order of recording.

        Yields:
            Topic, time of recording in nanoseconds, and serialised content.

        Raises:
            RecordingError: the file is damaged.
        """
        connections = [c for c in self._reader.connections if c.topic in topics and c.msgcount]
        if not connections:
            return
        read = 0
        try:
            for connection, time_ns, data in self._reader.messages(connections):
                yield connection.topic, time_ns, data
                read += 1
        except Exception as error:  # see __init__
            raise RecordingError(
                f"{self.path}: is damaged after {read} messages of {', '.join(sorted(topics))} ({_reason(error)}); "
                f"{_repair_hint(self.path)}."
            ) from None

    def decode(self, topic: str, data: bytes) -> Any:
        """Decode a message to an object with the fields of its ROS type (a ROS 1 CameraInfo has D, K, R and P).

        Raises:
            RecordingError: the content does not fit the type.
        """
        try:
            return self._deserialize(data, self.types[topic])
        except Exception as error:  # see __init__
            raise RecordingError(
                f"{self.path}: a message on {topic} does not fit its type {self.types[topic]} ({_reason(error)}); "
                "check its publisher."
            ) from None

    def as_cdr(self, topic: str, data: bytes) -> bytes:
        """Serialised content as CDR, the format of ROS 2; a rosbag2 holds it already.

        Raises:
            RecordingError: the content does not fit the type.
            KeyError: ROS 2 has no such type.
        """
        if not self._is_ros1:
            return bytes(data)
        name, store = self.types[topic], ros2_types()
        store.types[name]
        try:
            migrated = migrate_message(_ros1_types(), store, name, name, self._migrations, self.decode(topic, data))
            return bytes(store.serialize_cdr(migrated, name))
        except RecordingError:
            raise
        except Exception as error:  # see __init__
            raise RecordingError(f"{self.path}: a message on {topic} cannot be converted ({_reason(error)}).") from None

    def close(self) -> None:
        """Close the files; closing twice does nothing."""
        if self._is_open:
            self._is_open = False
            self._reader.close()


def _is_latched(connection: Any) -> bool:
    """Whether the publisher was transient-local (rosbag2) or latched (ROS 1)."""
    profiles = getattr(connection.ext, "offered_qos_profiles", ())
    return any(profile.durability == QosDurability.TRANSIENT_LOCAL for profile in profiles) or bool(
        getattr(connection.ext, "latching", 0)
    )


@cache
def _ros1_types() -> Typestore:
    types = get_typestore(Stores.ROS1_NOETIC)
    for name in ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage"):
        types.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", name))
    return types


def _check_sqlite(path: Path) -> None:
    """Raise ValueError if a database lacks pages at its end: SQLite itself notices that only when it needs them.

    The header holds page size and number of pages (https://www.sqlite.org/fileformat.html, 1.3).
    """
    if path.suffix != ".db3":
        return
    with path.open("rb") as file:
        header = file.read(100)
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        raise ValueError("it is not an SQLite database")
    (page_size,), (page_count,) = struct.unpack_from(">H", header, 16), struct.unpack_from(">I", header, 28)
    missing = page_count * (2**16 if page_size == 1 else page_size) - path.stat().st_size
    if missing > 0:
        raise ValueError(f"{missing} bytes are missing at its end")


def _reason(error: Exception) -> str:
    return f"{error}".strip().rstrip(".").replace("\n", " ") or type(error).__name__


def _repair_hint(path: Path) -> str:
    files = path.iterdir() if path.is_dir() else (path,)
    suffix = next((file.suffix for file in files if file.suffix in _REPAIR_COMMANDS), None)
    repair = f"repair it with '{_REPAIR_COMMANDS[suffix]}' or " if suffix else ""
    return f"it is cut short, damaged or not what its name says: {repair}record it again"
