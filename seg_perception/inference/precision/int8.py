"""Conversion to int8: convolutions between explicit QuantizeLinear and DequantizeLinear nodes (Q/DQ).

A backend computes a convolution between Q/DQ nodes in integers. The rules of the two targets differ:

* TensorRT takes symmetric int8 only (zero point 0), at the inputs of a convolution. The output is not quantised, so
  that bias, ReLU and the addition of a residual branch run in the same kernel, in floats.
* ONNX Runtime's CPU kernels are fast for uint8 activations, and only if every value in between is quantised: also the
  result of a convolution (after its ReLU), and inputs and outputs of additions, resizes and concatenations.

For both, weights are symmetric int8 with a scale per output channel. An x86 CPU without 8-bit dot products (VNNI) adds
pairs of products in 16 bits, where 2 * 255 * 127 overflows: for it, weights keep to 7 bits. Other operators with
weights stay in fp32: transformers lose too much accuracy in post-training int8. The network's output stays in fp32 too,
as decisions depend on differences of scores.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from seg_perception.errors import ModelError
from seg_perception.inference.onnx.model_import import PREFIX, opset
from seg_perception.inference.onnx.node_writer import NodeWriter
from seg_perception.inference.precision.network_part import (
    convertible_copy,
    is_network_node,
    is_quantised,
    replace_nodes,
    values_of_type,
)
from seg_perception.inference.precision.ranges import Histogram, best_range, collect_histograms

Target = Literal["tensorrt", "cpu"]

_LARGEST = 127
_LARGEST_WITHOUT_DOT_PRODUCT = 64
"""Two products of a uint8 and a weight up to this fit into int16 (ONNX Runtime: reduce_range)."""
_CPU_INFO = Path("/proc/cpuinfo")
_QUANTISED_OPERATORS = frozenset({"Add", "Concat", "Resize"})
"""Operators that ONNX Runtime computes on quantised values."""


@dataclass(frozen=True, eq=False)
class QuantizationParams:
    """Quantisation parameters: integer = round(x / scale) + zero.

    Attributes:
        scale: float32, one, or one per channel.
        zero: zero point, int8 or uint8 in the shape of `scale`; its type is that of the integers.
    """

    scale: NDArray[np.float32]
    zero: NDArray[np.integer]


def to_int8(fused: onnx.ModelProto, batches: Sequence[NDArray[np.uint8]], target: Target) -> onnx.ModelProto:
    """Compute the convolutions of a fused graph's network in integers.

    Args:
        fused: from `graph.fused_graph`.
        batches: calibration images, uint8 [N, H, W, 3] each, at least one.
        target: the backend whose rules apply.

    Raises:
        ModelError: the network cannot be converted, has no convolution to convert, or fails on an image.
    """
    model = convertible_copy(fused)
    nodes = [node for node in model.graph.node if is_network_node(node)]
    if is_quantised(model):
        raise ModelError("the network is quantised already; compile it in fp32, which keeps it as it is.")
    weights = _convolution_weights(model, nodes)
    if not weights:
        raise ModelError(
            "the network has no convolution with constant float32 weights, which is all int8 is for; use fp16."
        )
    constants = {item.name for item in model.graph.initializer}
    names = sorted((values_of_type(model, TensorProto.FLOAT) - constants) & _values_to_quantise(nodes, weights, target))
    found = collect_histograms(model, names, batches)
    parameters = {
        name: activation_quantization(histogram, target) for name, histogram in zip(names, found, strict=True)
    }
    saturates = target == "cpu" and sums_saturate(_CPU_INFO.read_text() if _CPU_INFO.is_file() else "")
    _write(model, parameters, weights, _LARGEST_WITHOUT_DOT_PRODUCT if saturates else _LARGEST)
    return model


def sums_saturate(cpu_info: str) -> bool:
    """Whether a machine with this /proc/cpuinfo is an x86 CPU without 8-bit dot products."""
    flags = set(cpu_info.split())
    return "sse2" in flags and not flags & {"avx512_vnni", "avx_vnni", "avx_vnni_int8"}


def weight_quantization(weights: NDArray[np.float32], largest_integer: int = _LARGEST) -> QuantizationParams:
    """Symmetric int8 per output channel of weights [M, C / groups, ...]; a channel's largest is ±largest_integer."""
    largest = np.abs(weights).reshape(len(weights), -1).max(axis=1)
    # A channel of zeros may have any scale.
    scale = np.where(largest > 0, largest / largest_integer, 1).astype(np.float32)
    return QuantizationParams(scale, np.zeros(len(weights), np.int8))


def activation_quantization(histogram: Histogram, target: Target) -> QuantizationParams:
    """Quantisation of a whole activation, in the integer type of the target."""
    symmetric = target == "tensorrt"
    count = 2 * _LARGEST if symmetric else 255
    low, high = best_range(histogram, count, symmetric)
    scale = (high - low) / count or 1.0
    zero = np.int8(0) if symmetric else np.uint8(round(-low / scale))
    return QuantizationParams(np.asarray(scale, np.float32), np.asarray(zero))


def _convolution_weights(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> dict[str, NDArray[np.float32]]:
    """Name -> array, of the weights of all convolutions whose weights are float32 constants."""
    constants = {item.name: item for item in model.graph.initializer if item.data_type == TensorProto.FLOAT}
    names = {node.input[1] for node in nodes if node.op_type == "Conv"}
    return {name: numpy_helper.to_array(constants[name]) for name in names & constants.keys()}


def _values_to_quantise(nodes: Sequence[onnx.NodeProto], weights: Collection[str], target: Target) -> set[str]:
    """Names of the values to quantise; constants and values of other types may be among them."""
    convolutions = [node for node in nodes if node.op_type == "Conv" and node.input[1] in weights]
    wanted = {node.input[0] for node in convolutions}
    if target == "tensorrt":
        return wanted
    # A backend rounds once, after the activation.
    activated = {node.input[0] for node in nodes if node.op_type in ("Relu", "Clip")}
    quantised_nodes = [node for node in nodes if node.op_type in _QUANTISED_OPERATORS]
    wanted.update(name for node in quantised_nodes for name in node.input)
    wanted.update(node.output[0] for node in [*convolutions, *quantised_nodes] if node.output[0] not in activated)
    # Values after the last convolution are not quantised.
    lead_to_one = {node.input[0] for node in convolutions}
    for node in reversed(nodes):
        if not lead_to_one.isdisjoint(node.output):
            lead_to_one.update(node.input)
    return wanted & lead_to_one


def _write(
    model: onnx.ModelProto,
    parameters: Mapping[str, QuantizationParams],
    weights: Mapping[str, NDArray[np.float32]],
    largest_weight: int,
) -> None:
    """Make the network read quantised and dequantised values: those in `parameters`, and the weights."""
    written = NodeWriter(f"{PREFIX}int8/", opset(model))
    dequantised: dict[str, str] = {}

    def read(name: str) -> str:
        if name in dequantised:
            return dequantised[name]
        if name in weights:
            own = weight_quantization(weights[name], largest_weight)
            scale = own.scale.reshape(-1, *[1] * (weights[name].ndim - 1))
            integers = np.clip(np.round(weights[name] / scale), -largest_weight, largest_weight).astype(np.int8)
            dequantised[name] = written.node("DequantizeLinear", integers, own.scale, own.zero, axis=0)
        elif name in parameters:
            own = parameters[name]
            quantised = written.node("QuantizeLinear", name, own.scale, own.zero)
            dequantised[name] = written.node("DequantizeLinear", quantised, own.scale, own.zero)
        else:
            return name
        return dequantised[name]

    for node in model.graph.node:
        changed = onnx.NodeProto()
        changed.CopyFrom(node)
        if is_network_node(node):
            changed.input[:] = [read(name) for name in node.input]
        written.nodes.append(changed)
    model.graph.initializer.extend(written.constants)
    replace_nodes(model, written.nodes)
