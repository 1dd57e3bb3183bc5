"""Variants of one network with other image sizes and numbers of classes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from seg_perception.errors import ModelError
from seg_perception.inference.onnx.model_import import read_network
from seg_perception.inference.onnx.session import open_session
from seg_perception.model.card import ModelCard, model_sha256
from seg_perception.model.logit_calibration import LogitCalibration
from seg_perception.risk.cost_matrix import CostMatrix

_SHAPE_INPUT = {"Expand": 1, "Resize": 3}
"""Operators with an input that sets the shape of their output, and its index."""

_DIFFERENCE = 0.05
"""Relative difference between the weights of a repeated class and those of the original."""


def write_network_variant(model: Path, card: ModelCard, width: int, height: int, classes: int, folder: Path) -> Path:
    """Write a network for images of another size and another number of classes, with its card.

    Layers and weights are the same but for the classifier: further classes repeat the original ones with slightly
    random weights; with fewer classes the last ones are left out. The variant takes as long as a network trained for
    that size. Its outputs for repeated classes mean nothing.

    Args:
        model: ONNX file of a fully convolutional network.
        card: its model card.
        width, height: of the image, pixels.
        classes: number of classes.
        folder: where to write.

    Returns:
        The ONNX file; the card lies next to it.

    Raises:
        ModelError: the network cannot be changed in this way.
    """
    network = read_network(model, card, batch=1, prefix="")
    _set_classes(model, network, len(card.classes), classes)
    try:
        _set_size(network, card, width, height)
        path = folder / f"{model.stem}_{width}x{height}_{classes}.onnx"
        path.write_bytes(network.SerializeToString())
    except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
        raise ModelError(
            f"{model}: cannot be brought to {width}x{height} ({str(error).strip().splitlines()[0]}); measure a "
            "fully convolutional network."
        ) from None
    variant = _card(card, width, height, classes)
    replace(variant, sha256=model_sha256(path)).write(path.with_suffix(".yaml"))
    return path


def matrix_with_classes(matrix: CostMatrix, classes: int) -> CostMatrix:
    """A cost matrix for the classes of `write_network_variant`: repeated classes cost what the originals do.

    Args:
        matrix: for the original network.
        classes: number of classes of the variant.
    """
    source = np.arange(classes) % len(matrix.classes)
    return replace(
        matrix,
        classes=_names(matrix.classes, classes),
        misclassification=matrix.misclassification[np.ix_(source, source)],
        traverse=matrix.traverse[source],
        standing=matrix.standing[source],
        overhang=matrix.overhang[source],
        ignore=matrix.ignore[source],
    )


def _set_classes(model: Path, network: onnx.ModelProto, before: int, classes: int) -> None:
    weights = {tensor.name: tensor for tensor in network.graph.initializer}
    for node in reversed(network.graph.node):
        if node.op_type == "Conv" and all(name in weights for name in node.input[1:]):
            parts = [weights[name] for name in node.input[1:]]
            break
    else:
        parts = []
    if not parts or any(part.dims[0] != before for part in parts):
        raise ModelError(
            f"{model}: does not end in a convolution with {before} outputs, one for each class of its card, so it "
            "cannot be given other classes; measure the network before it is quantised or taught."
        )
    rng = np.random.default_rng(0)
    for part in parts:
        values = numpy_helper.to_array(part)
        more = np.resize(values, (classes, *values.shape[1:])).copy()
        chance = rng.normal(1, _DIFFERENCE, more[before:].shape).astype(values.dtype)
        more[before:] *= chance
        part.CopyFrom(numpy_helper.from_array(more, part.name))


def _set_size(network: onnx.ModelProto, card: ModelCard, width: int, height: int) -> None:
    """Set the size of the image; every operator with a fixed output shape keeps its stride."""
    (image,) = network.graph.input
    fixed = [node for node in network.graph.node if len(node.input) > _SHAPE_INPUT.get(node.op_type, len(node.input))]
    befores = _shapes(network, [node.input[0] for node in fixed], card)
    afters = _shapes(network, [node.output[0] for node in fixed], card)
    for node, before, shape in zip(fixed, befores, afters, strict=True):
        if len(shape) != 4:
            continue
        # Convolutions round up: 360 pixels are 23 at a stride of 16.
        rows = math.ceil(height / round(card.height / shape[2]))
        columns = math.ceil(width / round(card.width / shape[3]))
        name = f"{node.output[0]}/shape"
        node.input[_SHAPE_INPUT[node.op_type]] = name
        # The channels are those of the input: after the classifier there may be more than before.
        sizes = np.array([*before[:2], rows, columns], np.int64)
        network.graph.initializer.append(numpy_helper.from_array(sizes, name))
    axes = image.type.tensor_type.shape.dim
    axes[2].dim_value, axes[3].dim_value = height, width


def _shapes(network: onnx.ModelProto, names: list[str], card: ModelCard) -> list[tuple[int, ...]]:
    """Shapes of values within a network, from a run at the size of its card."""
    if not names:
        return []
    probe = onnx.ModelProto()
    probe.CopyFrom(network)
    del probe.graph.output[:]
    probe.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    image = np.zeros((1, 3, card.height, card.width), np.float32)
    values = open_session(probe).run(None, {network.graph.input[0].name: image})
    return [value.shape for value in values]


def _card(card: ModelCard, width: int, height: int, classes: int) -> ModelCard:
    source = np.arange(classes) % len(card.classes)
    return replace(
        card,
        classes=_names(card.classes, classes),
        colours=_colours(card.colours, classes),
        width=width,
        height=height,
        calibration={precision: _scaling(scaling, source) for precision, scaling in card.calibration.items()},
        output_name=None,
    )


def _scaling(scaling: LogitCalibration, source: NDArray[np.intp]) -> LogitCalibration:
    def repeat(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(values[index] for index in source) if values else ()

    return replace(scaling, scale=repeat(scaling.scale), bias=repeat(scaling.bias))


def _names(names: tuple[str, ...], classes: int) -> tuple[str, ...]:
    rounds = (divmod(index, len(names)) for index in range(classes))
    return tuple(f"{names[index]} {turn + 1}" if turn else names[index] for turn, index in rounds)


def _colours(colours: NDArray[np.uint8], classes: int) -> NDArray[np.uint8]:
    """The original colours, then greys that are not among them."""
    known = {tuple(colour) for colour in colours.tolist()}
    greys = [(value, value, value) for value in range(256) if (value, value, value) not in known]
    return np.array([*colours.tolist(), *greys], np.uint8)[:classes]
