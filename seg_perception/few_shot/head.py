"""The head of a network, where features become logits: finds it, exposes its features, and adds a class to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from seg_perception.errors import ModelError
from seg_perception.inference.onnx.model_import import opset
from seg_perception.inference.onnx.node_writer import NodeWriter

SMALLEST_LENGTH = 1e-3
"""Feature vectors shorter than this are divided by it, as their direction is meaningless. Float16 can represent it."""

_AFTER_CLASSIFIER = frozenset({"Dropout", "Identity", "LogSoftmax", "Resize", "Softmax"})
"""Operators that work unchanged with an additional channel."""

_CHANNELS = 1
"""Axis of the channels."""

_SIZES = 3
"""Index of the input of a Resize that holds the output shape."""


@dataclass(frozen=True)
class Head:
    """Names of the tensors where a network turns features into logits.

    Attributes:
        features: names of the features, each [N, F, h, w]: the classifier's input, and the output of the nearest
            concatenation of channels before it, if any.
        logits: name of the logits of all classes, [N, K, h, w]; only resize or softmax may follow.
    """

    features: tuple[str, ...]
    logits: str


def find_head(network: onnx.ModelProto, path: Path) -> Head:
    """Find the convolution that computes a network's logits, also in a network with classes added earlier.

    Its input was trained to separate the known classes. Where a decoder concatenates detail and context, a few layers
    earlier, the features hold more information on new classes.

    Args:
        network: one image in, one output.
        path: its file, for messages.

    Raises:
        ModelError: the network does not end in a convolution.
    """
    producers = _producers(network)
    after = _trailing_nodes(network.graph.output[0].name, _AFTER_CLASSIFIER, producers)
    logits = after[-1].input[0] if after else network.graph.output[0].name
    # Classes added earlier were concatenated to the logits of the classifier.
    concats = _trailing_nodes(logits, frozenset({"Concat"}), producers)
    classifier = producers.get(concats[-1].input[0] if concats else logits)
    if classifier is None or classifier.op_type != "Conv":
        found = "its input" if classifier is None else f"the operator {classifier.op_type} ('{classifier.name}')"
        raise ModelError(
            f"{path}: its logits come from {found}, but a class can be added only where they come from a convolution "
            "with at most a resize or softmax after it; give the network in fp32, without what follows its classifier."
        )
    concat = _nearest_concat(classifier.input[0], producers)
    return Head(
        (classifier.input[0],) if concat in (None, classifier.input[0]) else (classifier.input[0], concat), logits
    )


def with_feature_outputs(network: onnx.ModelProto, head: Head) -> onnx.ModelProto:
    """A copy of the network whose outputs are the logits, then the features."""
    model = onnx.ModelProto()
    model.CopyFrom(network)
    del model.graph.output[:]
    names = (head.logits, *head.features)
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    return model


def append_class(
    network: onnx.ModelProto, head: Head, directions: Sequence[NDArray[np.float32]], bias: float
) -> onnx.ModelProto:
    """A copy of the network with an additional last class, whose logit is Σ direction · f / |f| + bias.

    Args:
        network: that `head` was found in.
        head: from `find_head`.
        directions: float32 [F] for each of `head.features`.
        bias: of the new logit.
    """
    model = onnx.ModelProto()
    model.CopyFrom(network)
    nodes = list(model.graph.node)
    added = NodeWriter(f"taught_{len(nodes)}/", opset(model))
    logit = ""
    for name, direction in zip(head.features, directions, strict=True):
        # Dividing the one channel after the convolution is cheaper than dividing all features before it.
        aligned = added.node("Conv", name, direction.reshape(1, -1, 1, 1))
        length = added.node("Max", added.reduce_l2(name, _CHANNELS), np.float32(SMALLEST_LENGTH))
        cosine = added.node("Div", aligned, length)
        logit = added.node("Add", logit, cosine) if logit else added.node("Add", cosine, np.float32(bias))
    # The concatenated logits take the name of the old ones, so their consumers read the additional channel.
    before = f"taught_{len(nodes)}/before"
    added.node("Concat", before, logit, axis=_CHANNELS, result=head.logits)
    (position,) = (index for index, node in enumerate(nodes) if head.logits in node.output)
    nodes[position].output[0] = nodes[position].name = before
    nodes[position + 1 : position + 1] = added.nodes
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(added.constants)
    _widen_resizes(model)
    return model


def _producers(network: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """Name of each value -> the node that computes it."""
    return {name: node for node in network.graph.node for name in node.output}


def _trailing_nodes(
    name: str, operators: frozenset[str], producers: Mapping[str, onnx.NodeProto]
) -> list[onnx.NodeProto]:
    """The chain of nodes of these operators that ends in a value, last first, along each node's first input."""
    chain: list[onnx.NodeProto] = []
    while name in producers and producers[name].op_type in operators:
        chain.append(producers[name])
        name = producers[name].input[0]
    return chain


def _nearest_concat(name: str, producers: Mapping[str, onnx.NodeProto]) -> str | None:
    """The nearest value before this one that is a concatenation of channels; None if there is none."""
    waiting, seen = deque([name]), {name}
    while waiting:
        current = waiting.popleft()
        node = producers.get(current)
        if node is None:
            continue
        if node.op_type == "Concat" and helper.get_node_attr_value(node, "axis") in (_CHANNELS, _CHANNELS - 4):
            return current
        waiting.extend(item for item in node.input if item not in seen)
        seen.update(node.input)
    return None


def _widen_resizes(model: onnx.ModelProto) -> None:
    """Add the channel to the output shape of resizes after the classifier that include the number of channels."""
    shapes = {item.name: item for item in model.graph.initializer}
    for node in _trailing_nodes(model.graph.output[0].name, _AFTER_CLASSIFIER, _producers(model)):
        if node.op_type == "Resize" and len(node.input) > _SIZES and node.input[_SIZES] in shapes:
            sizes = numpy_helper.to_array(shapes[node.input[_SIZES]]).copy()
            sizes[_CHANNELS] += 1
            node.input[_SIZES] = f"{node.input[_SIZES]}/taught"
            model.graph.initializer.append(numpy_helper.from_array(sizes, node.input[_SIZES]))
