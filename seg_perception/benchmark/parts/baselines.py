"""The same network and frames through what people run today: how long it takes, and whether it says the same."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.benchmark.baselines.baseline import Answer, Peer, Scene
from seg_perception.benchmark.baselines.nav2_tutorial import Nav2Tutorial
from seg_perception.benchmark.baselines.pixel_projection import PixelProjection
from seg_perception.benchmark.baselines.warp_torch import WarpTorch
from seg_perception.benchmark.setup import Footage, Progress, Setup, Size, grid_of
from seg_perception.benchmark.timing import Task, estimate, figures, interleaved, ratio, timed, times_faster
from seg_perception.inference.engine import Engine, EngineOutput
from seg_perception.pipeline.pipeline import Pipeline
from seg_perception.risk.cost_matrix import LETHAL_COST, CostMatrix

SIZES = (Size(480, 360, 12), Size(1024, 512, 19))
CELLS = 200
ROUNDS, QUICK_ROUNDS = 60, 15

PAUSE = 0.1
"""Between turns, s: after a matrix product, the threads of a BLAS library spin for a while and wait for another one.
They would take a core from whoever comes next. On a robot only one of them all runs."""


def peers_part(setup: Setup, progress: Progress) -> list[dict[str, Any]]:
    """Time this pipeline and its peers in turns, and compare what they say.

    The decision is the most probable class here (every mistake costs the same), because that is the question which the
    peers answer. They are given calibrated scores, so calibration is not held against them; and of this pipeline all
    that is not the network counts, of theirs only what comes after it.

    Args:
        setup: networks and frames.
        progress: called with sizes done and in all.

    Returns:
        One row per size and peer, as `compare` describes them, with width, height, classes and cells.

    Raises:
        SegPerceptionError: network or matrix cannot be used.
    """
    quick = setup.request.quick
    sizes = SIZES[:1] if quick else SIZES
    rows: list[dict[str, Any]] = []
    for done, size in enumerate(sizes, 1):
        engine, matrix = setup.engine(size, logits=True), most_probable(setup.matrix(size.classes))
        footage = setup.footage(size.width, size.height)
        compared = compare(
            engine, matrix, footage, all_peers(size.classes, setup.request.threads), QUICK_ROUNDS if quick else ROUNDS
        )
        case = {"width": size.width, "height": size.height, "classes": size.classes, "cells": CELLS}
        rows += [{**case, **row} for row in compared]
        engine.close()
        progress(done, len(sizes))
    return rows


def all_peers(classes: int, threads: int | None) -> list[Peer]:
    """Every peer that can run here: the one that is written in PyTorch needs it."""
    peers: list[Peer] = [Nav2Tutorial(classes), PixelProjection()]
    with suppress(ImportError):
        peers.append(WarpTorch(threads))
    return peers


def most_probable(matrix: CostMatrix) -> CostMatrix:
    """The matrix under which the Bayes decision is the most probable class."""
    return replace(matrix, misclassification=1 - np.eye(len(matrix.classes), dtype=np.float32))


def compare(
    engine: Engine, matrix: CostMatrix, footage: Footage, peers: Sequence[Peer], rounds: int
) -> list[dict[str, Any]]:
    """Time peers against this pipeline, in turns, and look at what each says of its first frame.

    Args:
        engine: opened for the default settings, with logits.
        matrix: for its classes.
        footage: of its size.
        peers: fresh ones.
        rounds: how many.

    Returns:
        One row per peer: key, peer (its name), source and lacks; after_network_ms (`timing.figures`) of the peer;
        pipeline_ms and network_ms of this pipeline, and beside_network_ms, the difference of their medians, with
        confidence and expected cost of every pixel where the peer makes one of them; faster
        (`Estimate`): the peer's time after the network over ours beside it; whole_frame (`Estimate`): network included
        on both sides; and agreement, from `agreement`.
    """
    pipeline = Pipeline(engine, matrix, grid_of(CELLS))
    first = pipeline.process(footage.at(0)).output
    ours = (first, *pipeline.grid.costs(matrix))
    scenes = [_scene(pipeline, footage, number, matrix) for number in range(len(footage.frames))]
    answers = {peer.key: peer.process(scenes[0]) for peer in peers}

    def asking(peer: Peer) -> Task:
        return timed(lambda number: peer.process(replace(scenes[number % len(scenes)], frame=footage.at(number))))

    tasks = {
        "labels": timed(lambda number: pipeline.process(footage.at(number))),
        "labels and pictures": timed(lambda number: pipeline.process(footage.at(number)).output.confidence),
        "network": lambda number: engine.time_network()[0],
        **{peer.key: asking(peer) for peer in peers},
    }
    times = interleaved(tasks, rounds, pause=PAUSE)
    network = times["network"]
    rows = []
    for peer in peers:
        answer = answers[peer.key]
        paints = answer.confidence is not None or answer.expected_cost is not None
        whole = times["labels and pictures" if paints else "labels"]
        rows.append(
            {
                "key": peer.key,
                "peer": peer.name,
                "source": peer.source,
                "lacks": peer.lacks,
                "after_network_ms": figures(times[peer.key]),
                "pipeline_ms": figures(whole),
                "network_ms": figures(network),
                "beside_network_ms": round(float(np.median(whole) - np.median(network)), 3),
                "faster": estimate(times_faster, times[peer.key], whole, network).content(),
                "whole_frame": estimate(ratio, times[peer.key] + network, whole).content(),
                "agreement": agreement(*ours, answer),
            }
        )
    return rows


def agreement(
    output: EngineOutput, costs: NDArray[np.float32], known: NDArray[np.bool_], answer: Answer
) -> dict[str, float]:
    """How far a peer's answer is that of this pipeline, in shares of 1; what the peer does not make is left out.

    Args:
        output: of the engine, for one image.
        costs: float32 [rows, cols], nav2 units.
        known: bool [rows, cols].
        answer: the peer's, of the same frame.

    Returns:
        labels: pixels with the same class; confidence: pixels within one step of 255; expected_cost: pixels within one
        nav2 unit; cells: cells known to both of those known to either; lethal: of the cells known to both, those that
        both or neither hold for lethal.
    """
    shares: dict[str, float] = {}
    if answer.labels is not None:
        shares["labels"] = float((answer.labels == output.labels[0]).mean())
    if answer.confidence is not None:
        shares["confidence"] = _within_one(answer.confidence, output.confidence[0])
    if answer.expected_cost is not None:
        shares["expected_cost"] = _within_one(answer.expected_cost, output.expected_cost[0])
    both, either = known & answer.known, known | answer.known
    if either.any():
        shares["cells"] = float(both.sum() / either.sum())
    if both.any():
        shares["lethal"] = float(((costs >= LETHAL_COST) == (answer.costs >= LETHAL_COST))[both].mean())
    return {name: round(share, 6) for name, share in shares.items()}


def _within_one(first: NDArray[Any], second: NDArray[Any]) -> float:
    return float((np.abs(first.astype(np.float32) - second.astype(np.float32)) <= 1).mean())


def _scene(pipeline: Pipeline, footage: Footage, number: int, matrix: CostMatrix) -> Scene:
    result = pipeline.process(footage.at(number))
    assert result.output.logits is not None  # the engine was opened with them
    camera = result.frame.camera
    depth = np.where(np.isfinite(footage.depth[number]), footage.depth[number], np.nan)
    columns, rows = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    x = (columns - camera.matrix[0, 2]) / camera.matrix[0, 0]
    y = (rows - camera.matrix[1, 2]) / camera.matrix[1, 1]
    cloud = (np.stack([x, y, np.ones_like(x)], axis=-1) * depth[..., np.newaxis]).astype(np.float32)
    ground = grid_of(CELLS).ground
    return Scene(result.frame, result.output.logits[0], cloud, result.raster, ground, matrix)
