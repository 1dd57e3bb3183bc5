"""Fused graphs of tiny networks for precision conversion, and what they compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from support import tiny_networks as tiny

from seg_perception.inference.onnx.graph import GraphSpec, fused_graph
from seg_perception.inference.onnx.model_import import read_network
from seg_perception.model.card import ModelCard, Precision

Floats = NDArray[np.float64]
CARD = tiny.card(mean=(0.4, 0.4, 0.4), std=(0.5, 0.5, 0.5))  # black is -0.8, white 1.2
SPEC = GraphSpec(sample_points=4, logits=True)
IMAGE = np.random.default_rng(0).integers(0, 256, (1, 48, 64, 3), dtype=np.uint8)
COSTS = np.vstack([1 - np.eye(5), np.linspace(0, 254, 5)]).astype(np.float32)


def fused(
    folder: Path, network: onnx.ModelProto, card: ModelCard = CARD, precision: Precision = "fp32"
) -> onnx.ModelProto:
    path = folder / "network.onnx"
    onnx.save(network, path)
    return fused_graph(read_network(path, card, batch=1), card, SPEC, 4, precision)


def residual_network() -> onnx.ModelProto:
    """Convolution, ReLU, a residual branch of two convolutions, and a classifier."""
    tail = [
        helper.make_node("Relu", ["scores"], ["x"]),
        helper.make_node("Conv", ["x", "depthwise"], ["a"], group=5, pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "pointwise"], ["c"]),
        helper.make_node("Add", ["x", "c"], ["sum"]),
        helper.make_node("Conv", ["sum", "classifier"], ["d"]),
        helper.make_node("Identity", ["d"], ["logits"]),
    ]
    model = tiny.network(tail=tail)
    rng = np.random.default_rng(1)
    for name, shape in (("depthwise", (5, 1, 3, 3)), ("pointwise", (5, 5, 1, 1)), ("classifier", (5, 5, 1, 1))):
        model.graph.initializer.append(numpy_helper.from_array(rng.normal(0, 0.5, shape).astype(np.float32), name))
    return model


def outputs(model: onnx.ModelProto, image: NDArray[np.uint8] = IMAGE) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    sample_points = np.array([[[-0.5, -0.5], [0, 0], [0.3, 0.7], [0.9, -0.9]]], np.float32)
    return dict(
        zip(names, session.run(names, {"image": image, "costs": COSTS, "sample_points": sample_points}), strict=True)
    )


def below_highest(scores: Floats) -> Floats:
    """The graph's output `logits` at temperature 1: [K, h, w] relative to the highest of each pixel."""
    return scores - scores.max(axis=0)


def patches(image: NDArray[np.uint8]) -> Floats:
    """Normalised pixels [48, h, w] that the one convolution of `tiny.network` sees for each of its outputs."""
    values = (image[0] / 255 - 0.4) / 0.5
    return values.reshape(12, 4, 16, 4, 3).transpose(4, 1, 3, 0, 2).reshape(48, 12, 16)


def weights(network: onnx.ModelProto) -> tuple[Floats, Floats]:
    kernel, bias = (numpy_helper.to_array(item).astype(np.float64) for item in network.graph.initializer[:2])
    return kernel.reshape(len(kernel), -1), bias


def producers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in model.graph.node for name in node.output}


def constant(model: onnx.ModelProto, name: str) -> np.ndarray:
    return next(numpy_helper.to_array(item) for item in model.graph.initializer if item.name == name)
