"""A whole frame against its own network, which is the limit: nothing can be faster than the network alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from seg_perception.benchmark.setup import Footage, Progress, Setup, Size, cameras_around, grid_of
from seg_perception.benchmark.timing import around, estimate, figures, interleaved, timed
from seg_perception.inference.engine import Engine
from seg_perception.pipeline.pipeline import STAGES, Pipeline
from seg_perception.risk.cost_matrix import CostMatrix

IMAGES = ((480, 360), (960, 544), (1024, 512))
CLASSES = (12, 19)
CELLS = (100, 200, 400)
QUICK = (Size(480, 360, 12), Size(1024, 512, 19))
QUICK_CELLS = (200,)
ROUNDS, QUICK_ROUNDS = 60, 20
_GRAPH = "network and risk"


def frame_part(setup: Setup, progress: Progress) -> list[dict[str, Any]]:
    """Time every size with every grid.

    Args:
        setup: networks and frames.
        progress: called with cases done and in all.

    Returns:
        One row per case, as `time_frame` describes it, with width, height, classes and cells (along a side).

    Raises:
        SegPerceptionError: network or matrix cannot be used.
    """
    quick = setup.request.quick
    sizes = QUICK if quick else [Size(*image, classes) for image in IMAGES for classes in CLASSES]
    grids = QUICK_CELLS if quick else CELLS
    rows = []
    for size in sizes:
        engine, matrix = setup.engine(size), setup.matrix(size.classes)
        footage = setup.footage(size.width, size.height)
        for cells in grids:
            row = time_frame(engine, matrix, footage, cells, QUICK_ROUNDS if quick else ROUNDS)
            rows.append({"width": size.width, "height": size.height, "classes": size.classes, "cells": cells, **row})
            progress(len(rows), len(sizes) * len(grids))
        engine.close()
    return rows


def time_frame(
    engine: Engine, matrix: CostMatrix, footage: Footage, cells: int, rounds: int, cameras: int = 1
) -> dict[str, Any]:
    """Time a pipeline and its network alone, in turns.

    Args:
        engine: opened for the default settings.
        matrix: for its classes.
        footage: of its size.
        cells: along each side of the grid.
        rounds: how many.
        cameras: that share the grid; a round is an image of each, one after the other.

    Returns:
        pipeline_ms and network_ms (`timing.figures`); around (`Estimate`): all but the network as a share of it;
        stages_ms, the median of each, where "risk" is what the engine takes longer than the network alone; and
        pictures_ms, the median of what confidence and expected cost of every pixel take on top, when asked for.
    """
    pipeline = Pipeline(engine, matrix, grid_of(cells))
    laps: dict[str, list[float]] = {stage: [] for stage in STAGES}
    latest = pipeline.process(footage.at(0))

    def process(number: int) -> None:
        nonlocal latest
        for frame in cameras_around(footage.at(number), cameras):
            latest = pipeline.process(frame)
            for stage, milliseconds in latest.timings_ms.items():
                laps[stage].append(milliseconds)

    tasks = {
        "pipeline": timed(process),
        "pictures": timed(lambda number: latest.output.confidence),
        "network": lambda number: sum(engine.time_network(cameras)),
    }
    times = interleaved(tasks, rounds)
    whole, network = times["pipeline"], times["network"]
    stages = {stage: float(np.median(laps[stage][-rounds:])) for stage in STAGES}
    alone = float(np.median(network))
    parts = {"resize": 0.0, "ground": 0.0, "network": alone, "risk": stages.pop(_GRAPH) - alone} | stages
    return {
        "pipeline_ms": figures(whole),
        "network_ms": figures(network),
        "around": estimate(around, whole, network).content(),
        "stages_ms": {name: round(max(milliseconds, 0.0), 3) for name, milliseconds in parts.items()},
        "pictures_ms": round(float(np.median(times["pictures"])), 3),
    }
