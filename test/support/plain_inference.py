"""A plain computation of all engine outputs in float64, and the two implementations it is compared with.

The plain computation interpolates the logits to full resolution, and then takes softmax, C p and argmin there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from support import tiny_networks as tiny

from seg_perception.inference.backends import open_engine
from seg_perception.inference.engine import EngineOutput
from seg_perception.inference.engine_io import engine_output, graph_inputs
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.onnx.session import open_session
from seg_perception.inference.prepared_graphs import load_card, prepare_graphs
from seg_perception.model.card import ModelCard
from seg_perception.model.logit_calibration import LogitCalibration

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PlainResult:
    """Results of the plain computation for one image; images are [H, W]."""

    probabilities: Floats  # [K, H, W]
    labels: NDArray[np.int64]
    most_probable: NDArray[np.int64]
    expected_cost: Floats
    confidence: Floats


def interpolation(short: int, long: int) -> Floats:
    """Weights [short, long] of linear interpolation between pixel centres, constant beyond the outer ones."""
    centres = (np.arange(long) + 0.5) * short / long - 0.5
    return np.stack([np.interp(centres, np.arange(short), row) for row in np.eye(short)])


def plain(
    network: onnx.ModelProto,
    card: ModelCard,
    image: NDArray[np.uint8],
    costs: NDArray[np.float32],
    between: Callable[[int, int], Floats] = interpolation,
) -> PlainResult:
    pixels = image if card.channel_order == "rgb" else image[..., ::-1]
    normalised = (pixels / 255.0 - card.mean) / card.std
    session = onnxruntime.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    logits = session.run(None, {"image": normalised.transpose(2, 0, 1)[None].astype(np.float32)})[0][0]
    if card.output == "probabilities":
        logits = np.log(np.maximum(logits, 1e-30))
    down, across = (between(*lengths) for lengths in zip(logits.shape[1:], (card.height, card.width), strict=True))
    calibration = card.calibration["fp32"]
    scale, bias = (
        np.reshape(part or fill, (-1, 1, 1)) for part, fill in ((calibration.scale, 1.0), (calibration.bias, 0.0))
    )
    relative = logits.astype(np.float64) - logits.max(axis=0)
    scaled = np.einsum("kyx,yr,xc->krc", scale * relative / calibration.temperature + bias, down, across, optimize=True)
    mass = np.exp(scaled - scaled.max(axis=0))
    probabilities = mass / mass.sum(axis=0)
    risks = np.einsum("ck,kyx->cyx", costs.astype(np.float64), probabilities)
    return PlainResult(
        probabilities=probabilities,
        labels=risks[:-1].argmin(axis=0),
        most_probable=probabilities.argmax(axis=0),
        expected_cost=np.minimum(risks[-1], 254),
        confidence=255 * probabilities.max(axis=0),
    )


def random_costs(classes: int, seed: int) -> NDArray[np.float32]:
    """Decision rows with a zero diagonal, and a traverse row of which some entries alone are lethal at 10 %."""
    rng = np.random.default_rng(seed)
    decisions = rng.uniform(1, 20, (classes, classes)) * (1 - np.eye(classes))
    traverse = rng.choice([0.0, 20.0, 120.0, 254.0, 2540.0], classes)
    return np.vstack([decisions, traverse]).astype(np.float32)


def vector_calibration(classes: int, temperature: float) -> LogitCalibration:
    rng = np.random.default_rng(classes)
    scale, bias = rng.uniform(0.5, 1.5, classes), rng.normal(0, 2, classes)
    return LogitCalibration(temperature, tuple(scale.tolist()), tuple(bias.tolist()))


def smooth_images(count: int, width: int, height: int, seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(size=(count, height, width, 3)).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(image, (0, 0), 3) for image in noise])
    return np.clip(128 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def pixel_centres(columns: NDArray[np.int64], rows: NDArray[np.int64], card: ModelCard) -> NDArray[np.float32]:
    x, y = (2 * columns + 1) / card.width - 1, (2 * rows + 1) / card.height - 1
    return np.stack([x, y], axis=-1).astype(np.float32)


def on_cpu(model: Path, spec: GraphSpec, *inputs: Any) -> EngineOutput:
    return open_engine(model, spec, backend="onnx_cpu").run(*inputs)


def in_one_graph(model: Path, spec: GraphSpec, *inputs: Any) -> EngineOutput:
    card = load_card(model, None)
    session = open_session(prepare_graphs(model, card, spec).fused)
    names = [output.name for output in session.get_outputs()]
    return engine_output(card, dict(zip(names, session.run(names, graph_inputs(card, spec, *inputs)), strict=True)))


def run(
    folder: Path,
    network: onnx.ModelProto,
    card: ModelCard,
    images: NDArray[np.uint8],
    costs: NDArray[np.float32],
    sample_points: NDArray[np.float32] | None = None,
    infer: Callable[..., EngineOutput] = on_cpu,
    **options: object,
) -> EngineOutput:
    batch = len(images)
    sample_points = np.zeros((batch, 1, 2), np.float32) if sample_points is None else sample_points
    spec = replace(GraphSpec(sample_points=sample_points.shape[1], batch=batch, logits=True), **options)
    return infer(tiny.save(folder, network, card), spec, images, costs, sample_points)
