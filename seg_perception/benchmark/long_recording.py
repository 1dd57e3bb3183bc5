"""A long recording that repeats a short drive, and its replay."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from seg_perception.benchmark.setup import FRAMES_PER_SECOND, BenchRequest, SampleFrames
from seg_perception.offline.replay import replay
from seg_perception.offline.request import ReplayRequest
from seg_perception.recordings.readers.recording import SourceOptions
from seg_perception.recordings.rosbags_types import ros2_types
from seg_perception.settings.pipeline import PipelineSettings
from seg_perception.simulation.drive import Scenario
from seg_perception.simulation.drive_bag import TF_STATIC, write_drive
from seg_perception.utils.process_usage import resident_mb

FRAMES_PER_HOUR = 30 * 3600
"""Of a camera at 30 Hz."""

LONG_RECORDING = "long_drive"
"""Folder of the bag that `write_long_recording` writes."""


def write_long_recording(sample_frames: SampleFrames, frames: int, folder: Path) -> None:
    """Write a bag that repeats the drive of the sample frames, as JPEG.

    Args:
        sample_frames: of the drive.
        frames: least number of frames.
        folder: where to.
    """
    count = len(sample_frames.frames)
    seconds = count / FRAMES_PER_SECOND
    scenario = Scenario(sample_frames.frames[0].camera, duration=seconds, fps=FRAMES_PER_SECOND)
    write_drive(folder / "drive", scenario, compressed=True)
    repeat_recording(folder / "drive", folder / LONG_RECORDING, -(-frames // count), round(seconds * 1e9))


def replay_long_recording(
    request: BenchRequest, model: Path, settings: PipelineSettings, checkpoints: Sequence[int]
) -> list[dict[str, Any]]:
    """Replay the bag of `write_long_recording`.

    Args:
        request: with its folder.
        model: ONNX file with its card next to it.
        settings: of the pipeline.
        checkpoints: numbers of frames after which to measure time and memory.

    Returns:
        One row per checkpoint: x (frames), name, frame_ms (wall time per frame since the previous row, with reading
        and writing) and rss_mb (resident memory).
    """
    rows: list[dict[str, Any]] = []
    start = last = time.monotonic()

    def sample_memory(done: int, total: int | None) -> None:
        nonlocal last
        if done in checkpoints:
            frames = done - (rows[-1]["x"] if rows else 0)
            milliseconds = (time.monotonic() - last) * 1e3 / frames
            rows.append({"x": done, "name": f"{done}", "frame_ms": round(milliseconds, 3), "rss_mb": resident_mb()})
            last = time.monotonic()

    replay(
        ReplayRequest(
            source=str(request.folder / LONG_RECORDING),
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
        sample_memory,
    )
    return rows


def repeat_recording(source: Path, out: Path, times: int, period_ns: int) -> None:
    """Write a recording that repeats a drive.

    Args:
        source: a rosbag2 of `simulation.drive_bag.write_drive`.
        out: folder of the new bag; must not exist yet.
        times: number of repetitions.
        period_ns: from one repetition to the next, nanoseconds.
    """
    types = ros2_types()
    with Reader(source) as reader, Writer(out, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {
            connection.id: writer.add_connection(connection.topic, connection.msgtype, typestore=types)
            for connection in reader.connections
        }
        for repetition in range(times):
            offset = repetition * period_ns
            for connection, stamp_ns, data in reader.messages():
                if repetition and connection.topic == TF_STATIC:
                    continue
                message = types.deserialize_cdr(data, connection.msgtype)
                _delay(message, offset)
                writer.write(
                    connections[connection.id], stamp_ns + offset, types.serialize_cdr(message, connection.msgtype)
                )


def _delay(message: Any, nanoseconds: int) -> None:
    """Move the stamp of a message with a header, or of each transform in it."""
    for stamped in getattr(message, "transforms", [message]):
        stamp = stamped.header.stamp
        stamp.sec, stamp.nanosec = divmod(stamp.sec * 10**9 + stamp.nanosec + nanoseconds, 10**9)
