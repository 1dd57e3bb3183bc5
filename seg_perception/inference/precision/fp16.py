"""The network of a fused graph in float16, with every change of type written out as a Cast."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from seg_perception.inference.precision.network_part import convertible, is_of_network, replace_nodes, values_of_type

_IN_FP32 = frozenset(
    {
        # Sums over many numbers, and exponentials: float16 ends at 65504.
        "Exp", "GlobalAveragePool", "InstanceNormalization", "LayerNormalization", "Log", "LogSoftmax", "Pow",
        "ReduceL2", "ReduceMean", "ReduceSum", "Softmax",
        # Their types are fixed, or attributes.
        "Cast", "ConstantOfShape", "DequantizeLinear", "QuantizeLinear", "Range",
    }
)  # fmt: skip

_FP32_INPUTS = {"Resize": (1, 2)}
"""Operators with inputs that ONNX knows in float32 only, and which these are: region and scales."""

_LARGEST = np.finfo(np.float16).max


def to_fp16(fused: onnx.ModelProto) -> onnx.ModelProto:
    """Compute the network of a fused graph in float16.

    Weights beyond ±65504, such as the -1e9 of a mask, become ±65504: they stand for "very much", and infinity would
    turn a product with zero into NaN. Activations beyond that do become infinite, which engines report as an error.

    Args:
        fused: from `graph.fused_graph`.

    Raises:
        ModelError: the network has branches, loops or operators that are not ONNX's own.
    """
    model = convertible(fused)
    types = _TypedNodes(model)
    for node in model.graph.node:
        types.add(node, half=is_of_network(node) and node.op_type not in _IN_FP32)
    model.graph.initializer.extend(types.constants)
    replace_nodes(model, types.nodes)
    return model


def rounded_like_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """A graph that computes in float32 and rounds to float16 whatever is float16 in `model`.

    ONNX Runtime has no float16 kernels for most CPUs: it computes such nodes in float32 and leaves out the rounding
    between them, so that neither lost digits nor overflows would show. A GPU sums in float32 and rounds the results,
    which is what this graph does on any machine. A graph without float16 comes back as it is.
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


class _TypedNodes:
    """Nodes that compute in float16 or float32 each, and read every value in the type they compute in.

    A value keeps its name in the type in which it is computed; when someone needs the other type, a second value is
    made from it, once.
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
        """The name of a value in the wanted type; other types than floats are left as they are."""
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
