"""Changes to a network's graph: where it ends, and what goes before its input and after its output."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import onnx
from onnx import AttributeProto, NodeProto, TensorProto, shape_inference

from seg_perception.inference.onnx.node_writer import OnnxWriter, tensor

_PASSING_ON = frozenset(
    {
        "Cast", "DequantizeLinear", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Resize", "Squeeze",
        "Transpose", "Unsqueeze",
    }
)  # fmt: skip
"""Operators that change the form of scores, not what they say."""


def cut_to(network: onnx.ModelProto, value: str) -> None:
    """Let a network end in one of its values, and leave out what that does not need.

    Args:
        network: is changed.
        value: name of an output, or of any value within the graph.

    Raises:
        KeyError: no node gives such a value.
    """
    graph = network.graph
    makers = _makers(network)
    needed, open_names = set(), [makers[value].output[0]]
    while open_names:
        node = makers.get(open_names.pop())
        if node is not None and id(node) not in needed:
            needed.add(id(node))
            open_names += _reads(node)
    output = _described(network, value)
    kept = [node for node in graph.node if id(node) in needed]
    read = {value, *(name for node in kept for name in _reads(node))}
    for fields, values in (
        (graph.node, kept),
        (graph.initializer, [item for item in graph.initializer if item.name in read]),
        (graph.input, [item for item in graph.input if item.name in read]),
        (graph.output, [output]),
    ):
        del fields[:]
        fields.extend(values)


def value_before(network: onnx.ModelProto, operators: Collection[str]) -> str | None:
    """What goes into the last operator of a network, if that is one of `operators`.

    Operators behind it that change only the form (Cast, Resize, Transpose, …) are looked through.

    Args:
        network: with one output.
        operators: ONNX operator types.
    """
    makers = _makers(network)
    node = makers.get(network.graph.output[0].name)
    while node is not None and node.op_type in _PASSING_ON:
        node = makers.get(node.input[0])
    return node.input[0] if node is not None and node.op_type in operators else None


def put_before(network: onnx.ModelProto, writer: OnnxWriter, image: str, size: tuple[int, int, int, int]) -> None:
    """Put nodes before a network whose last result is the network's present input.

    Args:
        network: is changed; its one input becomes an inner value.
        writer: holds the nodes.
        image: what they read: the new input, float32.
        size: its shape.
    """
    nodes = [*writer.nodes, *network.graph.node]
    del network.graph.node[:]
    network.graph.node.extend(nodes)
    network.graph.initializer.extend(writer.constants)
    network.graph.input[0].CopyFrom(tensor(image, TensorProto.FLOAT, size))


def put_after(network: onnx.ModelProto, writer: OnnxWriter, scores: str) -> None:
    """Put nodes after a network, that read its output.

    Args:
        network: is changed.
        writer: holds the nodes.
        scores: their last result: the new output, float32.
    """
    network.graph.node.extend(writer.nodes)
    network.graph.initializer.extend(writer.constants)
    network.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info(scores, TensorProto.FLOAT, None))


def resize(writer: OnnxWriter, planes: str, size: tuple[int, int, int, int], corners_meet: bool) -> str:
    """Bilinear resize of planes [N, K, h, w] to `size`.

    Args:
        writer: takes the node.
        planes: name of the value.
        size: the new shape.
        corners_meet: the centres of the corner pixels stay where they are ("align_corners"); else the images' edges do.
    """
    return writer.node(
        "Resize", planes, "", "", np.array(size, np.int64), mode="linear",
        coordinate_transformation_mode="align_corners" if corners_meet else "half_pixel",
    )  # fmt: skip


def _makers(network: onnx.ModelProto) -> dict[str, NodeProto]:
    return {name: node for node in network.graph.node for name in node.output if name}


def _reads(node: NodeProto) -> Iterator[str]:
    """What a node reads, the graphs within it included."""
    yield from node.input
    for attribute in node.attribute:
        graphs = [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs
        for inner in (inner for graph in graphs for inner in graph.node):
            yield from _reads(inner)


def _described(network: onnx.ModelProto, value: str) -> onnx.ValueInfoProto:
    """A value with its type, as far as it is known."""
    values: list[onnx.ValueInfoProto] = list(network.graph.output)
    if value not in (output.name for output in values):
        values = list(shape_inference.infer_shapes(network).graph.value_info)
    unknown = onnx.helper.make_tensor_value_info(value, TensorProto.FLOAT, None)
    return next((known for known in values if known.name == value), unknown)
