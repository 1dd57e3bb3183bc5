"""Soak test: memory over very many frames through the pipeline, the replay of a bag, and the node."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from seg_perception.benchmark.long_recording import FRAMES_PER_HOUR, replay_long_recording, write_long_recording
from seg_perception.benchmark.parts.ros import camera_case
from seg_perception.benchmark.setup import BenchRequest, NetworkSize, Progress, SampleFrames, Setup, settings_with_grid
from seg_perception.benchmark.subprocess_runner import run_in_subprocess
from seg_perception.pipeline.pipeline import Pipeline
from seg_perception.simulation.drive import ROBOTS
from seg_perception.utils.process_usage import resident_mb

WARM_UP_FRAMES = 1000
"""Frames after which memory must not grow."""

FRAMES = {"pipeline": 100_000, "replay": FRAMES_PER_HOUR, "node": 20_000}
QUICK_FRAMES = {"pipeline": 4000, "replay": 2000, "node": 2000}
SAMPLES = 9
"""Number of memory samples after the warm-up."""

_WIDTH, _HEIGHT, _CELLS = 96, 64, 100  # small, so that many frames take little time; leaks show at any size
_RATE = 100


def measure_soak(setup: Setup, progress: Progress) -> dict[str, list[dict[str, Any]]]:
    """Process very many frames with a tiny network, by each path in a process of its own.

    Args:
        setup: networks and frames.
        progress: called with paths done and in all.

    Returns:
        Rows by path, "pipeline", "replay" (of a bag, as long as an hour at 30 Hz) and "node" (images over DDS; only
        where ROS 2 is installed): x (frames so far) and rss_mb (resident memory). The first is at WARM_UP_FRAMES.

    Raises:
        SegPerceptionError: network or matrix cannot be used, or a process failed.
    """
    request = setup.request
    frames = QUICK_FRAMES if request.quick else FRAMES
    size = NetworkSize(_WIDTH, _HEIGHT, len(setup.card.classes))
    model, sample_frames = setup.model(size), setup.sample_frames(_WIDTH, _HEIGHT)
    rows = {
        "pipeline": run_in_subprocess(_run_pipeline, request, size, sample_frames, _checkpoints(frames["pipeline"]))
    }
    progress(1, 3)
    write_long_recording(sample_frames, frames["replay"], request.folder)
    rows["replay"] = run_in_subprocess(
        replay_long_recording, request, model, settings_with_grid(_CELLS), _checkpoints(frames["replay"])
    )
    progress(2, 3)
    if find_spec("rclpy") is not None:
        rows["node"] = _run_node(setup, model, _checkpoints(frames["node"]))
    progress(3, 3)
    return rows


def _checkpoints(frames: int) -> list[int]:
    return [WARM_UP_FRAMES + round(step * (frames - WARM_UP_FRAMES) / SAMPLES) for step in range(SAMPLES + 1)]


def _run_pipeline(
    request: BenchRequest, size: NetworkSize, sample_frames: SampleFrames, checkpoints: list[int]
) -> list[dict[str, Any]]:
    setup = Setup(request)
    pipeline = Pipeline(setup.engine(size), setup.matrix(size.classes), settings_with_grid(_CELLS))
    rows = []
    for number in range(checkpoints[-1]):
        pipeline.process(sample_frames.at(number))
        if number + 1 in checkpoints:
            rows.append({"x": number + 1, "rss_mb": resident_mb()})
    return rows


def _run_node(setup: Setup, model: Path, checkpoints: list[int]) -> list[dict[str, Any]]:
    from seg_perception.ros.tools.benchmark import measure

    # The images before the first sample are the warm-up.
    counts = [checkpoints[0], *(after - before for before, after in pairwise(checkpoints))]
    cases = [camera_case(setup, _WIDTH, _HEIGHT, "compressed", _RATE, 0, count) for count in counts]
    request = setup.request
    received = measure(cases, model, request.matrix, ROBOTS["car"].mount, 0.0, request.folder)
    return [
        {"x": checkpoint, "rss_mb": measured["rss_mb"]}
        for checkpoint, measured in zip(checkpoints, received, strict=True)
    ]
