"""From a model file to graphs that run: read the network, run it once, check its output, build the fused graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from seg_perception.errors import ModelError
from seg_perception.inference.onnx.graph import GraphSpec, fused_graph, network_graph
from seg_perception.inference.onnx.model_import import read_network
from seg_perception.inference.onnx.output_layout import classify_scores, detect_layout, to_standard_layout
from seg_perception.inference.onnx.session import open_session
from seg_perception.inference.tensorrt.plan import SUFFIX
from seg_perception.model.card import ModelCard, Precision

_EVIDENCE = {"logits": "they are no probabilities that sum to 1", "probabilities": "from 0 to 1, they sum to 1"}


@dataclass(frozen=True)
class PreparedGraphs:
    """The graphs an engine needs.

    Attributes:
        fused: from image, costs and sample points to decisions (see `onnx.graph`).
        network: normalisation and network only; engines time it alone.
        stride: input pixels per output pixel of the network.
    """

    fused: onnx.ModelProto
    network: onnx.ModelProto
    stride: int


def load_card(model: Path, card: Path | None) -> ModelCard:
    """Read the model card of `model`, and check its sha256 against the file.

    Args:
        model: the ONNX file, or a plan. A plan is checked later: its manifest names its ONNX file.
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
            f"{model}: its model card {path} is missing; write one with: seg-perception card {model} --classes …"
        )
    loaded = ModelCard.load(path)
    if model.suffix != SUFFIX:
        loaded.verify(model)
    return loaded


def prepare_graphs(model: Path, card: ModelCard, spec: GraphSpec, precision: Precision = "fp32") -> PreparedGraphs:
    """Read the network, run it once on noise, check its output, and build the fused graph.

    Args:
        model: the ONNX file.
        card: its model card.
        spec: shapes and options of the fused graph.
        precision: selects the calibration that the fused graph applies.

    Raises:
        ModelError: the network cannot be used as the card describes it.
    """
    network, scores = _first_run(model, card, spec)
    layout = detect_layout(model, network, scores, card, spec.batch)
    kind = classify_scores(model, network, scores, layout)
    if kind != card.output:
        raise ModelError(
            f"{model}: gives {kind} ({_EVIDENCE[kind]}), but the model card says {card.output}; set 'output: {kind}' "
            "in the card."
        )
    stride = to_standard_layout(network, layout, card, spec.batch)
    return PreparedGraphs(
        fused_graph(network, card, spec, stride, precision), network_graph(network, card, spec), stride
    )


def detect_output_kind(model: Path, card: ModelCard) -> Literal["logits", "probabilities"]:
    """Find out whether a network outputs logits or probabilities; the card's `output` is not used.

    Args:
        model: the ONNX file.
        card: its model card so far.

    Raises:
        ModelError: the network cannot be used with the card's classes and size.
    """
    spec = GraphSpec(sample_points=1)
    network, scores = _first_run(model, card, spec)
    return classify_scores(model, network, scores, detect_layout(model, network, scores, card, spec.batch))


def noise_image(card: ModelCard, spec: GraphSpec) -> NDArray[np.uint8]:
    """Reproducible noise, uint8 [N, H, W, 3], for test runs and timing."""
    shape = (spec.batch, card.height, card.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _first_run(model: Path, card: ModelCard, spec: GraphSpec) -> tuple[onnx.ModelProto, NDArray[Any]]:
    """Read the network and run it once on noise; returns the network and its output."""
    network = read_network(model, card, spec.batch)
    try:
        scores = open_session(network_graph(network, card, spec)).run(None, {"image": noise_image(card, spec)})[0]
    except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
        raise ModelError(
            f"{model}: does not run at {card.width}x{card.height} ({_reason(error)}); export it at the model card's "
            "input size, with operators that ONNX Runtime knows."
        ) from None
    return network, scores


def _reason(error: Exception) -> str:
    # "[ONNXRuntimeError] : 1 : FAIL : what happened"
    return str(error).strip().split("\n")[0].split(" : ")[-1].rstrip(".")
