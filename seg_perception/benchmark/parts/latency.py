"""Latency of a whole frame against the network alone, which is the lower bound."""

from __future__ import annotations

from typing import Any

import numpy as np

from seg_perception.benchmark.setup import (
    NetworkSize,
    Progress,
    SampleFrames,
    Setup,
    cameras_in_circle,
    settings_with_grid,
)
from seg_perception.benchmark.timing import estimate, interleaved, overhead, percentiles, timed
from seg_perception.inference.engine import Engine
from seg_perception.pipeline.pipeline import Pipeline
from seg_perception.pipeline.stages import STAGES
from seg_perception.risk.cost_matrix import CostMatrix

IMAGES = ((480, 360), (960, 544), (1024, 512))
CLASSES = (12, 19)
CELLS = (100, 200, 400)
QUICK = (NetworkSize(480, 360, 12), NetworkSize(1024, 512, 19))
QUICK_CELLS = (200,)
ROUNDS, QUICK_ROUNDS = 60, 20
_GRAPH = "network and risk"


def measure_latency(setup: Setup, progress: Progress) -> list[dict[str, Any]]:
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
    sizes = QUICK if quick else [NetworkSize(*image, classes) for image in IMAGES for classes in CLASSES]
    grids = QUICK_CELLS if quick else CELLS
    rows = []
    for size in sizes:
        engine, matrix = setup.engine(size), setup.matrix(size.classes)
        sample_frames = setup.sample_frames(size.width, size.height)
        for cells in grids:
            row = time_frame(engine, matrix, sample_frames, cells, QUICK_ROUNDS if quick else ROUNDS)
            rows.append({"width": size.width, "height": size.height, "classes": size.classes, "cells": cells, **row})
            progress(len(rows), len(sizes) * len(grids))
        engine.close()
    return rows


def time_frame(
    engine: Engine, matrix: CostMatrix, sample_frames: SampleFrames, cells: int, rounds: int, cameras: int = 1
) -> dict[str, Any]:
    """Time a pipeline and its network alone, in turns.

    Args:
        engine: opened for the default settings.
        matrix: for its classes.
        sample_frames: of its size.
        cells: along each side of the grid.
        rounds: number of rounds.
        cameras: number of cameras that share the grid; a round is one image of each, one after the other.

    Returns:
        pipeline_ms and network_ms (`timing.percentiles`); overhead (`Estimate`): the pipeline's median over that of its
        network, less 1; stages_ms, the median of each, where "risk" is what the engine takes longer than the network
        alone; and maps_ms, the median of the additional time for confidence and expected cost of every pixel.
    """
    pipeline = Pipeline(engine, matrix, settings_with_grid(cells))
    stage_times: dict[str, list[float]] = {stage: [] for stage in STAGES}
    latest = pipeline.process(sample_frames.at(0))

    def process(number: int) -> None:
        nonlocal latest
        for frame in cameras_in_circle(sample_frames.at(number), cameras):
            latest = pipeline.process(frame)
            for stage, milliseconds in latest.timings_ms.items():
                stage_times[stage].append(milliseconds)

    tasks = {
        "pipeline": timed(process),
        "maps": timed(lambda number: latest.output.confidence),
        "network": lambda number: sum(engine.time_network(cameras)),
    }
    times = interleaved(tasks, rounds)
    whole, network = times["pipeline"], times["network"]
    stages = {stage: float(np.median(stage_times[stage][-rounds:])) for stage in STAGES}
    network_median = float(np.median(network))
    stage_medians = {
        "resize": 0.0,
        "ground": 0.0,
        "network": network_median,
        "risk": stages.pop(_GRAPH) - network_median,
    } | stages
    return {
        "pipeline_ms": percentiles(whole),
        "network_ms": percentiles(network),
        "overhead": estimate(overhead, whole, network).content(),
        "stages_ms": {name: round(max(milliseconds, 0.0), 3) for name, milliseconds in stage_medians.items()},
        "maps_ms": round(float(np.median(times["maps"])), 3),
    }
