"""Time and memory as images, classes, grids and recordings grow; each case in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from seg_perception.benchmark.long_bag import FRAMES_PER_HOUR, replay_long_drive, write_long_drive
from seg_perception.benchmark.parts.latency import time_frame
from seg_perception.benchmark.setup import BenchRequest, Footage, Progress, Setup, Size
from seg_perception.benchmark.subprocess_runner import alone
from seg_perception.settings.pipeline import PipelineSettings
from seg_perception.utils.process_memory import peak_mb

IMAGES = ((240, 180), (480, 360), (960, 544), (1280, 720))
CLASSES = (6, 12, 19, 40)
CELLS = (100, 200, 400, 800)
CAMERAS = (1, 2, 3, 4)
GRID = 200
BAG_MARKS = (75, 150, 300, 600, 1200, 2400)
QUICK_BAG_MARKS = (24, 48, 96)
SETTLED = 1000
"""Frames after which the memory of a replay is to grow no more."""

ROUNDS, QUICK_ROUNDS = 40, 10


@dataclass(frozen=True)
class _Case:
    request: BenchRequest
    size: Size
    cells: int
    footage: Footage
    rounds: int
    cameras: int


def grow_part(setup: Setup, progress: Progress) -> dict[str, list[dict[str, Any]]]:
    """Let one thing grow at a time, from the network as it is and 200 x 200 cells.

    Args:
        setup: networks and frames.
        progress: called with cases done and in all.

    Returns:
        Rows by what grows. "image" (pixels), "classes", "cells" (of the grid) and "cameras" (an image of each): x,
        name, around (all but the network as a share of it), pipeline_ms and network_ms (medians), start_mb (resident
        memory before anything is opened) and peak_mb. "bag" (frames replayed): x, name, frame_ms (wall time per frame
        since the row before, reading and writing included) and rss_mb; the last row of a long one has mb_per_hour too,
        what an hour at 30 Hz adds at the pace of its second half.

    Raises:
        SegPerceptionError: network or matrix cannot be used.
    """
    quick = setup.request.quick
    own = setup.own_size
    first, last = (1, 3) if quick else (0, None)
    cases: list[tuple[str, int, str, Size, int, int]] = []
    for width, height in IMAGES[first:last]:
        cases.append(("image", width * height, f"{width}×{height}", Size(width, height, own.classes), GRID, 1))
    for classes in CLASSES[first:last]:
        cases.append(("classes", classes, str(classes), replace(own, classes=classes), GRID, 1))
    for cells in CELLS[first:last]:
        cases.append(("cells", cells**2, f"{cells}²", own, cells, 1))
    cases += [("cameras", cameras, str(cameras), own, GRID, cameras) for cameras in CAMERAS[first:last]]
    rows: dict[str, list[dict[str, Any]]] = {"image": [], "classes": [], "cells": [], "cameras": []}
    for done, (what, x, name, size, cells, cameras) in enumerate(cases, 1):
        footage = setup.footage(size.width, size.height)
        case = _Case(setup.request, size, cells, footage, QUICK_ROUNDS if quick else ROUNDS, cameras)
        rows[what].append({"x": x, "name": name, **alone(_frames, case)})
        progress(done, len(cases) + 1)
    rows["bag"] = _bag(setup, QUICK_BAG_MARKS if quick else BAG_MARKS)
    progress(len(cases) + 1, len(cases) + 1)
    return rows


def _frames(case: _Case) -> dict[str, Any]:
    start = peak_mb()
    setup = Setup(case.request)
    engine = setup.engine(case.size)
    row = time_frame(engine, setup.matrix(case.size.classes), case.footage, case.cells, case.rounds, case.cameras)
    return {
        "around": row["around"]["value"],
        "pipeline_ms": row["pipeline_ms"]["p50"],
        "network_ms": row["network_ms"]["p50"],
        "start_mb": start,
        "peak_mb": peak_mb(),
    }


def _bag(setup: Setup, marks: tuple[int, ...]) -> list[dict[str, Any]]:
    own = setup.own_size
    write_long_drive(setup.footage(own.width, own.height), marks[-1], setup.request.folder)
    rows = alone(replay_long_drive, setup.request, setup.request.model, PipelineSettings(), marks)
    *_, before, after = rows
    if before["x"] >= SETTLED:
        growth = (after["rss_mb"] - before["rss_mb"]) / (after["x"] - before["x"])
        after["mb_per_hour"] = round(growth * FRAMES_PER_HOUR, 1)
    return rows
