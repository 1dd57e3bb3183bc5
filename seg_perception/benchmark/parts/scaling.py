"""Time and memory by size of image, number of classes, cells and cameras, and length of a recording."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from seg_perception.benchmark.long_recording import FRAMES_PER_HOUR, replay_long_recording, write_long_recording
from seg_perception.benchmark.parts.latency import time_frame
from seg_perception.benchmark.setup import BenchRequest, NetworkSize, Progress, SampleFrames, Setup
from seg_perception.benchmark.subprocess_runner import run_in_subprocess
from seg_perception.settings.pipeline import PipelineSettings
from seg_perception.utils.process_usage import peak_mb

IMAGES = ((240, 180), (480, 360), (960, 544), (1280, 720))
CLASSES = (6, 12, 19, 40)
CELLS = (100, 200, 400, 800)
CAMERAS = (1, 2, 3, 4)
GRID = 200
RECORDING_CHECKPOINTS = (75, 150, 300, 600, 1200, 2400)
QUICK_RECORDING_CHECKPOINTS = (24, 48, 96)
WARM_UP_FRAMES = 1000
"""Frames after which the memory of a replay must not grow."""

ROUNDS, QUICK_ROUNDS = 40, 10


@dataclass(frozen=True)
class _Case:
    request: BenchRequest
    size: NetworkSize
    cells: int
    sample_frames: SampleFrames
    rounds: int
    cameras: int


def measure_scaling(setup: Setup, progress: Progress) -> dict[str, list[dict[str, Any]]]:
    """Scale one quantity at a time, from the original network and 200 x 200 cells; each case in its own process.

    Args:
        setup: networks and frames.
        progress: called with cases done and in all.

    Returns:
        Rows by the scaled quantity. "image" (pixels), "classes", "cells" (of the grid) and "cameras" (one image of
        each): x, name, overhead (over the network alone), pipeline_ms and network_ms (medians), start_mb (resident
        memory before anything is opened) and peak_mb. "bag" (frames replayed): x, name, frame_ms (wall time per frame
        since the previous row, with reading and writing) and rss_mb; the last row of a long one also has mb_per_hour,
        the growth per hour at 30 Hz at the rate of its second half.

    Raises:
        SegPerceptionError: network or matrix cannot be used.
    """
    quick = setup.request.quick
    own = setup.own_size
    first, last = (1, 3) if quick else (0, None)
    cases: list[tuple[str, int, str, NetworkSize, int, int]] = []
    for width, height in IMAGES[first:last]:
        cases.append(("image", width * height, f"{width}×{height}", NetworkSize(width, height, own.classes), GRID, 1))
    for classes in CLASSES[first:last]:
        cases.append(("classes", classes, str(classes), replace(own, classes=classes), GRID, 1))
    for cells in CELLS[first:last]:
        cases.append(("cells", cells**2, f"{cells}²", own, cells, 1))
    cases += [("cameras", cameras, str(cameras), own, GRID, cameras) for cameras in CAMERAS[first:last]]
    rows: dict[str, list[dict[str, Any]]] = {"image": [], "classes": [], "cells": [], "cameras": []}
    for done, (quantity, x, name, size, cells, cameras) in enumerate(cases, 1):
        sample_frames = setup.sample_frames(size.width, size.height)
        case = _Case(setup.request, size, cells, sample_frames, QUICK_ROUNDS if quick else ROUNDS, cameras)
        rows[quantity].append({"x": x, "name": name, **run_in_subprocess(_time_frames, case)})
        progress(done, len(cases) + 1)
    rows["bag"] = _replay(setup, QUICK_RECORDING_CHECKPOINTS if quick else RECORDING_CHECKPOINTS)
    progress(len(cases) + 1, len(cases) + 1)
    return rows


def _time_frames(case: _Case) -> dict[str, Any]:
    start = peak_mb()
    setup = Setup(case.request)
    engine = setup.engine(case.size)
    row = time_frame(engine, setup.matrix(case.size.classes), case.sample_frames, case.cells, case.rounds, case.cameras)
    return {
        "overhead": row["overhead"]["value"],
        "pipeline_ms": row["pipeline_ms"]["p50"],
        "network_ms": row["network_ms"]["p50"],
        "start_mb": start,
        "peak_mb": peak_mb(),
    }


def _replay(setup: Setup, checkpoints: tuple[int, ...]) -> list[dict[str, Any]]:
    own = setup.own_size
    write_long_recording(setup.sample_frames(own.width, own.height), checkpoints[-1], setup.request.folder)
    rows = run_in_subprocess(replay_long_recording, setup.request, setup.request.model, PipelineSettings(), checkpoints)
    *_, before, after = rows
    if before["x"] >= WARM_UP_FRAMES:
        growth = (after["rss_mb"] - before["rss_mb"]) / (after["x"] - before["x"])
        after["mb_per_hour"] = round(growth * FRAMES_PER_HOUR, 1)
    return rows
