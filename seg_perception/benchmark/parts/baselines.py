"""The baselines on the same network outputs and frames: their time, and whether they give the same outputs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.benchmark.baselines.baseline import Baseline, BaselineInput, BaselineOutput
from seg_perception.benchmark.baselines.nav2_tutorial import Nav2Tutorial
from seg_perception.benchmark.baselines.pixel_projection import PixelProjection
from seg_perception.benchmark.baselines.warp_torch import WarpTorch
from seg_perception.benchmark.setup import NetworkSize, Progress, SampleFrames, Setup, settings_with_grid
from seg_perception.benchmark.timing import Task, estimate, interleaved, percentiles, ratio, speedup, timed
from seg_perception.inference.engine import Engine, EngineOutput
from seg_perception.pipeline.pipeline import Pipeline
from seg_perception.risk.cost_matrix import LETHAL_COST, CostMatrix

SIZES = (NetworkSize(480, 360, 12), NetworkSize(1024, 512, 19))
CELLS = 200
ROUNDS, QUICK_ROUNDS = 60, 15

PAUSE = 0.1
"""Between tasks, s. After a matrix product the threads of a BLAS library spin for a while. They would take a core from
the next task. On a robot only one of the methods runs."""


def measure_baselines(setup: Setup, progress: Progress) -> list[dict[str, Any]]:
    """Time this pipeline and the baselines in turns, and compare their outputs.

    Every misclassification costs the same here, so that the decision is the most probable class, as in the baselines.
    The baselines get calibrated logits, so that calibration does not count against them. Of this pipeline everything
    but the network counts, of a baseline only what comes after the network.

    Args:
        setup: networks and frames.
        progress: called with sizes done and in all.

    Returns:
        One row per size and baseline, as `compare` describes them, with width, height, classes and cells.

    Raises:
        SegPerceptionError: network or matrix cannot be used.
    """
    quick = setup.request.quick
    sizes = SIZES[:1] if quick else SIZES
    rows: list[dict[str, Any]] = []
    for done, size in enumerate(sizes, 1):
        engine, matrix = setup.engine(size, logits=True), most_probable(setup.matrix(size.classes))
        sample_frames = setup.sample_frames(size.width, size.height)
        compared = compare(
            engine,
            matrix,
            sample_frames,
            available_baselines(size.classes, setup.request.threads),
            QUICK_ROUNDS if quick else ROUNDS,
        )
        case = {"width": size.width, "height": size.height, "classes": size.classes, "cells": CELLS}
        rows += [{**case, **row} for row in compared]
        engine.close()
        progress(done, len(sizes))
    return rows


def available_baselines(classes: int, threads: int | None) -> list[Baseline]:
    """Every baseline that can run here: one needs PyTorch."""
    baselines: list[Baseline] = [Nav2Tutorial(classes), PixelProjection()]
    with suppress(ImportError):
        baselines.append(WarpTorch(threads))
    return baselines


def most_probable(matrix: CostMatrix) -> CostMatrix:
    """The matrix under which the Bayes decision is the most probable class."""
    return replace(matrix, misclassification=1 - np.eye(len(matrix.classes), dtype=np.float32))


def compare(
    engine: Engine, matrix: CostMatrix, sample_frames: SampleFrames, baselines: Sequence[Baseline], rounds: int
) -> list[dict[str, Any]]:
    """Time baselines against this pipeline, in turns, and compare their outputs for the first frame.

    Args:
        engine: opened for the default settings, with logits.
        matrix: for its classes.
        sample_frames: of its size.
        baselines: new ones.
        rounds: number of rounds.

    Returns:
        One row per baseline: key, baseline (its name), source and lacks; after_network_ms (`timing.percentiles`) of the
        baseline; pipeline_ms and network_ms of this pipeline, and overhead_ms, the difference of their medians, with
        confidence and expected cost of every pixel where the baseline makes one of them; speedup (`Estimate`): the
        baseline's time after the network over overhead_ms; whole_frame (`Estimate`): the ratio with the network on
        both sides; and agreement, from `agreement`.
    """
    pipeline = Pipeline(engine, matrix, settings_with_grid(CELLS))
    first = pipeline.process(sample_frames.at(0)).output
    own_output = (first, *pipeline.grid.costs(matrix))
    inputs = [_baseline_input(pipeline, sample_frames, number, matrix) for number in range(len(sample_frames.frames))]
    outputs = {baseline.key: baseline.process(inputs[0]) for baseline in baselines}

    def process_frame(baseline: Baseline) -> Task:
        def work(number: int) -> BaselineOutput:
            return baseline.process(replace(inputs[number % len(inputs)], frame=sample_frames.at(number)))

        return timed(work)

    tasks = {
        "labels": timed(lambda number: pipeline.process(sample_frames.at(number))),
        "labels and maps": timed(lambda number: pipeline.process(sample_frames.at(number)).output.confidence),
        "network": lambda number: engine.time_network()[0],
        **{baseline.key: process_frame(baseline) for baseline in baselines},
    }
    times = interleaved(tasks, rounds, pause=PAUSE)
    network = times["network"]
    rows = []
    for baseline in baselines:
        baseline_output = outputs[baseline.key]
        makes_maps = baseline_output.confidence is not None or baseline_output.expected_cost is not None
        whole = times["labels and maps" if makes_maps else "labels"]
        rows.append(
            {
                "key": baseline.key,
                "baseline": baseline.name,
                "source": baseline.source,
                "lacks": baseline.lacks,
                "after_network_ms": percentiles(times[baseline.key]),
                "pipeline_ms": percentiles(whole),
                "network_ms": percentiles(network),
                "overhead_ms": round(float(np.median(whole) - np.median(network)), 3),
                "speedup": estimate(speedup, times[baseline.key], whole, network).content(),
                "whole_frame": estimate(ratio, times[baseline.key] + network, whole).content(),
                "agreement": agreement(*own_output, baseline_output),
            }
        )
    return rows


def agreement(
    output: EngineOutput, costs: NDArray[np.float32], known: NDArray[np.bool_], baseline_output: BaselineOutput
) -> dict[str, float]:
    """Agreement of a baseline's output with that of this pipeline, in shares of 1, without what the baseline lacks.

    Args:
        output: of the engine, for one image.
        costs: float32 [rows, cols], nav2 units.
        known: bool [rows, cols].
        baseline_output: for the same frame.

    Returns:
        labels: pixels with the same class; confidence: pixels within one step of 255; expected_cost: pixels within one
        nav2 unit; cells: cells known to both of those known to either; lethal: of the cells known to both, those that
        are lethal for both or for neither.
    """
    shares: dict[str, float] = {}
    if baseline_output.labels is not None:
        shares["labels"] = float((baseline_output.labels == output.labels[0]).mean())
    if baseline_output.confidence is not None:
        shares["confidence"] = _within_one(baseline_output.confidence, output.confidence[0])
    if baseline_output.expected_cost is not None:
        shares["expected_cost"] = _within_one(baseline_output.expected_cost, output.expected_cost[0])
    both, either = known & baseline_output.known, known | baseline_output.known
    if either.any():
        shares["cells"] = float(both.sum() / either.sum())
    if both.any():
        shares["lethal"] = float(((costs >= LETHAL_COST) == (baseline_output.costs >= LETHAL_COST))[both].mean())
    return {name: round(share, 6) for name, share in shares.items()}


def _within_one(first: NDArray[Any], second: NDArray[Any]) -> float:
    return float((np.abs(first.astype(np.float32) - second.astype(np.float32)) <= 1).mean())


def _baseline_input(pipeline: Pipeline, sample_frames: SampleFrames, number: int, matrix: CostMatrix) -> BaselineInput:
    result = pipeline.process(sample_frames.at(number))
    assert result.output.logits is not None  # the engine was opened with them
    camera = result.frame.camera
    depth = np.where(np.isfinite(sample_frames.depth[number]), sample_frames.depth[number], np.nan)
    columns, rows = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    x = (columns - camera.matrix[0, 2]) / camera.matrix[0, 0]
    y = (rows - camera.matrix[1, 2]) / camera.matrix[1, 1]
    cloud = (np.stack([x, y, np.ones_like(x)], axis=-1) * depth[..., np.newaxis]).astype(np.float32)
    ground = settings_with_grid(CELLS).ground
    return BaselineInput(result.frame, result.output.logits[0], cloud, result.bounds, ground, matrix)
