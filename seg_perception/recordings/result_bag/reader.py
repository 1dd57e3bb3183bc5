"""Read a `result.mcap` frame by frame: for the report, tests and your own scripts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from rosbags.rosbag2 import Reader

from seg_perception.errors import RecordingError, SegPerceptionError
from seg_perception.recordings.result_bag.messages import COSTMAP, FRAME_TOPICS, LABEL_INFO_TOPIC, frame_of
from seg_perception.recordings.result_bag.result_frame import LabelInfo, ResultFrame
from seg_perception.recordings.rosbags_types import ros2_types

__all__ = ["LabelInfo", "ResultFrame", "read_label_info", "read_result"]


def read_result(path: Path) -> Iterator[ResultFrame]:
    """Frames of a result in the order of their stamps; about one chunk (two or three frames) is in memory at a time.

    Raises:
        RecordingError: the file does not exist, is not an MCAP file, or is not the result of a replay.
    """
    for stamp_ns, group in groupby(_messages(path, tuple(FRAME_TOPICS)), key=lambda item: item[1]):
        contents = {topic: content for topic, _, content in group}
        missing = [topic for topic in FRAME_TOPICS if topic not in contents]
        if missing:
            raise RecordingError(
                f"{path}: the frame at {stamp_ns} ns lacks {', '.join(missing)}; give the file that the replay wrote."
            )
        yield frame_of(stamp_ns, contents)


def read_label_info(path: Path) -> LabelInfo:
    """Class names, colours and costs of the label images of a result.

    Raises:
        RecordingError: as `read_result`, or the file holds no frame and so no label info.
    """
    for _, _, content in _messages(path, (LABEL_INFO_TOPIC,)):
        return LabelInfo.from_json(content.data)
    raise RecordingError(f"{path}: holds no {LABEL_INFO_TOPIC}, so no frame either; run the replay again.")


def first_stamp_ns(path: Path) -> int:
    """Stamp of a result's first frame, nanoseconds.

    Raises:
        RecordingError: as `read_result`.
    """
    return next(stamp_ns for _, stamp_ns, _ in _messages(path, (COSTMAP,)))


def _messages(path: Path, topics: tuple[str, ...]) -> Iterator[tuple[str, int, Any]]:
    types = ros2_types()
    try:
        with Reader(path) as reader:
            connections = [connection for connection in reader.connections if connection.topic in topics]
            if not connections:
                raise RecordingError(f"{path}: is not the result of a replay (no {topics[0]}); give a result.mcap.")
            for connection, stamp_ns, data in reader.messages(connections):
                yield connection.topic, stamp_ns, types.deserialize_cdr(data, connection.msgtype)
    except SegPerceptionError:
        raise
    except Exception as error:  # a damaged file makes the reader fail in many ways
        raise RecordingError(
            f"{path}: cannot be read ({error}); if the replay was killed, run it again with --resume."
        ) from None
