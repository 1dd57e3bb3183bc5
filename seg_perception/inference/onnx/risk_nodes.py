"""Nodes that follow the network in the fused graph: calibration, Bayes decision, expected cost and sample points.

A softmax over full-resolution planes alone costs more than a light network. Three facts make it cheap without changing
the result (`cpu.decision` does the same on the CPU, with a shortcut that a graph cannot take):

* A softmax ignores a number added to all classes, and interpolation is linear. So the maximum is subtracted from
  the logits at their own resolution, and exp() after upsampling neither overflows nor loses every class to underflow.
* argmin of C p is argmin of C exp(z): the decision needs no division, and the rest divides planes, not classes.
* Bilinear upsampling by a whole factor s is a sub-pixel convolution (Shi et al., CVPR 2016) with constant weights:
  each of the s² output phases is a weighted sum of four neighbouring logits, all phases are one small matrix product.
  Phases stay apart (a batch axis, which threads share) until one number per pixel is left; only that is interleaved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from seg_perception.inference.onnx.node_writer import NodeWriter
from seg_perception.model.logit_calibration import LogitCalibration

LOGIT_RANGE = 80.0
"""Logits are clamped to at most this far below the highest of their pixel. exp(-80) is a normal float32, and so is the
sum over classes anywhere between pixels: one of four neighbours weighs at least 1/4, so its best class has exp(-60)."""

MIN_PROBABILITY = 1e-30
"""Probabilities are clamped to at least this, so that their logarithm is finite."""


@dataclass(frozen=True)
class LogitPlanes:
    """Shape of the logits, float32 [images, classes, rows, columns]."""

    images: int
    classes: int
    rows: int
    columns: int


def calibrated_logits(
    graph: NodeWriter, scores: str, output: Literal["logits", "probabilities"], calibration: LogitCalibration
) -> str:
    """Add the nodes from scores to calibrated logits (from -LOGIT_RANGE to about 0), and the output `score_norm`.

    Args:
        graph: takes the nodes.
        scores: float32 [N, K, h, w], the network's output.
        output: what the scores are.
        calibration: the model card's for the precision in which the network will compute.
    """
    axes = np.array([1, 2, 3], np.int64)
    graph.node("ReduceSum", graph.node("Abs", scores), axes, keepdims=0, result="score_norm")
    if output == "probabilities":
        scores = graph.node("Log", graph.node("Max", scores, np.float32(MIN_PROBABILITY)))
    logits = graph.node("Sub", scores, graph.reduce_max(scores, axis=1))
    logits = graph.node("Mul", logits, calibration.factor.reshape(1, -1, 1, 1))
    if calibration.bias:
        # No bias may lift a logit above 0. Then no second maximum is needed: the highest lies near 0, which is enough.
        logits = graph.node("Add", logits, (calibration.offset - calibration.offset.max()).reshape(1, -1, 1, 1))
    return graph.node("Max", logits, np.float32(-LOGIT_RANGE))


def add_decision(graph: NodeWriter, logits: str, shape: LogitPlanes, factor: int) -> None:
    """Add the outputs `labels`, `expected_cost` and `confidence`, all uint8 [N, s*h, s*w].

    Args:
        graph: takes the nodes; they read its input `costs`.
        logits: from `calibrated_logits`.
        shape: of the logits.
        factor: s, output pixels per logit along each axis.
    """
    if factor > 1:
        logits = _upsample_in_phases(graph, logits, shape, factor)
    margin = 1 if factor > 1 else 0
    rows, columns, phases = shape.rows + margin, shape.columns + margin, factor * factor
    masses = graph.reshape(graph.node("Exp", logits), phases * shape.images, shape.classes, rows * columns)

    def add_output(value: str, name: str) -> None:
        planes = graph.reshape(graph.node("Cast", value, to=TensorProto.FLOAT), phases, shape.images, rows, columns)
        if factor > 1:
            planes = graph.node("DepthToSpace", graph.node("Transpose", planes, perm=[1, 0, 2, 3]), blocksize=factor)
            start = _before_image(factor)
            planes = graph.crop(
                planes, {2: (start, start + factor * shape.rows), 3: (start, start + factor * shape.columns)}
            )
        image = graph.reshape(planes, shape.images, factor * shape.rows, factor * shape.columns)
        # Cast last: TensorRT has uint8 for inputs and outputs only, not in between.
        graph.node("Cast", image, to=TensorProto.UINT8, result=name)

    risks = graph.node("MatMul", graph.crop("costs", {0: (0, shape.classes)}), masses)
    add_output(graph.node("ArgMin", risks, axis=1), "labels")

    total = graph.node("ReduceSum", masses, np.array([1], np.int64))
    traverse = graph.node("MatMul", graph.crop("costs", {0: (shape.classes, shape.classes + 1)}), masses)
    cost = graph.node("Min", graph.node("Div", traverse, total), np.float32(254))
    add_output(graph.node("Round", cost), "expected_cost")

    highest = graph.node("Div", graph.reduce_max(masses, axis=1), total)
    add_output(graph.node("Round", graph.node("Mul", highest, np.float32(255))), "confidence")


def add_sample_probabilities(graph: NodeWriter, logits: str, shape: LogitPlanes, sample_points: int) -> None:
    """Add the output `sample_probabilities`: bilinear samples of the logits at the input `sample_points`, then softmax.

    This equals the softmax of the upsampled logits at these points. GridSample would do it too, but ONNX Runtime
    computes that class by class; gathering all classes of a pixel at once takes half as long.

    Args:
        graph: takes the nodes.
        logits: from `calibrated_logits`.
        shape: of the logits.
        sample_points: sample points per image, G.
    """
    by_pixel = graph.reshape(graph.node("Transpose", logits, perm=[0, 2, 3, 1]), -1, shape.classes)
    column, right = _neighbour(graph, _coordinate(graph, 0, shape, sample_points), shape.columns)
    row, down = _neighbour(graph, _coordinate(graph, 1, shape, sample_points), shape.rows)
    image = np.arange(shape.images, dtype=np.float32).reshape(-1, 1) * np.float32(shape.rows * shape.columns)
    pixel = graph.node("Add", graph.node("Mul", row, np.float32(shape.columns)), column)
    top_left = graph.reshape(graph.node("Cast", graph.node("Add", pixel, image), to=TensorProto.INT32), -1)

    def between(first: str, second: str, weight: str) -> str:
        return graph.node("Add", first, graph.node("Mul", graph.node("Sub", second, first), weight))

    def at(offset: int) -> str:
        return graph.node("Gather", by_pixel, graph.node("Add", top_left, np.int32(offset)), axis=0)

    # In a single row or column the next pixel is the same one.
    next_column, next_row = min(1, shape.columns - 1), shape.columns * min(1, shape.rows - 1)
    right, down = graph.reshape(right, -1, 1), graph.reshape(down, -1, 1)
    upper = between(at(0), at(next_column), right)
    lower = between(at(next_row), at(next_row + next_column), right)
    sampled = graph.reshape(between(upper, lower, down), shape.images, sample_points, shape.classes)
    graph.node("Softmax", sampled, axis=-1, result="sample_probabilities")


def _upsample_in_phases(graph: NodeWriter, logits: str, shape: LogitPlanes, factor: int) -> str:
    """Bilinear upsampling (half-pixel centres, constant beyond the edge) as float32 [s², N * K * (h + 1) * (w + 1)].

    Entry (r, c) of phase (i, j) is pixel (s*r + i, s*c + j) - `_before_image` of the upsampled plane.
    """
    rows, columns = shape.rows + 1, shape.columns + 1
    padded = graph.node("Pad", logits, np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64), mode="edge")
    corners = [
        graph.crop(padded, {2: (top, top + rows), 3: (left, left + columns)}) for top in (0, 1) for left in (0, 1)
    ]
    stacked = graph.node("Concat", *corners, axis=0)
    return graph.node("MatMul", phase_weights(factor), graph.reshape(stacked, 4, -1))


def phase_weights(factor: int) -> NDArray[np.float32]:
    """Weights [s², 4] of the neighbours (top left, top right, bottom left, bottom right) for each phase, row by row."""
    # With an even factor no output pixel lies on a neighbour's centre; with an odd one each s-th does.
    along = (np.arange(factor) + (0.5 if factor % 2 == 0 else 0.0)) / factor
    pair = np.stack([1 - along, along], axis=1)
    weights: NDArray[np.float64] = np.einsum("ia,jb->ijab", pair, pair)
    return weights.reshape(factor * factor, 4).astype(np.float32)


def _before_image(factor: int) -> int:
    """Rows (and columns) of the interleaved phases before the image: the first neighbours lie half outside of it."""
    return (factor + 1) // 2


def _coordinate(graph: NodeWriter, axis: int, shape: LogitPlanes, sample_points: int) -> str:
    """The x (0) or y (1) of all sample points, [N, G]."""
    return graph.reshape(graph.crop("sample_points", {2: (axis, axis + 1)}), shape.images, sample_points)


def _neighbour(graph: NodeWriter, coordinate: str, length: int) -> tuple[str, str]:
    """Map -1..1 over `length` pixels to the pixel centre at or before it, and the fraction to the next one, 0..1.

    Beyond the outer pixel centres the edge value is repeated, as in the upsampling.
    """
    pixel = graph.node("Add", graph.node("Mul", coordinate, np.float32(length / 2)), np.float32((length - 1) / 2))
    pixel = graph.node("Min", graph.node("Max", pixel, np.float32(0)), np.float32(length - 1))
    first = graph.node("Min", graph.node("Floor", pixel), np.float32(max(length - 2, 0)))
    return first, graph.node("Sub", pixel, first)
