"""The convolutions of a fused graph's network in 8-bit integers, as explicit QuantizeLinear and DequantizeLinear.

A backend that finds a convolution between them computes it in integers. What they find differs:

* TensorRT takes symmetric int8 only (zero point 0). It wants them at the inputs of a convolution; its output stays
  open, so that bias, ReLU and the addition of a residual branch run in the same kernel, in floats.
* ONNX Runtime's CPU kernels are fast for uint8 activations, and only where every value in between is quantised: the
  result of a convolution too, after its ReLU, and what is added, resized or joined.

Weights are int8 in both, symmetric, with a scale per output channel. Other operators with weights stay in fp32: after
training, transformers lose too much in int8. So does what the network gives out: decisions hang on its differences.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from seg_perception.errors import ModelError
from seg_perception.inference.onnx.model_import import PREFIX, opset
from seg_perception.inference.onnx.node_writer import OnnxWriter
from seg_perception.inference.precision.network_part import (
    convertible,
    is_of_network,
    is_quantised,
    replace_nodes,
    values_of_type,
)
from seg_perception.inference.precision.ranges import Histogram, best_range, histograms

Target = Literal["tensorrt", "cpu"]

_LARGEST = 127
_PASSED_ON = frozenset({"Add", "Concat", "Resize"})
"""Operators that ONNX Runtime computes on quantised values."""


@dataclass(frozen=True, eq=False)
class Steps:
    """How numbers become integers: round(x / scale) + zero.

    Attributes:
        scale: float32, one, or one per channel.
        zero: int8 or uint8 in the shape of `scale`; its type is that of the integers.
    """

    scale: NDArray[np.float32]
    zero: NDArray[np.integer]


def to_int8(fused: onnx.ModelProto, batches: Sequence[NDArray[np.uint8]], target: Target) -> onnx.ModelProto:
    """Compute the convolutions of a fused graph's network in integers.

    Args:
        fused: from `graph.fused_graph`.
        batches: calibration images, uint8 [N, H, W, 3] each, at least one.
        target: whose rules to keep.

    Raises:
        ModelError: the network holds what cannot be converted or nothing to convert, or fails on an image.
    """
    model = convertible(fused)
    nodes = [node for node in model.graph.node if is_of_network(node)]
    if is_quantised(model):
        raise ModelError("the network is quantised already; compile it in fp32, which keeps it as it is.")
    weights = _convolution_weights(model, nodes)
    if not weights:
        raise ModelError(
            "the network has no convolution with constant float32 weights, which is all int8 is for; use fp16."
        )
    constants = {item.name for item in model.graph.initializer}
    names = sorted((values_of_type(model, TensorProto.FLOAT) - constants) & _wanted(nodes, weights, target))
    counted = histograms(model, names, batches)
    steps = {name: activation_steps(histogram, target) for name, histogram in zip(names, counted, strict=True)}
    _write(model, steps, weights)
    return model


def weight_steps(weights: NDArray[np.float32]) -> Steps:
    """Symmetric int8 steps per output channel of weights [M, C / groups, ...]; the largest of each becomes ±127."""
    largest = np.abs(weights).reshape(len(weights), -1).max(axis=1)
    # A channel of zeros is zero in steps of any size.
    scale = np.where(largest > 0, largest / _LARGEST, 1).astype(np.float32)
    return Steps(scale, np.zeros(len(weights), np.int8))


def activation_steps(histogram: Histogram, target: Target) -> Steps:
    """Steps for a whole activation, in the integers that the target wants."""
    symmetric = target == "tensorrt"
    count = 2 * _LARGEST if symmetric else 255
    low, high = best_range(histogram, count, symmetric)
    scale = (high - low) / count or 1.0
    zero = np.int8(0) if symmetric else np.uint8(round(-low / scale))
    return Steps(np.asarray(scale, np.float32), np.asarray(zero))


def _convolution_weights(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> dict[str, NDArray[np.float32]]:
    """Names of weights -> weights, of all convolutions whose weights are float32 constants."""
    constants = {item.name: item for item in model.graph.initializer if item.data_type == TensorProto.FLOAT}
    names = {node.input[1] for node in nodes if node.op_type == "Conv"}
    return {name: numpy_helper.to_array(constants[name]) for name in names & constants.keys()}


def _wanted(nodes: Sequence[onnx.NodeProto], weights: Collection[str], target: Target) -> set[str]:
    """Names of the values that are to be quantised; constants and values of other types may be among them."""
    convolutions = [node for node in nodes if node.op_type == "Conv" and node.input[1] in weights]
    wanted = {node.input[0] for node in convolutions}
    if target == "tensorrt":
        return wanted
    # A backend rounds once, behind the activation.
    activated = {node.input[0] for node in nodes if node.op_type in ("Relu", "Clip")}
    passed_on = [node for node in nodes if node.op_type in _PASSED_ON]
    wanted.update(name for node in passed_on for name in node.input)
    wanted.update(node.output[0] for node in [*convolutions, *passed_on] if node.output[0] not in activated)
    # Behind the last convolution everything stays as it is.
    lead_to_one = {node.input[0] for node in convolutions}
    for node in reversed(nodes):
        if not lead_to_one.isdisjoint(node.output):
            lead_to_one.update(node.input)
    return wanted & lead_to_one


def _write(model: onnx.ModelProto, steps: Mapping[str, Steps], weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Let the network read the dequantised values of what has steps or is a convolution's weight."""
    written = OnnxWriter(f"{PREFIX}int8/", opset(model))
    dequantised: dict[str, str] = {}

    def read(name: str) -> str:
        if name in dequantised:
            return dequantised[name]
        if name in weights:
            own = weight_steps(weights[name])
            scale = own.scale.reshape(-1, *[1] * (weights[name].ndim - 1))
            integers = np.clip(np.round(weights[name] / scale), -_LARGEST, _LARGEST).astype(np.int8)
            dequantised[name] = written.node("DequantizeLinear", integers, own.scale, own.zero, axis=0)
        elif name in steps:
            own = steps[name]
            quantised = written.node("QuantizeLinear", name, own.scale, own.zero)
            dequantised[name] = written.node("DequantizeLinear", quantised, own.scale, own.zero)
        else:
            return name
        return dequantised[name]

    for node in model.graph.node:
        changed = onnx.NodeProto()
        changed.CopyFrom(node)
        if is_of_network(node):
            changed.input[:] = [read(name) for name in node.input]
        written.nodes.append(changed)
    model.graph.initializer.extend(written.constants)
    replace_nodes(model, written.nodes)
