"""The one graph: normalisation, network, calibration, Bayes decision and ground samples in a single ONNX model.

Inputs:
    image   uint8   [N, H, W, 3]    at the network's size, channels in `GraphSpec.image_order`
    costs   float32 [K + 1, K]      K decision rows of the cost matrix, then the traverse row
    cells   float32 [N, G, 2]       (x, y) in -1..1 over the image; pixel centre u lies at x = (2u + 1) / W - 1

Outputs:
    labels              uint8   [N, h, w]     the Bayes decision: argmin over the decision rows of C p
    confidence          uint8   [N, h, w]     255 times the probability of the most probable class, rounded
    expected_cost       uint8   [N, h, w]     t p, rounded, nav2 units; 254 where it is 254 or more
    cell_probabilities  float32 [N, G, K]
    score_size          float32 [N]           sum of |score| over the network's output: finite only if every score is
    most_probable       uint8   [N, h, w]     argmax of p; only when asked for

Everything after the network is arranged for the CPU, where a softmax over full-resolution planes alone costs more than
a light network. Three facts make it cheap and leave the result what it is:

* A softmax does not see a number added to all classes, and interpolation is linear. So the maximum is subtracted from
  the logits at their own resolution, and exp() after upsampling neither overflows nor loses every class to underflow.
* argmin of C p is argmin of C exp(z): the decision needs no division, and the rest divides planes, not classes.
* Bilinear upsampling by a whole factor s is a sub-pixel convolution (Shi et al., CVPR 2016) with constant weights:
  each of the s² output phases is a weighted sum of four neighbouring logits, all phases are one small matrix product.
  Phases stay apart (a batch axis, which threads share) until one number per pixel is left; only that is woven together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from seg_perception.inference.network_file import opset
from seg_perception.inference.onnx_writer import OnnxWriter, tensor
from seg_perception.model_card import ModelCard

LOGIT_RANGE = 80.0
"""Logits lower than the pixel's highest by more than this are raised to it. exp(-80) is a normal float32, and so is the
sum over classes anywhere between pixels: one of four neighbours weighs at least 1/4, so its best class has exp(-60)."""

_MIN_PROBABILITY = 1e-30

_IR_VERSION = 8


@dataclass(frozen=True)
class GraphSpec:
    """What a fused graph is built for; all shapes are fixed by it.

    Attributes:
        cells: ground samples per image, G.
        batch: images per run, N.
        resolution: "full" decides at the network's input size, "native" at the size of its logits.
        image_order: order of the channels of the images that come in.
        most_probable: also give the most probable class of each pixel.
    """

    cells: int
    batch: int = 1
    resolution: Literal["full", "native"] = "full"
    image_order: Literal["rgb", "bgr"] = "rgb"
    most_probable: bool = False


def network_graph(network: onnx.ModelProto, card: ModelCard, spec: GraphSpec) -> onnx.ModelProto:
    """The network with its normalisation and nothing else: uint8 `image` in, the network's own `scores` out.

    Args:
        network: from `read_network`.
        card: its model card.
        spec: only `batch` and `image_order` are used.
    """
    before, after = OnnxWriter("image/", opset(network)), OnnxWriter("risk/", opset(network))
    _normalise(before, network, card, spec)
    after.output(network.graph.output[0].name, "scores")
    return _assemble(
        network, before, after, [_image(card, spec)], [helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)]
    )


def fused_graph(network: onnx.ModelProto, card: ModelCard, spec: GraphSpec, stride: int) -> onnx.ModelProto:
    """The whole graph of this module's description.

    Args:
        network: from `read_network`.
        card: its model card.
        spec: shapes and options.
        stride: input pixels per output pixel of the network, s.
    """
    before, after = OnnxWriter("image/", opset(network)), OnnxWriter("risk/", opset(network))
    _normalise(before, network, card, spec)
    size = (card.height // stride, card.width // stride)
    logits = _calibrated_logits(after, network.graph.output[0].name, card)
    _decide(after, logits, card, spec, size, stride)
    _sample_cells(after, logits, card, spec, size)

    classes = len(card.classes)
    plane = (spec.batch, *(size if spec.resolution == "native" else (card.height, card.width)))
    inputs = [
        _image(card, spec),
        tensor("costs", TensorProto.FLOAT, (classes + 1, classes)),
        tensor("cells", TensorProto.FLOAT, (spec.batch, spec.cells, 2)),
    ]
    outputs = [
        tensor("labels", TensorProto.UINT8, plane),
        tensor("confidence", TensorProto.UINT8, plane),
        tensor("expected_cost", TensorProto.UINT8, plane),
        tensor("cell_probabilities", TensorProto.FLOAT, (spec.batch, spec.cells, classes)),
        tensor("score_size", TensorProto.FLOAT, (spec.batch,)),
    ]
    if spec.most_probable:
        outputs.append(tensor("most_probable", TensorProto.UINT8, plane))
    return _assemble(network, before, after, inputs, outputs)


def _image(card: ModelCard, spec: GraphSpec) -> onnx.ValueInfoProto:
    return tensor("image", TensorProto.UINT8, (spec.batch, card.height, card.width, 3))


def _normalise(graph: OnnxWriter, network: onnx.ModelProto, card: ModelCard, spec: GraphSpec) -> None:
    """uint8 [N, H, W, 3] to the network's float32 [N, 3, H, W]."""
    # TensorRT transposes no uint8: to float first.
    planes = graph.node("Transpose", graph.node("Cast", "image", to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    if spec.image_order != card.channel_order:
        planes = graph.node("Gather", planes, np.array([2, 1, 0], np.int64), axis=1)
    mean, std = (np.array(values).reshape(1, 3, 1, 1) for values in (card.mean, card.std))
    scaled = graph.node("Mul", planes, (1 / (255 * std)).astype(np.float32))
    graph.output(graph.node("Add", scaled, (-mean / std).astype(np.float32)), network.graph.input[0].name)


def _calibrated_logits(graph: OnnxWriter, scores: str, card: ModelCard) -> str:
    """The network's scores to float32 [N, K, h/s, w/s] logits over the temperature, in -LOGIT_RANGE..0."""
    axes = np.array([1, 2, 3], np.int64)
    graph.output(graph.node("ReduceSum", graph.node("Abs", scores), axes, keepdims=0), "score_size")
    if card.output == "probabilities":
        scores = graph.node("Log", graph.node("Max", scores, np.float32(_MIN_PROBABILITY)))
    logits = graph.node("Mul", scores, np.float32(1.0 / card.temperature))
    logits = graph.node("Sub", logits, graph.reduce_max(logits, axis=1))
    return graph.node("Max", logits, np.float32(-LOGIT_RANGE))


def _decide(
    graph: OnnxWriter, logits: str, card: ModelCard, spec: GraphSpec, size: tuple[int, int], stride: int
) -> None:
    """The uint8 images: each phase of each image is one batch entry [K, pixels] until it is woven in."""
    classes = len(card.classes)
    if spec.resolution == "full" and stride > 1:
        phases, rows, columns = stride * stride, size[0] + 1, size[1] + 1
        upsampled = _upsample_in_phases(graph, logits, spec.batch * classes, size, stride)
    else:
        phases, (rows, columns) = 1, size
        upsampled = logits

    def weave(value: str) -> str:
        planes = graph.reshape(value, phases, spec.batch, rows, columns)
        if phases > 1:
            planes = graph.node("Transpose", planes, perm=[1, 0, 2, 3])
            planes = graph.node("DepthToSpace", planes, blocksize=stride)
            first = _first_row(stride)
            planes = graph.crop(planes, 2, first, first + card.height)
            planes = graph.crop(planes, 3, first, first + card.width)
        image = graph.reshape(planes, spec.batch, *(size if phases == 1 else (card.height, card.width)))
        return graph.node("Cast", image, to=TensorProto.UINT8)

    masses = graph.reshape(graph.node("Exp", upsampled), phases * spec.batch, classes, rows * columns)
    risks = graph.node("MatMul", graph.crop("costs", 0, 0, classes), masses)
    decision = graph.node("ArgMin", risks, axis=1, keepdims=0)
    graph.output(weave(graph.node("Cast", decision, to=TensorProto.FLOAT)), "labels")

    total = graph.node("ReduceSum", masses, np.array([1], np.int64), keepdims=1)
    cost = graph.node("Div", graph.node("MatMul", graph.crop("costs", 0, classes, classes + 1), masses), total)
    graph.output(weave(graph.node("Round", graph.node("Min", cost, np.float32(254)))), "expected_cost")
    highest = graph.node("Div", graph.reduce_max(masses, axis=1), total)
    graph.output(weave(graph.node("Round", graph.node("Mul", highest, np.float32(255)))), "confidence")
    if spec.most_probable:
        best = graph.node("ArgMax", masses, axis=1, keepdims=0)
        graph.output(weave(graph.node("Cast", best, to=TensorProto.FLOAT)), "most_probable")


def _upsample_in_phases(graph: OnnxWriter, logits: str, planes: int, size: tuple[int, int], stride: int) -> str:
    """Bilinear upsampling (half-pixel centres, constant beyond the edge) as float32 [s², planes * (h + 1) * (w + 1)].

    Entry (r, c) of phase (i, j) is row s*r + i - `_first_row` and column s*c + j - `_first_row` of the upsampled plane.
    """
    rows, columns = size[0] + 1, size[1] + 1
    edges = np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    padded = graph.node("Pad", logits, edges, mode="edge")
    corners = [
        graph.crop(graph.crop(padded, 2, top, top + rows), 3, left, left + columns) for top in (0, 1) for left in (0, 1)
    ]
    stacked = graph.reshape(graph.node("Concat", *corners, axis=0), 4, planes * rows * columns)
    return graph.node("MatMul", _phase_weights(stride), stacked)


def _phase_weights(stride: int) -> NDArray[np.float32]:
    """Weights [s², 4] of the neighbours (top left, top right, bottom left, bottom right) for each phase, row by row."""
    # An even factor has no output pixel on a neighbour's centre; an odd one has.
    along = (np.arange(stride) + (0.5 if stride % 2 == 0 else 0.0)) / stride
    pair = np.stack([1 - along, along], axis=1)
    weights: NDArray[np.float64] = np.einsum("ia,jb->ijab", pair, pair)
    return weights.reshape(stride * stride, 4).astype(np.float32)


def _first_row(stride: int) -> int:
    """How many rows of the woven phases lie before the image: the first neighbours are half outside of it."""
    return (stride + 1) // 2


def _sample_cells(graph: OnnxWriter, logits: str, card: ModelCard, spec: GraphSpec, size: tuple[int, int]) -> None:
    """Bilinear samples of logits, then softmax: the same as the softmax of upsampled logits at that point.

    The operator for this is GridSample, which ONNX Runtime computes class by class; gathering all classes of a pixel at
    once takes less than half as long there.
    """
    rows, columns = size
    by_pixel = graph.reshape(graph.node("Transpose", logits, perm=[0, 2, 3, 1]), -1, len(card.classes))
    column, right = _neighbour(graph, graph.crop("cells", 2, 0, 1), columns)
    row, down = _neighbour(graph, graph.crop("cells", 2, 1, 2), rows)
    image = np.arange(spec.batch, dtype=np.float32).reshape(-1, 1, 1) * np.float32(rows * columns)
    position = graph.node("Add", graph.node("Add", graph.node("Mul", row, np.float32(columns)), column), image)
    top_left = graph.reshape(graph.node("Cast", position, to=TensorProto.INT32), -1)

    def between(first: str, second: str, weight: str) -> str:
        return graph.node("Add", first, graph.node("Mul", graph.node("Sub", second, first), weight))

    def samples(offset: int) -> str:
        return graph.node("Gather", by_pixel, graph.node("Add", top_left, np.int32(offset)), axis=0)

    next_column, next_row = min(1, columns - 1), columns * min(1, rows - 1)
    right, down = graph.reshape(right, -1, 1), graph.reshape(down, -1, 1)
    upper = between(samples(0), samples(next_column), right)
    lower = between(samples(next_row), samples(next_row + next_column), right)
    sampled = graph.reshape(between(upper, lower, down), spec.batch, spec.cells, len(card.classes))
    graph.output(graph.node("Softmax", sampled, axis=-1), "cell_probabilities")


def _neighbour(graph: OnnxWriter, coordinate: str, length: int) -> tuple[str, str]:
    """From -1..1 over `length` pixels: the pixel centre at or before it, and the way from there to the next, 0..1.

    Both edges are held constant, as the upsampling does.
    """
    pixel = graph.node("Add", graph.node("Mul", coordinate, np.float32(length / 2)), np.float32((length - 1) / 2))
    pixel = graph.node("Min", graph.node("Max", pixel, np.float32(0)), np.float32(length - 1))
    first = graph.node("Min", graph.node("Floor", pixel), np.float32(max(length - 2, 0)))
    return first, graph.node("Sub", pixel, first)


def _assemble(
    network: onnx.ModelProto,
    before: OnnxWriter,
    after: OnnxWriter,
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
) -> onnx.ModelProto:
    """The network between what comes before and after it; its own inputs and outputs become inner values."""
    model = onnx.ModelProto()
    model.CopyFrom(network)
    graph = model.graph
    for fields, values in (
        (graph.node, [*before.nodes, *network.graph.node, *after.nodes]),
        (graph.initializer, [*before.constants, *network.graph.initializer, *after.constants]),
        (graph.input, inputs),
        (graph.output, outputs),
    ):
        del fields[:]
        fields.extend(values)
    model.ir_version = max(model.ir_version, _IR_VERSION)
    return model
