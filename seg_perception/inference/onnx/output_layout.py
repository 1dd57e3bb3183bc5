"""Output layout: detect it from one run, and bring any output to float32 scores [N, K, H / s, W / s]."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from seg_perception.errors import ModelError
from seg_perception.inference.onnx.graph_editing import append_nodes, input_of_last, resize
from seg_perception.inference.onnx.model_import import PREFIX, opset
from seg_perception.inference.onnx.node_writer import NodeWriter
from seg_perception.model.card import ModelCard

_SUM_TOLERANCE = 0.01
"""How far sums of probabilities may be from 1 on average: float16 and 8-bit softmaxes are off by a few thousandths."""


@dataclass(frozen=True)
class OutputLayout:
    """Layout of the scores in a network's output.

    Attributes:
        channels_last: [N, h, w, C], not [N, C, h, w].
        channels: C, one per class; or 1 for two classes: the score of the second one.
        rows: h.
        columns: w.
    """

    channels_last: bool
    channels: int
    rows: int
    columns: int


def detect_layout(
    model: Path, network: onnx.ModelProto, scores: NDArray[Any], card: ModelCard, batch: int
) -> OutputLayout:
    """Detect the layout of the scores in a network's output.

    Args:
        model: the ONNX file, for the messages.
        network: from `read_network`.
        scores: its output for `batch` images.
        card: its model card.
        batch: images in the run.

    Raises:
        ModelError: the output does not hold scores, or not for the card's classes and size.
    """
    got = f"{scores.dtype} [{', '.join(map(str, scores.shape))}]"
    before_argmax = _without_prefix(input_of_last(network, {"ArgMax"}))
    if before_argmax or not np.issubdtype(scores.dtype, np.floating):
        fix = f"set 'output_name: {before_argmax}' in the model card, which is what goes into the argmax"
        raise ModelError(
            f"{model}: gives labels ({got}), so how sure the network was is lost; "
            f"{fix if before_argmax else 'export the network without the argmax at its end'}."
        )
    if scores.ndim != 4 or scores.shape[0] != batch:
        raise ModelError(
            f"{model}: gives {got} for {batch} image(s), but must give [{batch}, classes, height, width] or "
            f"[{batch}, height, width, classes]; export it so, with a free batch axis if there are several images."
        )
    _, first, second, third = scores.shape
    layouts = [OutputLayout(False, first, second, third), OutputLayout(True, third, first, second)]
    fitting = [layout for layout in layouts if _keeps_proportions(layout, card)]
    if not fitting:
        raise ModelError(
            f"{model}: gives {got} for a {card.width}x{card.height} image, which is no image of the same proportions; "
            "if the scores are another value of the network, name that as output_name in the model card."
        )
    classes = len(card.classes)
    for layout in fitting:
        if layout.channels == classes or (layout.channels == 1 and classes == 2):
            return layout
    raise ModelError(
        f"{model}: gives {fitting[0].channels} scores at each pixel ({got}), but the model card names {classes} "
        "classes; name one for each score, in the same order, or take the card of this network."
    )


def classify_scores(
    model: Path, network: onnx.ModelProto, scores: NDArray[Any], layout: OutputLayout
) -> Literal["logits", "probabilities"]:
    """Classify scores as logits or probabilities.

    Args:
        model: the ONNX file, for the messages.
        network: from `read_network`.
        scores: its output for an image.
        form: from `detect_layout`.

    Raises:
        ModelError: the scores are not finite, or each class has a probability of its own (sigmoid).
    """
    if not np.isfinite(scores).all():
        raise ModelError(f"{model}: gives infinite or undefined numbers; its weights are damaged, export it again.")
    before_sigmoid = _without_prefix(input_of_last(network, {"Sigmoid", "HardSigmoid"}))
    if layout.channels == 1:
        return "logits" if before_sigmoid is None else "probabilities"
    if before_sigmoid:
        raise ModelError(
            f"{model}: ends in a sigmoid, which gives each class a probability of its own; set 'output_name: "
            f"{before_sigmoid}' and 'output: logits' in the model card, which is what goes into it."
        )
    sums = scores.sum(axis=3 if layout.channels_last else 1, dtype=np.float32)
    within = bool(scores.min() >= 0) and bool(scores.max() <= 1 + _SUM_TOLERANCE)
    return "probabilities" if within and bool(np.abs(sums - 1).mean() <= _SUM_TOLERANCE) else "logits"


def to_standard_layout(network: onnx.ModelProto, layout: OutputLayout, card: ModelCard, batch: int) -> int:
    """Make a network output float32 [batch, K, H / s, W / s].

    An output whose size is not a whole fraction of the image's is resized to the image's size. If both sides are
    (side - 1) / s + 1, as in networks trained with aligned corners, the corners stay aligned.

    Args:
        network: from `read_network`; changed in place.
        form: of its output.
        card: its model card.
        batch: images per run.

    Returns:
        Input pixels per output pixel, s.
    """
    writer = NodeWriter(f"{PREFIX}after/", opset(network))
    # No effect on float32; every backend removes it.
    scores = writer.node("Cast", network.graph.output[0].name, to=TensorProto.FLOAT)
    if layout.channels_last:
        scores = writer.node("Transpose", scores, perm=[0, 3, 1, 2])
    if layout.channels < len(card.classes):
        scores = _two_classes(writer, scores, card.output)
    stride = card.height // layout.rows
    if (stride * layout.rows, stride * layout.columns) != (card.height, card.width):
        size = (batch, len(card.classes), card.height, card.width)
        scores = resize(writer, scores, size, align_corners=_has_aligned_corners(layout, card))
        stride = 1
    append_nodes(network, writer, scores)
    return stride


def _two_classes(writer: NodeWriter, score: str, output: Literal["logits", "probabilities"]) -> str:
    """Scores of both classes from that of the second one."""

    def per_class(first: float, second: float) -> NDArray[np.float32]:
        return np.array([first, second], np.float32).reshape(1, 2, 1, 1)

    if output == "logits":
        return writer.node("Mul", score, per_class(-0.5, 0.5))  # only their difference counts
    return writer.node("Add", writer.node("Mul", score, per_class(-1, 1)), per_class(1, 0))


def _keeps_proportions(layout: OutputLayout, card: ModelCard) -> bool:
    """Whether one stride of at least 1 maps image size to output size, up to one pixel of the output."""
    if layout.rows * layout.columns <= 1 or layout.rows > card.height or layout.columns > card.width:
        return False
    sides = ((card.height, layout.rows), (card.width, layout.columns))
    smallest = max(side / (length + 1) for side, length in sides)
    largest = min(side / max(length - 1, 0.5) for side, length in sides)
    return smallest <= largest


def _has_aligned_corners(layout: OutputLayout, card: ModelCard) -> bool:
    if layout.rows < 2 or layout.columns < 2:
        return False
    down, down_rest = divmod(card.height - 1, layout.rows - 1)
    across, across_rest = divmod(card.width - 1, layout.columns - 1)
    return down == across and not (down_rest or across_rest)


def _without_prefix(value: str | None) -> str | None:
    return None if value is None else value.removeprefix(PREFIX)
