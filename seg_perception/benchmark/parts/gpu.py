"""On a GPU: what a plan computes by itself, a run of it with copies and launch, and a whole frame around that."""

from __future__ import annotations

from contextlib import closing
from typing import Any, cast

from seg_perception.benchmark.setup import Footage, Progress, Setup, Size, grid_of
from seg_perception.benchmark.timing import around, estimate, figures, interleaved, ratio, timed
from seg_perception.errors import DeviceError, ModelError
from seg_perception.inference.backends import open_engine
from seg_perception.inference.tensorrt.api import FLAVOURS, Flavour, find_tensorrt
from seg_perception.inference.tensorrt.cuda import Cuda
from seg_perception.inference.tensorrt.engine import TensorRtEngine
from seg_perception.model.card import Precision
from seg_perception.pipeline.pipeline import Pipeline, graph_spec
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.settings.pipeline import PipelineSettings

LARGE = Size(1024, 512, 19)
"""Measured beside the network's own size."""

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16")
CELLS = 200
ROUNDS, QUICK_ROUNDS = 200, 50

IN_A_ROW = 10
"""Runs of the plan alone that a round takes the mean of, so that one launch and one wait hardly count."""


def gpu_part(setup: Setup, progress: Progress) -> dict[str, Any]:
    """Time TensorRT, or TensorRT-RTX where there is only that, in every size and precision.

    Args:
        setup: networks and frames.
        progress: called with cases done and in all.

    Returns:
        rows: one per case, as `time_plan` describes it, with width, height, classes, cells (along a side) and
        precision; left_out: why cases have none, a sentence each, and a single one where nothing can run.

    Raises:
        SegPerceptionError: network or matrix cannot be used.
    """
    rows: list[dict[str, Any]] = []
    left_out: list[str] = []
    try:
        flavour = _flavour()
    except DeviceError as error:
        return {"rows": rows, "left_out": [f"not measured: {error}"]}
    rounds = QUICK_ROUNDS if setup.request.quick else ROUNDS
    sizes = dict.fromkeys((setup.own_size, LARGE))
    for size in sizes:
        model, matrix = setup.model(size), setup.matrix(size.classes)
        footage = setup.footage(size.width, size.height)
        case = {"width": size.width, "height": size.height, "classes": size.classes, "cells": CELLS}
        for precision in PRECISIONS:
            try:
                opened = open_engine(model, graph_spec(PipelineSettings()), backend=flavour, precision=precision)
                # Both flavours open this kind of engine.
                with closing(cast(TensorRtEngine, opened)) as engine:
                    rows.append({**case, "precision": precision, **time_plan(engine, matrix, footage, rounds)})
            except (DeviceError, ModelError) as error:
                name = f"{size.width}×{size.height}, {size.classes} classes, {precision}"
                left_out.append(f"{name} not measured: {error}")
            progress(len(rows) + len(left_out), len(sizes) * len(PRECISIONS))
    return {"rows": rows, "left_out": left_out}


def time_plan(engine: TensorRtEngine, matrix: CostMatrix, footage: Footage, rounds: int) -> dict[str, Any]:
    """Time a plan alone, a run of it from image to labels, its network alone and a pipeline, in turns.

    Args:
        engine: opened for the default settings.
        matrix: for its classes.
        footage: of its size.
        rounds: how many.

    Returns:
        engine (one line about it); plan_ms, run_ms, network_ms and pipeline_ms (`timing.figures`); run_over_plan,
        pipeline_over_run and around (`Estimate`), the last one all but the network as a share of it.

    Raises:
        DeviceError: the GPU failed.
        ModelError: the plan of the network alone cannot be built.
    """
    pipeline = Pipeline(engine, matrix, grid_of(CELLS))
    prepared = [pipeline.prepare(frame) for frame in footage.frames]
    costs = matrix.stacked_rows()

    def run(number: int) -> None:
        one = prepared[number % len(prepared)]
        engine.run(one.image[None], costs, one.cells[None])

    tasks = {
        "plan": lambda number: engine.time_plan(IN_A_ROW),
        "run": timed(run),
        "network": lambda number: engine.time_network()[0],
        "pipeline": timed(lambda number: pipeline.process(footage.at(number))),
    }
    times = interleaved(tasks, rounds)
    return {
        "engine": engine.describe(),
        **{f"{name}_ms": figures(each) for name, each in times.items()},
        "run_over_plan": estimate(ratio, times["run"], times["plan"]).content(),
        "pipeline_over_run": estimate(ratio, times["pipeline"], times["run"]).content(),
        "around": estimate(around, times["pipeline"], times["network"]).content(),
    }


def _flavour() -> Flavour:
    """What can run plans here.

    Raises:
        DeviceError: CUDA, a GPU or TensorRT are missing.
    """
    Cuda().close()
    refusals = []
    for flavour in FLAVOURS:
        try:
            find_tensorrt(flavour)
        except DeviceError as error:
            refusals.append(str(error).rstrip("."))
            continue
        return flavour
    raise DeviceError(f"{'; '.join(refusals)}.")
