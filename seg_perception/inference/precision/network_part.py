"""The network within a fused graph: which nodes belong to it, its value types, and extracting it again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper, shape_inference

from seg_perception.errors import ModelError
from seg_perception.inference.onnx.model_import import PREFIX
from seg_perception.inference.onnx.node_writer import tensor

_BEFORE_NETWORK = "image/"
_STANDARD_DOMAINS = ("", "ai.onnx")


def is_network_node(node: onnx.NodeProto) -> bool:
    """Whether a node of a fused graph comes from the network file, not from the nodes before and after it."""
    from_image = any(name.startswith(_BEFORE_NETWORK) for name in node.input)
    return not from_image and all(name.startswith(PREFIX) for name in node.output)


def is_quantised(model: onnx.ModelProto) -> bool:
    """Whether a network, alone or in a fused graph, is already quantised."""
    return any(node.op_type == "DequantizeLinear" for node in model.graph.node)


def convertible_copy(fused: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a graph for conversion: check that its value types can be inferred, turn Constant nodes into initializers.

    Raises:
        ModelError: the network has branches, loops or operators that are not ONNX's own.
    """
    model = onnx.ModelProto()
    model.CopyFrom(fused)
    nodes = []
    for node in fused.graph.node:
        if node.domain not in _STANDARD_DOMAINS or any(item.type == AttributeProto.GRAPH for item in node.attribute):
            raise ModelError(
                f"the network's operator {node.op_type} ('{node.name}') is a branch, a loop or none of ONNX's own, so "
                "its precision cannot be changed; export the network without it, or use fp32."
            )
        constant = _constant(node) if node.op_type == "Constant" else None
        if constant is None:
            nodes.append(node)
        else:
            model.graph.initializer.append(constant)
    replace_nodes(model, nodes)
    return model


def until_scores(fused: onnx.ModelProto) -> onnx.ModelProto:
    """The part of a fused graph up to the scores: input `image`, no outputs yet."""
    model = onnx.ModelProto()
    model.CopyFrom(fused)
    last = max(index for index, node in enumerate(fused.graph.node) if is_network_node(node))
    replace_nodes(model, fused.graph.node[: last + 1])
    del model.graph.output[:]
    del model.graph.input[:]
    model.graph.input.extend(value for value in fused.graph.input if value.name == "image")
    return model


def network_from_image(fused: onnx.ModelProto) -> onnx.ModelProto:
    """Normalisation and network of a fused graph, converted or not: uint8 `image` in, float32 `scores` out."""
    model = until_scores(fused)
    produced = [name for node in model.graph.node for name in node.output]
    consumed = {name for node in fused.graph.node[len(model.graph.node) :] for name in node.input}
    (scores,) = (name for name in produced if name in consumed)
    model.graph.node.append(helper.make_node("Identity", [scores], ["scores"]))
    model.graph.output.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, None))
    inferred = shape_inference.infer_shapes(model)
    model.graph.output[0].CopyFrom(inferred.graph.output[0])
    return model


def extract_network(fused: onnx.ModelProto) -> onnx.ModelProto:
    """Extract the network of a fused graph, converted or not: float32 [N, 3, H, W] in, scores out.

    It can be saved, produced a model card, and opened like any other network.
    """
    nodes = [node for node in fused.graph.node if is_network_node(node)]
    rest = [node for node in fused.graph.node if not is_network_node(node)]
    produced = {name for node in rest for name in node.output}
    consumed = {name for node in rest for name in node.input}
    (image,) = produced.intersection(name for node in nodes for name in node.input)
    (scores,) = consumed.intersection(name for node in nodes for name in node.output)
    count, height, width, channels = (axis.dim_value for axis in fused.graph.input[0].type.tensor_type.shape.dim)
    model = onnx.ModelProto()
    model.CopyFrom(fused)
    replace_nodes(model, nodes)
    del model.graph.input[:]
    del model.graph.output[:]
    model.graph.input.append(tensor(image, TensorProto.FLOAT, (count, channels, height, width)))
    model.graph.output.append(helper.make_tensor_value_info(scores, TensorProto.FLOAT, None))
    return model


def replace_nodes(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """Replace the nodes of a model, and remove the initializers that none of them reads."""
    used = {name for node in nodes for name in node.input}
    constants = [item for item in model.graph.initializer if item.name in used]
    del model.graph.node[:]
    del model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(constants)


def values_of_type(model: onnx.ModelProto, kind: int) -> frozenset[str]:
    """Names of all values of one type (`onnx.TensorProto.…`): inputs, constants and results of nodes."""
    graph = shape_inference.infer_shapes(model).graph
    values = [*graph.input, *graph.output, *graph.value_info]
    return frozenset(
        [value.name for value in values if value.type.tensor_type.elem_type == kind]
        + [constant.name for constant in graph.initializer if constant.data_type == kind]
    )


def _constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """The value of a Constant node, named as its output; None for text and sparse ones."""
    attribute = node.attribute[0]
    value = helper.get_attribute_value(attribute)
    if attribute.name == "value":
        tensor = onnx.TensorProto()
        tensor.CopyFrom(value)
        tensor.name = node.output[0]
        return tensor
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    kind = kinds.get(attribute.name)
    return None if kind is None else numpy_helper.from_array(np.array(value, kind), node.output[0])
