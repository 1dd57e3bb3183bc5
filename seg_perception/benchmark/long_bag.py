"""A recording of any length from a short one, the same drive again and again, each time later; and its replay."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from seg_perception.benchmark.setup import FRAMES_PER_SECOND, BenchRequest, Footage
from seg_perception.offline.replay import replay
from seg_perception.offline.request import ReplayRequest
from seg_perception.recordings.readers.recording import SourceOptions
from seg_perception.recordings.result_bag.messages import ros2_types
from seg_perception.settings.pipeline import PipelineSettings
from seg_perception.simulation.drive import Scenario
from seg_perception.simulation.drive_bag import TF_STATIC, write_drive
from seg_perception.utils.process_memory import resident_mb

FRAMES_PER_HOUR = 30 * 3600
"""Of a camera at 30 Hz."""

LONG_DRIVE = "long_drive"
"""Folder of the bag that `write_long_drive` writes."""


def write_long_drive(footage: Footage, frames: int, folder: Path) -> None:
    """Write a bag with a footage's drive, as JPEG, over and over.

    Args:
        footage: what the drive shows.
        frames: at least so many.
        folder: where to.
    """
    count = len(footage.frames)
    seconds = count / FRAMES_PER_SECOND
    scenario = Scenario(footage.frames[0].camera, duration=seconds, fps=FRAMES_PER_SECOND)
    write_drive(folder / "drive", scenario, compressed=True)
    repeat_bag(folder / "drive", folder / LONG_DRIVE, -(-frames // count), round(seconds * 1e9))


def replay_long_drive(
    request: BenchRequest, model: Path, settings: PipelineSettings, marks: Sequence[int]
) -> list[dict[str, Any]]:
    """Replay the bag of `write_long_drive`.

    Args:
        request: with the folder where it lies.
        model: ONNX file, its card beside it.
        settings: of the pipeline.
        marks: numbers of frames after which to look.

    Returns:
        One row per mark: x (frames), name, frame_ms (wall time per frame since the row before, reading and writing
        included) and rss_mb (resident memory).
    """
    rows: list[dict[str, Any]] = []
    start = last = time.monotonic()

    def look(done: int, total: int | None) -> None:
        nonlocal last
        if done in marks:
            frames = done - (rows[-1]["x"] if rows else 0)
            milliseconds = (time.monotonic() - last) * 1e3 / frames
            rows.append({"x": done, "name": f"{done}", "frame_ms": round(milliseconds, 3), "rss_mb": resident_mb()})
            last = time.monotonic()

    replay(
        ReplayRequest(
            source=str(request.folder / LONG_DRIVE),
            out=request.folder / "replayed",
            model=model,
            matrix=request.matrix,
            settings=settings,
            options=SourceOptions(),
            threads=request.threads,
            backend="onnx_cpu",
            precision="fp32",
            resume=False,
            command="",
            started=start,
        ),
        look,
    )
    return rows


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
