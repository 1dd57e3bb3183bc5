"""The fused graph: normalisation, network, calibration, Bayes decision and sample points in a single ONNX model.

Inputs:
    image          uint8   [N, H, W, 3]   at the network's size, channels in `GraphSpec.image_order`
    costs          float32 [K + 1, K]     K decision rows of the cost matrix, then the traverse row
    sample_points  float32 [N, G, 2]      (x, y) in -1..1 over the image; pixel centre u lies at x = (2u + 1) / W - 1

Outputs:
    labels                uint8   [N, h, w]   the Bayes decision: argmin over the decision rows of C p
    confidence            uint8   [N, h, w]   255 times the probability of the most probable class, rounded
    expected_cost         uint8   [N, h, w]   t p, rounded, nav2 units; at most 254
    sample_probabilities  float32 [N, G, K]   class probabilities at the sample points
    score_norm            float32 [N]         sum of |score| over the network's output: finite only if every score is
    logits                float32 [N, K, h/s, w/s]  calibrated, at the network's own resolution; if `GraphSpec.logits`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto

from seg_perception.inference.onnx.model_import import opset
from seg_perception.inference.onnx.node_writer import NodeWriter, tensor
from seg_perception.inference.onnx.risk_nodes import (
    LogitPlanes,
    add_decision,
    add_sample_probabilities,
    calibrated_logits,
)
from seg_perception.model.card import ModelCard, Precision

_IR_VERSION = 8


@dataclass(frozen=True)
class GraphSpec:
    """Shapes and options of a fused graph; all shapes are fixed.

    Attributes:
        sample_points: sample points per image, G.
        batch: images per run, N.
        resolution: "full" decides at the network's input size, "native" at the size of its logits.
        image_order: channel order of the input images.
        logits: whether to output the calibrated logits, for reports and evaluation.
    """

    sample_points: int
    batch: int = 1
    resolution: Literal["full", "native"] = "full"
    image_order: Literal["rgb", "bgr"] = "rgb"
    logits: bool = False


def network_graph(network: onnx.ModelProto, card: ModelCard, spec: GraphSpec) -> onnx.ModelProto:
    """Normalisation and network only: uint8 `image` in, the network's own `scores` out.

    Args:
        network: from `read_network`.
        card: its model card.
        spec: only `batch` and `image_order` are used.
    """
    before, after = NodeWriter("image/", opset(network)), NodeWriter("risk/", opset(network))
    _normalise(before, network, card, spec)
    after.node("Identity", network.graph.output[0].name, result="scores")
    scores = onnx.ValueInfoProto()
    scores.CopyFrom(network.graph.output[0])
    scores.name = "scores"
    return _assemble(network, before, after, [_image(card, spec)], [scores])


def fused_graph(
    network: onnx.ModelProto, card: ModelCard, spec: GraphSpec, stride: int, precision: Precision = "fp32"
) -> onnx.ModelProto:
    """Build the fused graph; see the module for its inputs and outputs.

    Args:
        network: from `read_network`.
        card: its model card.
        spec: shapes and options.
        stride: input pixels per output pixel of the network, s.
        precision: selects the calibration. The network itself is converted later, by `convert_precision`.
    """
    before, after = NodeWriter("image/", opset(network)), NodeWriter("risk/", opset(network))
    _normalise(before, network, card, spec)
    classes = len(card.classes)
    shape = LogitPlanes(spec.batch, classes, card.height // stride, card.width // stride)
    factor = stride if spec.resolution == "full" else 1
    logits = calibrated_logits(after, network.graph.output[0].name, card.output, card.calibration_for(precision))
    add_decision(after, logits, shape, factor)
    add_sample_probabilities(after, logits, shape, spec.sample_points)

    plane = (spec.batch, factor * shape.rows, factor * shape.columns)
    inputs = [
        _image(card, spec),
        tensor("costs", TensorProto.FLOAT, (classes + 1, classes)),
        tensor("sample_points", TensorProto.FLOAT, (spec.batch, spec.sample_points, 2)),
    ]
    outputs = [
        tensor("labels", TensorProto.UINT8, plane),
        tensor("confidence", TensorProto.UINT8, plane),
        tensor("expected_cost", TensorProto.UINT8, plane),
        tensor("sample_probabilities", TensorProto.FLOAT, (spec.batch, spec.sample_points, classes)),
        tensor("score_norm", TensorProto.FLOAT, (spec.batch,)),
    ]
    if spec.logits:
        after.node("Identity", logits, result="logits")
        outputs.append(tensor("logits", TensorProto.FLOAT, (spec.batch, classes, shape.rows, shape.columns)))
    return _assemble(network, before, after, inputs, outputs)


def _image(card: ModelCard, spec: GraphSpec) -> onnx.ValueInfoProto:
    return tensor("image", TensorProto.UINT8, (spec.batch, card.height, card.width, 3))


def _normalise(graph: NodeWriter, network: onnx.ModelProto, card: ModelCard, spec: GraphSpec) -> None:
    """Add the nodes from uint8 [N, H, W, 3] to the network's float32 [N, 3, H, W]."""
    # Cast first: TensorRT does not transpose uint8.
    planes = graph.node("Transpose", graph.node("Cast", "image", to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    if spec.image_order != card.channel_order:
        planes = graph.node("Gather", planes, np.array([2, 1, 0], np.int64), axis=1)
    mean, std = (np.array(values).reshape(1, 3, 1, 1) for values in (card.mean, card.std))
    scaled = graph.node("Mul", planes, (1 / (255 * std)).astype(np.float32))
    graph.node("Add", scaled, (-mean / std).astype(np.float32), result=network.graph.input[0].name)


def _assemble(
    network: onnx.ModelProto,
    before: NodeWriter,
    after: NodeWriter,
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
) -> onnx.ModelProto:
    """Join the nodes before, of and after the network; its inputs and outputs become inner values."""
    model = onnx.ModelProto()
    model.CopyFrom(network)
    graph = model.graph
    for fields, values in (
        (graph.node, [*before.nodes, *network.graph.node, *after.nodes]),
        (graph.initializer, [*before.constants, *network.graph.initializer, *after.constants]),
        (graph.input, inputs),
        (graph.output, outputs),
    ):
        del fields[:]
        fields.extend(values)
    model.ir_version = max(model.ir_version, _IR_VERSION)
    return model
