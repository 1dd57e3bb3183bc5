"""Latency on a GPU: a plan alone, a run of it with copies and launch, and a whole frame."""

from __future__ import annotations

from contextlib import closing
from typing import Any, cast

from seg_perception.benchmark.setup import NetworkSize, Progress, SampleFrames, Setup, settings_with_grid
from seg_perception.benchmark.timing import estimate, interleaved, overhead, percentiles, ratio, timed
from seg_perception.errors import DeviceError, ModelError
from seg_perception.inference.backends import open_engine
from seg_perception.inference.tensorrt.api import FLAVOURS, Flavour, find_tensorrt
from seg_perception.inference.tensorrt.cuda import Cuda
from seg_perception.inference.tensorrt.engine import TensorRtEngine
from seg_perception.model.card import Precision
from seg_perception.pipeline.pipeline import Pipeline, graph_spec
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.settings.pipeline import PipelineSettings

LARGE = NetworkSize(1024, 512, 19)
"""Measured in addition to the network's own size."""

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16")
CELLS = 200
ROUNDS, QUICK_ROUNDS = 200, 50

RUNS_PER_ROUND = 10
"""Runs of the plan alone per round, which takes their mean, so that one launch and one wait hardly count."""


def measure_gpu(setup: Setup, progress: Progress) -> dict[str, Any]:
    """Time TensorRT, or TensorRT-RTX where there is only that, in every size and precision.

    Args:
        setup: networks and frames.
        progress: called with cases done and in all.

    Returns:
        rows: one per case, as `time_plan` describes it, with width, height, classes, cells (along a side) and
        precision; skipped: a sentence for each case without a row, and a single one where nothing can run.

    Raises:
        SegPerceptionError: network or matrix cannot be used.
    """
    rows: list[dict[str, Any]] = []
    skipped: list[str] = []
    try:
        flavour = _flavour()
    except DeviceError as error:
        return {"rows": rows, "skipped": [f"not measured: {error}"]}
    rounds = QUICK_ROUNDS if setup.request.quick else ROUNDS
    sizes = dict.fromkeys((setup.own_size, LARGE))
    for size in sizes:
        model, matrix = setup.model(size), setup.matrix(size.classes)
        sample_frames = setup.sample_frames(size.width, size.height)
        case = {"width": size.width, "height": size.height, "classes": size.classes, "cells": CELLS}
        for precision in PRECISIONS:
            try:
                opened = open_engine(model, graph_spec(PipelineSettings()), backend=flavour, precision=precision)
                # Both flavours open this kind of engine.
                with closing(cast(TensorRtEngine, opened)) as engine:
                    rows.append({**case, "precision": precision, **time_plan(engine, matrix, sample_frames, rounds)})
            except (DeviceError, ModelError) as error:
                name = f"{size.width}×{size.height}, {size.classes} classes, {precision}"
                skipped.append(f"{name} not measured: {error}")
            progress(len(rows) + len(skipped), len(sizes) * len(PRECISIONS))
    return {"rows": rows, "skipped": skipped}


def time_plan(engine: TensorRtEngine, matrix: CostMatrix, sample_frames: SampleFrames, rounds: int) -> dict[str, Any]:
    """Time a plan alone, a run of it from image to labels, its network alone and a pipeline, in turns.

    Args:
        engine: opened for the default settings.
        matrix: for its classes.
        sample_frames: of its size.
        rounds: number of rounds.

    Returns:
        engine (frame line about it); plan_ms, run_ms, network_ms and pipeline_ms (`timing.percentiles`); run_over_plan,
        pipeline_over_run and overhead (`Estimate`), the last frame over the network alone.

    Raises:
        DeviceError: the GPU failed.
        ModelError: the plan of the network alone cannot be built.
    """
    pipeline = Pipeline(engine, matrix, settings_with_grid(CELLS))
    prepared = [pipeline.prepare(frame) for frame in sample_frames.frames]
    costs = matrix.stacked_rows()

    def run(number: int) -> None:
        frame = prepared[number % len(prepared)]
        engine.run(frame.image[None], costs, frame.sample_points[None])

    tasks = {
        "plan": lambda number: engine.time_plan(RUNS_PER_ROUND),
        "run": timed(run),
        "network": lambda number: engine.time_network()[0],
        "pipeline": timed(lambda number: pipeline.process(sample_frames.at(number))),
    }
    times = interleaved(tasks, rounds)
    return {
        "engine": engine.describe(),
        **{f"{name}_ms": percentiles(each) for name, each in times.items()},
        "run_over_plan": estimate(ratio, times["run"], times["plan"]).content(),
        "pipeline_over_run": estimate(ratio, times["pipeline"], times["run"]).content(),
        "overhead": estimate(overhead, times["pipeline"], times["network"]).content(),
    }


def _flavour() -> Flavour:
    """The TensorRT flavour that is installed here.

    Raises:
        DeviceError: CUDA, a GPU or TensorRT is missing.
    """
    Cuda().close()
    reasons = []
    for flavour in FLAVOURS:
        try:
            find_tensorrt(flavour)
        except DeviceError as error:
            reasons.append(str(error).rstrip("."))
            continue
        return flavour
    raise DeviceError(f"{'; '.join(reasons)}.")
