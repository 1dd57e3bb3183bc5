"""Whether memory stays what it is over very many frames: through the pipeline, from a bag, through the node."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from seg_perception.benchmark.long_bag import FRAMES_PER_HOUR, replay_long_drive, write_long_drive
from seg_perception.benchmark.parts.ros import camera_case
from seg_perception.benchmark.setup import BenchRequest, Footage, Progress, Setup, Size, grid_of
from seg_perception.benchmark.subprocess_runner import alone
from seg_perception.pipeline.pipeline import Pipeline
from seg_perception.simulation.drive import ROBOTS
from seg_perception.utils.process_memory import resident_mb

SETTLED = 1000
"""Frames after which memory is to grow no more."""

FRAMES = {"pipeline": 100_000, "replay": FRAMES_PER_HOUR, "node": 20_000}
QUICK_FRAMES = {"pipeline": 4000, "replay": 2000, "node": 2000}
LOOKS = 9
"""How often memory is looked at after it has settled."""

_WIDTH, _HEIGHT, _CELLS = 96, 64, 100  # small, so that many frames take little time; what leaks, leaks with these too
_RATE = 100


def soak_part(setup: Setup, progress: Progress) -> dict[str, list[dict[str, Any]]]:
    """Let very many frames through, with the network brought to a tiny size, each way in a process of its own.

    Args:
        setup: networks and frames.
        progress: called with ways done and in all.

    Returns:
        Rows by way, "pipeline", "replay" (of a bag, as long as an hour at 30 Hz) and "node" (images over DDS; only
        where ROS 2 is installed): x (frames so far) and rss_mb (resident memory). The first is at SETTLED frames.

    Raises:
        SegPerceptionError: network or matrix cannot be used, or a process failed.
    """
    request = setup.request
    frames = QUICK_FRAMES if request.quick else FRAMES
    size = Size(_WIDTH, _HEIGHT, len(setup.card.classes))
    model, footage = setup.model(size), setup.footage(_WIDTH, _HEIGHT)
    rows = {"pipeline": alone(_processed, request, size, footage, _marks(frames["pipeline"]))}
    progress(1, 3)
    write_long_drive(footage, frames["replay"], request.folder)
    rows["replay"] = alone(replay_long_drive, request, model, grid_of(_CELLS), _marks(frames["replay"]))
    progress(2, 3)
    if find_spec("rclpy") is not None:
        rows["node"] = _through_the_node(setup, model, _marks(frames["node"]))
    progress(3, 3)
    return rows


def _marks(frames: int) -> list[int]:
    return [SETTLED + round(step * (frames - SETTLED) / LOOKS) for step in range(LOOKS + 1)]


def _processed(request: BenchRequest, size: Size, footage: Footage, marks: list[int]) -> list[dict[str, Any]]:
    setup = Setup(request)
    pipeline = Pipeline(setup.engine(size), setup.matrix(size.classes), grid_of(_CELLS))
    rows = []
    for number in range(marks[-1]):
        pipeline.process(footage.at(number))
        if number + 1 in marks:
            rows.append({"x": number + 1, "rss_mb": resident_mb()})
    return rows


def _through_the_node(setup: Setup, model: Path, marks: list[int]) -> list[dict[str, Any]]:
    from seg_perception.ros.tools.benchmark import measure

    # What is sent before the first look settles memory.
    counts = [marks[0], *(after - before for before, after in pairwise(marks))]
    cases = [camera_case(setup, _WIDTH, _HEIGHT, "compressed", _RATE, 0, count) for count in counts]
    request = setup.request
    shown = measure(cases, model, request.matrix, ROBOTS["car"].mount, 0.0, request.folder)
    return [{"x": mark, "rss_mb": came["rss_mb"]} for mark, came in zip(marks, shown, strict=True)]
