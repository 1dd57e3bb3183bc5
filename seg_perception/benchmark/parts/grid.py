"""Projection, fusion and costs on one core, for flat ground and for depth images, by the number of cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from seg_perception.benchmark.setup import Progress, SampleFrames, Setup, settings_with_grid
from seg_perception.benchmark.timing import Task, interleaved, percentiles
from seg_perception.inference.engine import Engine
from seg_perception.pipeline.pipeline import Pipeline
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.sensor_data.frame import DepthImage, Frame

CELLS, QUICK_CELLS = (100, 200, 400, 800), (100, 200)
CAMERA = (640, 480)
"""Width and height of image and depth image."""

ROUNDS, QUICK_ROUNDS = 60, 10
_STAGES = ("ground", "fuse", "costmap")


def measure_grid(setup: Setup, progress: Progress) -> list[dict[str, Any]]:
    """Time the stages before and after the network, for both projections and every grid, in turns.

    The stages are timed within whole frames, so that the CPU caches are as the network leaves them.

    Args:
        setup: networks and frames.
        progress: called with cases done and in all.

    Returns:
        A row per projection and grid: projection, "plane" or "depth"; cells, along a side; and grid_ms
        (`timing.percentiles`), projection, fusion and costs together.

    Raises:
        SegPerceptionError: network or matrix cannot be used.
    """
    quick = setup.request.quick
    sides = QUICK_CELLS if quick else CELLS
    matrix, sample_frames = setup.matrix(len(setup.card.classes)), setup.sample_frames(*CAMERA)
    engine = setup.engine(setup.own_size)
    frames: dict[str, Callable[[int], Frame]] = {
        "plane": sample_frames.at,
        "depth": lambda number: _with_depth(sample_frames, number),
    }
    cases = [(projection, side) for side in sides for projection in frames]
    tasks = {f"{name} {side}": _stages_of(engine, matrix, side, frames[name]) for name, side in cases}
    times = interleaved(tasks, QUICK_ROUNDS if quick else ROUNDS)
    rows = [
        {"projection": projection, "cells": side, "grid_ms": percentiles(milliseconds)}
        for (projection, side), milliseconds in zip(cases, times.values(), strict=True)
    ]
    engine.close()
    progress(1, 1)
    return rows


def _with_depth(sample_frames: SampleFrames, number: int) -> Frame:
    frame, depth = sample_frames.at(number), sample_frames.depth[number % len(sample_frames.depth)]
    metres = np.where(np.isfinite(depth), depth, np.float32(0))
    return replace(frame, depth=DepthImage(frame.stamp_ns, metres, frame.odom_from_base @ frame.base_from_optical))


def _stages_of(engine: Engine, matrix: CostMatrix, side: int, frame: Callable[[int], Frame]) -> Task:
    pipeline = Pipeline(engine, matrix, settings_with_grid(side))

    def task(number: int) -> float:
        timings = pipeline.process(frame(number)).timings_ms
        return sum(timings[stage] for stage in _STAGES)

    return task
