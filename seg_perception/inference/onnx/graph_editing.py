"""Graph editing: truncate a network, and put nodes before its input and after its output."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import onnx
from onnx import AttributeProto, NodeProto, TensorProto, shape_inference

from seg_perception.inference.onnx.node_writer import NodeWriter, tensor

_LAYOUT_OPERATORS = frozenset(
    {
        "Cast", "DequantizeLinear", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Resize", "Squeeze",
        "Transpose", "Unsqueeze",
    }
)  # fmt: skip
"""Operators that change only type, size or layout of scores, not their meaning."""


def truncate_at(network: onnx.ModelProto, value: str) -> None:
    """Make one value the only output of a network, and remove what it does not depend on.

    Args:
        network: changed in place.
        value: name of an output, or of any value within the graph.

    Raises:
        KeyError: no node outputs a value of this name.
    """
    graph = network.graph
    makers = _producers(network)
    needed, open_names = set(), [makers[value].output[0]]
    while open_names:
        node = makers.get(open_names.pop())
        if node is not None and id(node) not in needed:
            needed.add(id(node))
            open_names += _names_read(node)
    output = _value_info(network, value)
    kept = [node for node in graph.node if id(node) in needed]
    read = {value, *(name for node in kept for name in _names_read(node))}
    for fields, values in (
        (graph.node, kept),
        (graph.initializer, [item for item in graph.initializer if item.name in read]),
        (graph.input, [item for item in graph.input if item.name in read]),
        (graph.output, [output]),
    ):
        del fields[:]
        fields.extend(values)


def input_of_last(network: onnx.ModelProto, operators: Collection[str]) -> str | None:
    """The input of the last operator of a network, if its type is one of `operators`; else None.

    Operators after it that change only type, size or layout (Cast, Resize, Transpose, …) are skipped.

    Args:
        network: with one output.
        operators: ONNX operator types.
    """
    makers = _producers(network)
    node = makers.get(network.graph.output[0].name)
    while node is not None and node.op_type in _LAYOUT_OPERATORS:
        node = makers.get(node.input[0])
    return node.input[0] if node is not None and node.op_type in operators else None


def prepend_nodes(network: onnx.ModelProto, writer: NodeWriter, image: str, size: tuple[int, int, int, int]) -> None:
    """Put nodes before a network; their last result is the present input of the network.

    Args:
        network: changed in place; its input becomes an inner value.
        writer: holds the nodes.
        image: name of the new input, float32, which the nodes read.
        size: shape of the new input.
    """
    nodes = [*writer.nodes, *network.graph.node]
    del network.graph.node[:]
    network.graph.node.extend(nodes)
    network.graph.initializer.extend(writer.constants)
    network.graph.input[0].CopyFrom(tensor(image, TensorProto.FLOAT, size))


def append_nodes(network: onnx.ModelProto, writer: NodeWriter, scores: str) -> None:
    """Put nodes after a network; they read its output.

    Args:
        network: changed in place.
        writer: holds the nodes.
        scores: name of the new output, float32: the last result of the nodes.
    """
    network.graph.node.extend(writer.nodes)
    network.graph.initializer.extend(writer.constants)
    network.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info(scores, TensorProto.FLOAT, None))


def resize(writer: NodeWriter, planes: str, size: tuple[int, int, int, int], align_corners: bool) -> str:
    """Bilinear resize of planes [N, K, h, w] to `size`.

    Args:
        writer: takes the node.
        planes: name of the value.
        size: the new shape.
        corners_meet: whether the centres of the corner pixels stay in place; else the edges of the image do.
    """
    return writer.node(
        "Resize", planes, "", "", np.array(size, np.int64), mode="linear",
        coordinate_transformation_mode="align_corners" if align_corners else "half_pixel",
    )  # fmt: skip


def _producers(network: onnx.ModelProto) -> dict[str, NodeProto]:
    return {name: node for node in network.graph.node for name in node.output if name}


def _names_read(node: NodeProto) -> Iterator[str]:
    """Names of the values that a node reads, including those read by its subgraphs."""
    yield from node.input
    for attribute in node.attribute:
        graphs = [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs
        for inner in (inner for graph in graphs for inner in graph.node):
            yield from _names_read(inner)


def _value_info(network: onnx.ModelProto, value: str) -> onnx.ValueInfoProto:
    """Name, type and shape of a value, as far as they are known."""
    values: list[onnx.ValueInfoProto] = list(network.graph.output)
    if value not in (output.name for output in values):
        values = list(shape_inference.infer_shapes(network).graph.value_info)
    unknown = onnx.helper.make_tensor_value_info(value, TensorProto.FLOAT, None)
    return next((known for known in values if known.name == value), unknown)
