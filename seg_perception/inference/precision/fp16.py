"""Conversion to float16: every change of type becomes an explicit Cast."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from seg_perception.inference.precision.network_part import (
    convertible_copy,
    is_network_node,
    replace_nodes,
    values_of_type,
)

_IN_FP32 = frozenset(
    {
        # Sums over many numbers, and exponentials: the largest float16 is 65504.
        "Exp", "GlobalAveragePool", "InstanceNormalization", "LayerNormalization", "Log", "LogSoftmax", "Pow",
        "ReduceL2", "ReduceMean", "ReduceSum", "Softmax",
        # Their types are fixed, or attributes.
        "Cast", "ConstantOfShape", "DequantizeLinear", "QuantizeLinear", "Range",
    }
)  # fmt: skip

_FP32_INPUTS = {"Resize": (1, 2)}
"""Operators with inputs that must be float32 in ONNX, and the indices of these inputs (region and scales)."""

_LARGEST = np.finfo(np.float16).max


def to_fp16(fused: onnx.ModelProto) -> onnx.ModelProto:
    """Compute the network of a fused graph in float16.

    Weights beyond ±65504, such as the -1e9 of a mask, become ±65504: infinity would turn a product with zero
    into NaN. Activations beyond that become infinite, which engines report as an error.

    Args:
        fused: from `graph.fused_graph`.

    Raises:
        ModelError: the network has branches, loops or operators that are not ONNX's own.
    """
    model = convertible_copy(fused)
    typed = _TypedGraph(model)
    for node in model.graph.node:
        typed.add(node, half=is_network_node(node) and node.op_type not in _IN_FP32)
    model.graph.initializer.extend(typed.constants)
    replace_nodes(model, typed.nodes)
    return model


def emulate_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Emulate float16 on any machine: compute in float32, and round every value that is float16 in `model`.

    ONNX Runtime has no float16 kernels for most CPUs. It computes such nodes in float32 without rounding between them,
    so neither rounding errors nor overflows would show. A GPU sums in float32 and rounds the results; so does the
    returned graph. A graph without float16 is returned unchanged.
    """
    halves = values_of_type(model, TensorProto.FLOAT16)
    rounded = onnx.ModelProto()
    rounded.CopyFrom(model)
    nodes = []
    for node in rounded.graph.node:
        nodes.append(node)
        for index, name in enumerate(node.output):
            if name in halves:
                exact, half = f"{name}/exact", f"{name}/rounded"
                node.output[index] = exact
                nodes.append(helper.make_node("Cast", [exact], [half], to=TensorProto.FLOAT16))
                nodes.append(helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))
    for constant in rounded.graph.initializer:
        if constant.name in halves:
            values = numpy_helper.to_array(constant).astype(np.float32)
            constant.CopyFrom(numpy_helper.from_array(values, constant.name))
    replace_nodes(rounded, nodes)
    return rounded


class _TypedGraph:
    """Builds nodes that each compute in float16 or float32, and read every value in that type.

    A value keeps its name in the type in which it is computed. The first reader of the other type adds a converted
    copy; later readers share it.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._floats = values_of_type(model, TensorProto.FLOAT)
        self._given = {constant.name: constant for constant in model.graph.initializer}
        self._halves: set[str] = set()
        self._converted: dict[str, str] = {}

    def add(self, node: onnx.NodeProto, half: bool) -> None:
        typed = onnx.NodeProto()
        typed.CopyFrom(node)
        exempt = _FP32_INPUTS.get(node.op_type, ())
        for index, name in enumerate(node.input):
            typed.input[index] = self._read(name, half and index not in exempt)
        self.nodes.append(typed)
        if half:
            self._halves.update(self._floats.intersection(node.output))

    def _read(self, name: str, half: bool) -> str:
        """The name of a value in the wanted type; values other than floats are left as they are."""
        if name not in self._floats or (name in self._halves) == half:
            return name
        if name not in self._converted:
            self._converted[name] = f"{name}/{'fp16' if half else 'fp32'}"
            self._convert(name, self._converted[name], half)
        return self._converted[name]

    def _convert(self, name: str, converted: str, half: bool) -> None:
        if name in self._given:
            values = np.clip(numpy_helper.to_array(self._given[name]), -_LARGEST, _LARGEST).astype(np.float16)
            self.constants.append(numpy_helper.from_array(values, converted))
        else:
            kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
            self.nodes.append(helper.make_node("Cast", [name], [converted], name=converted, to=kind))
