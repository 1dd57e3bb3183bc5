"""The end of a network, where features become logits: finding it, reading it out, and adding a class to it."""

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
from seg_perception.inference.onnx.node_writer import OnnxWriter

SMALLEST_LENGTH = 1e-3
"""Feature vectors shorter than this are divided by it: they have no direction to speak of. Float16 holds it."""

_AFTER_CLASSIFIER = frozenset({"Dropout", "Identity", "LogSoftmax", "Resize", "Softmax"})
"""Operators that do the same for one channel more."""

_CHANNELS = 1
"""Axis of the channels."""

_SIZES = 3
"""Which input of a Resize holds the shape of its result."""


@dataclass(frozen=True)
class Head:
    """Where a network turns features into logits.

    Attributes:
        features: names of the features, each [N, F, h, w]: what the classifier reads, and what the nearest join of
            channels before it gives, where there is one.
        logits: name of the logits of all classes, [N, K, h, w]; at most a resize or softmax follows.
    """

    features: tuple[str, ...]
    logits: str


def find_head(network: onnx.ModelProto, path: Path) -> Head:
    """Find the convolution that makes a network's logits; a network that was taught before has one too.

    What it reads was trained to tell the known classes apart and to forget the rest. Where a decoder joins detail and
    context, a few layers earlier, more is left of what is new.

    Args:
        network: one image in, one output.
        path: its file, for the message.

    Raises:
        ModelError: the network does not end in a convolution.
    """
    producers = _producers(network)
    after = _behind(network.graph.output[0].name, _AFTER_CLASSIFIER, producers)
    logits = after[-1].input[0] if after else network.graph.output[0].name
    # Classes taught earlier were joined to the logits of the classifier.
    taught = _behind(logits, frozenset({"Concat"}), producers)
    classifier = producers.get(taught[-1].input[0] if taught else logits)
    if classifier is None or classifier.op_type != "Conv":
        found = "its input" if classifier is None else f"the operator {classifier.op_type} ('{classifier.name}')"
        raise ModelError(
            f"{path}: its logits come from {found}, but a class can be taught only where they come from a convolution "
            "with at most a resize or softmax behind it; give the network in fp32, without what follows its classifier."
        )
    join = _nearest_join(classifier.input[0], producers)
    return Head((classifier.input[0],) if join in (None, classifier.input[0]) else (classifier.input[0], join), logits)


def read_out(network: onnx.ModelProto, head: Head) -> onnx.ModelProto:
    """A copy of the network that gives its logits and then its features instead of its output."""
    model = onnx.ModelProto()
    model.CopyFrom(network)
    del model.graph.output[:]
    names = (head.logits, *head.features)
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    return model


def with_class(
    network: onnx.ModelProto, head: Head, directions: Sequence[NDArray[np.float32]], bias: float
) -> onnx.ModelProto:
    """A copy of the network with one class more, the last: its logit is Σ direction · f / |f| + bias.

    Args:
        network: what `head` was found in.
        head: from `find_head`.
        directions: float32 [F] for each of `head.features`.
        bias: of the new logit.
    """
    model = onnx.ModelProto()
    model.CopyFrom(network)
    nodes = list(model.graph.node)
    added = OnnxWriter(f"taught_{len(nodes)}/", opset(model))
    logit = ""
    for name, direction in zip(head.features, directions, strict=True):
        # The convolution comes first and its one channel is divided, which spares dividing all features.
        aligned = added.node("Conv", name, direction.reshape(1, -1, 1, 1))
        length = added.node("Max", added.reduce_l2(name, _CHANNELS), np.float32(SMALLEST_LENGTH))
        cosine = added.node("Div", aligned, length)
        logit = added.node("Add", logit, cosine) if logit else added.node("Add", cosine, np.float32(bias))
    # The joined logits take the old ones' name, so that whoever reads them reads one channel more.
    before = f"taught_{len(nodes)}/before"
    added.node("Concat", before, logit, axis=_CHANNELS, result=head.logits)
    (place,) = (index for index, node in enumerate(nodes) if head.logits in node.output)
    nodes[place].output[0] = nodes[place].name = before
    nodes[place + 1 : place + 1] = added.nodes
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(added.constants)
    _widen_resizes(model)
    return model


def _producers(network: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """Name of each value -> the node that makes it."""
    return {name: node for node in network.graph.node for name in node.output}


def _behind(name: str, operators: frozenset[str], producers: Mapping[str, onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The nodes of these operators that lead to a value, last first, each one's first input made by the next."""
    chain: list[onnx.NodeProto] = []
    while name in producers and producers[name].op_type in operators:
        chain.append(producers[name])
        name = producers[name].input[0]
    return chain


def _nearest_join(name: str, producers: Mapping[str, onnx.NodeProto]) -> str | None:
    """The nearest value before this one that is a concatenation of channels; None where there is none."""
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
    """Let resizes behind the classifier that name their result's whole shape, channels included, name one more."""
    shapes = {item.name: item for item in model.graph.initializer}
    for node in _behind(model.graph.output[0].name, _AFTER_CLASSIFIER, _producers(model)):
        if node.op_type == "Resize" and len(node.input) > _SIZES and node.input[_SIZES] in shapes:
            sizes = numpy_helper.to_array(shapes[node.input[_SIZES]]).copy()
            sizes[_CHANNELS] += 1
            node.input[_SIZES] = f"{node.input[_SIZES]}/taught"
            model.graph.initializer.append(numpy_helper.from_array(sizes, node.input[_SIZES]))
