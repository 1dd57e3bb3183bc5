"""Time and memory as images, classes, grids and recordings grow; each case in a process of its own."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from seg_perception.bags.recording import SourceOptions
from seg_perception.bags.replay import replay
from seg_perception.bags.request import ReplayRequest
from seg_perception.bench.frame_part import time_frame
from seg_perception.bench.long_bag import repeat_bag
from seg_perception.bench.setup import FRAMES_PER_SECOND, BenchRequest, Footage, Progress, Setup, Size
from seg_perception.config import PipelineSettings
from seg_perception.process_memory import peak_mb, resident_mb
from seg_perception.sim.drive import Scenario
from seg_perception.sim.drive_bag import write_drive

IMAGES = ((240, 180), (480, 360), (960, 544), (1280, 720))
CLASSES = (6, 12, 19, 40)
CELLS = (100, 200, 400, 800)
GRID = 200
BAG_MARKS = (75, 150, 300, 600, 1200, 2400)
QUICK_BAG_MARKS = (24, 48, 96)
SETTLED = 1000
"""Frames after which the memory of a replay is to grow no more."""

ROUNDS, QUICK_ROUNDS = 40, 10
FRAMES_PER_HOUR = 30 * 3600
"""Of a camera at 30 Hz."""

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class _Case:
    request: BenchRequest
    size: Size
    cells: int
    footage: Footage
    rounds: int


def grow_part(setup: Setup, progress: Progress) -> dict[str, list[dict[str, Any]]]:
    """Let one thing grow at a time, from the network as it is and 200 x 200 cells.

    Args:
        setup: networks and frames.
        progress: called with cases done and in all.

    Returns:
        Rows by what grows. "image" (pixels), "classes" and "cells" (of the grid): x, name, around (all but the network
        as a share of it), pipeline_ms and network_ms (medians), start_mb (resident memory before anything is opened)
        and peak_mb. "bag" (frames replayed): x, name, frame_ms (wall time per frame since the row before, reading and
        writing included) and rss_mb; the last row of a long one has mb_per_hour too, what an hour at 30 Hz adds at the
        pace of its second half.

    Raises:
        SegPerceptionError: network or matrix cannot be used.
    """
    quick = setup.request.quick
    own = setup.own_size
    first, last = (1, 3) if quick else (0, None)
    cases: list[tuple[str, int, str, Size, int]] = []
    for width, height in IMAGES[first:last]:
        cases.append(("image", width * height, f"{width}×{height}", Size(width, height, own.classes), GRID))
    for classes in CLASSES[first:last]:
        cases.append(("classes", classes, str(classes), replace(own, classes=classes), GRID))
    for cells in CELLS[first:last]:
        cases.append(("cells", cells**2, f"{cells}²", own, cells))
    rows: dict[str, list[dict[str, Any]]] = {"image": [], "classes": [], "cells": []}
    for done, (what, x, name, size, cells) in enumerate(cases, 1):
        footage = setup.footage(size.width, size.height)
        case = _Case(setup.request, size, cells, footage, QUICK_ROUNDS if quick else ROUNDS)
        rows[what].append({"x": x, "name": name, **_alone(_frames, case)})
        progress(done, len(cases) + 1)
    rows["bag"] = _bag(setup, QUICK_BAG_MARKS if quick else BAG_MARKS)
    progress(len(cases) + 1, len(cases) + 1)
    return rows


def _alone(work: Callable[..., _Result], *arguments: object) -> _Result:
    """What a function gives in a process of its own, whose memory is then that of nothing else."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(work, *arguments).result()


def _frames(case: _Case) -> dict[str, Any]:
    start = peak_mb()
    setup = Setup(case.request)
    engine = setup.engine(case.size)
    row = time_frame(engine, setup.matrix(case.size.classes), case.footage, case.cells, case.rounds)
    return {
        "around": row["around"]["value"],
        "pipeline_ms": row["pipeline_ms"]["p50"],
        "network_ms": row["network_ms"]["p50"],
        "start_mb": start,
        "peak_mb": peak_mb(),
    }


def _bag(setup: Setup, marks: tuple[int, ...]) -> list[dict[str, Any]]:
    folder, own = setup.request.folder, setup.own_size
    footage = setup.footage(own.width, own.height)
    count = len(footage.frames)
    seconds = count / FRAMES_PER_SECOND
    scenario = Scenario(footage.frames[0].camera, duration=seconds, fps=FRAMES_PER_SECOND)
    write_drive(folder / "drive", scenario, compressed=True)
    repeat_bag(folder / "drive", folder / "long_drive", -(-marks[-1] // count), round(seconds * 1e9))
    rows = _alone(_replayed, setup.request, marks)
    *_, before, after = rows
    if before["x"] >= SETTLED:
        growth = (after["rss_mb"] - before["rss_mb"]) / (after["x"] - before["x"])
        after["mb_per_hour"] = round(growth * FRAMES_PER_HOUR, 1)
    return rows


def _replayed(request: BenchRequest, marks: tuple[int, ...]) -> list[dict[str, Any]]:
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
            source=str(request.folder / "long_drive"),
            out=request.folder / "replayed",
            model=request.model,
            matrix=request.matrix,
            settings=PipelineSettings(),
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
