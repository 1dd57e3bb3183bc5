"""From a model file to graphs that are known to run: the checks that only a run can make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from seg_perception.errors import ModelError
from seg_perception.inference.graph import GraphSpec, fused_graph, network_graph
from seg_perception.inference.network_file import read_network
from seg_perception.inference.onnx_session import open_session
from seg_perception.inference.plan import SUFFIX
from seg_perception.model_card import ModelCard, Precision

_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class PreparedGraphs:
    """The graphs an engine needs.

    Attributes:
        fused: image, costs and cells to decisions (see `graph`).
        network: the network with its normalisation only, to be timed by itself.
        stride: input pixels per output pixel of the network.
    """

    fused: onnx.ModelProto
    network: onnx.ModelProto
    stride: int


def load_card(model: Path, card: Path | None) -> ModelCard:
    """Read the model card of `model` and check that it is its card.

    Args:
        model: the ONNX file, or a plan, whose manifest says of which ONNX file it is.
        card: the card; by default the model's name with the suffix .yaml.

    Raises:
        ModelError: the model or its card is missing, or the card describes another file.
        ConfigError: the card has a mistake.
    """
    if not model.is_file():
        raise ModelError(f"{model}: no such model file; check the path.")
    path = card or model.with_suffix(".yaml")
    if not path.is_file():
        raise ModelError(
            f"{model}: its model card {path} is missing; write one with classes, colours, input size and normalisation."
        )
    loaded = ModelCard.load(path)
    if model.suffix != SUFFIX:
        loaded.verify(model)
    return loaded


def prepare(model: Path, card: ModelCard, spec: GraphSpec, precision: Precision = "fp32") -> PreparedGraphs:
    """Read the network, run it once on noise, check what comes out, and build the fused graph.

    Args:
        model: the ONNX file.
        card: its model card.
        spec: shapes and options of the fused graph.
        precision: whose calibration the fused graph applies.

    Raises:
        ModelError: the network cannot be used as the card describes it.
    """
    network = read_network(model, card, spec.batch)
    alone = network_graph(network, card, spec)
    try:
        scores = open_session(alone).run(None, {"image": noise_image(card, spec)})[0]
    except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
        raise ModelError(
            f"{model}: does not run at {card.width}x{card.height} ({_reason(error)}); export it at the model card's "
            "input size, with operators that ONNX Runtime knows."
        ) from None
    stride = check_scores(model, scores, card, spec.batch)
    return PreparedGraphs(fused_graph(network, card, spec, stride, precision), alone, stride)


def noise_image(card: ModelCard, spec: GraphSpec) -> NDArray[np.uint8]:
    """The same noise every time, uint8 [N, H, W, 3]: an image that needs no file."""
    shape = (spec.batch, card.height, card.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def check_scores(model: Path, scores: NDArray[Any], card: ModelCard, batch: int) -> int:
    """Check a network's output against its card.

    Args:
        model: the ONNX file, for the messages.
        scores: what the network gave for an image.
        card: its model card.
        batch: images in the run.

    Returns:
        Input pixels per output pixel, s.

    Raises:
        ModelError: the output is not float32 [batch, K, H / s, W / s] with a whole s, holds numbers that are not
            finite, or is not what the card says (logits or probabilities).
    """
    got = f"{scores.dtype} [{', '.join(map(str, scores.shape))}]"
    classes = len(card.classes)
    if not np.issubdtype(scores.dtype, np.floating) or scores.ndim != 4:
        raise ModelError(
            f"{model}: gives {got}, but must give float32 [images, classes, height, width]; export the network without "
            "the argmax at its end."
        )
    if scores.dtype != np.float32:
        raise ModelError(f"{model}: gives {got}, but must give float32; export it in float32.")
    if scores.shape[1] != classes or scores.shape[0] != batch:
        raise ModelError(
            f"{model}: gives {got}, but {batch} image(s) and the model card's {classes} classes need "
            f"[{batch}, {classes}, height, width]; correct the card's classes or take the card of this network."
        )
    stride = card.height // scores.shape[2] if scores.shape[2] else 0
    if (scores.shape[2] * stride, scores.shape[3] * stride) != (card.height, card.width) or not stride:
        raise ModelError(
            f"{model}: gives {scores.shape[3]}x{scores.shape[2]} logits for a {card.width}x{card.height} image, which "
            "is not the same whole fraction both ways; choose an input size that the network's stride divides."
        )
    if not np.isfinite(scores).all():
        raise ModelError(f"{model}: gives infinite or undefined numbers; its weights are damaged, export it again.")
    within = bool(scores.min() >= 0) and bool(scores.max() <= 1 + _SUM_TOLERANCE)
    are_probabilities = within and bool(np.abs(scores.sum(axis=1) - 1).max() <= _SUM_TOLERANCE)
    if are_probabilities and card.output == "logits":
        raise ModelError(
            f"{model}: gives probabilities (they sum to 1 at every pixel), but the model card says logits; set "
            "'output: probabilities' in the card."
        )
    if not are_probabilities and card.output == "probabilities":
        raise ModelError(
            f"{model}: gives scores that do not sum to 1, but the model card says probabilities; set 'output: logits' "
            "in the card."
        )
    return stride


def _reason(error: Exception) -> str:
    # "[ONNXRuntimeError] : 1 : FAIL : what happened"
    return str(error).strip().split("\n")[0].split(" : ")[-1].rstrip(".")
