"""Projecting, fusing and pricing, on one core: with flat ground and with a depth image, as the grid gets more cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from seg_perception.benchmark.setup import Footage, Progress, Setup, grid_of
from seg_perception.benchmark.timing import Task, figures, interleaved
from seg_perception.inference.engine import Engine
from seg_perception.pipeline.pipeline import Pipeline
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.sensor_data.frame import DepthImage, Frame

CELLS, QUICK_CELLS = (100, 200, 400, 800), (100, 200)
CAMERA = (640, 480)
"""Width and height of image and depth image."""

ROUNDS, QUICK_ROUNDS = 60, 10
_STAGES = ("ground", "fuse", "costmap")


def grid_part(setup: Setup, progress: Progress) -> list[dict[str, Any]]:
    """Time what comes before and after the network in turns, for both projections and every grid.

    The stages are timed within whole frames, so that they find the caches as the network leaves them.

    Args:
        setup: networks and frames.
        progress: called with cases done and in all.

    Returns:
        A row per projection and grid: projection, "plane" or "depth"; cells, along a side; and grid_ms
        (`timing.figures`), what projecting, fusing and pricing take together.

    Raises:
        SegPerceptionError: network or matrix cannot be used.
    """
    quick = setup.request.quick
    sides = QUICK_CELLS if quick else CELLS
    matrix, footage = setup.matrix(len(setup.card.classes)), setup.footage(*CAMERA)
    engine = setup.engine(setup.own_size)
    shown: dict[str, Callable[[int], Frame]] = {
        "plane": footage.at,
        "depth": lambda number: _with_depth(footage, number),
    }
    cases = [(projection, side) for side in sides for projection in shown]
    tasks = {f"{name} {side}": _stages_of(engine, matrix, side, shown[name]) for name, side in cases}
    times = interleaved(tasks, QUICK_ROUNDS if quick else ROUNDS)
    rows = [
        {"projection": projection, "cells": side, "grid_ms": figures(milliseconds)}
        for (projection, side), milliseconds in zip(cases, times.values(), strict=True)
    ]
    engine.close()
    progress(1, 1)
    return rows


def _with_depth(footage: Footage, number: int) -> Frame:
    frame, depth = footage.at(number), footage.depth[number % len(footage.depth)]
    metres = np.where(np.isfinite(depth), depth, np.float32(0))
    return replace(frame, depth=DepthImage(frame.stamp_ns, metres, frame.odom_from_base @ frame.base_from_optical))


def _stages_of(engine: Engine, matrix: CostMatrix, side: int, frame: Callable[[int], Frame]) -> Task:
    pipeline = Pipeline(engine, matrix, grid_of(side))

    def task(number: int) -> float:
        laps = pipeline.process(frame(number)).timings_ms
        return sum(laps[stage] for stage in _STAGES)

    return task
