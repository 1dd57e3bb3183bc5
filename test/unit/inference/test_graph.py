"""The fused graph, and what stands for it on the CPU, against a plain computation in float64.

That one interpolates to full resolution, and then takes softmax, C p and argmin there.
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
import pytest
from numpy.typing import NDArray
from onnx import helper
from support import tiny_networks as tiny

from seg_perception.inference.backends import open_engine
from seg_perception.inference.engine import EngineOutput
from seg_perception.inference.engine_io import inputs_of, output_of
from seg_perception.inference.onnx.graph import GraphSpec, fused_graph
from seg_perception.inference.onnx.model_import import read_network
from seg_perception.inference.onnx.session import open_session
from seg_perception.inference.prepared_graphs import load_card, prepare
from seg_perception.model.card import ModelCard
from seg_perception.model.logit_calibration import LogitScaling
from seg_perception.utils.visualization import most_probable

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Plain:
    """What the plain computation gives for one image; images are [H, W]."""

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
) -> Plain:
    pixels = image if card.channel_order == "rgb" else image[..., ::-1]
    normalised = (pixels / 255.0 - card.mean) / card.std
    session = onnxruntime.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    logits = session.run(None, {"image": normalised.transpose(2, 0, 1)[None].astype(np.float32)})[0][0]
    if card.output == "probabilities":
        logits = np.log(np.maximum(logits, 1e-30))
    down, across = (between(*lengths) for lengths in zip(logits.shape[1:], (card.height, card.width), strict=True))
    scaling = card.calibration["fp32"]
    scale, bias = (np.reshape(part or fill, (-1, 1, 1)) for part, fill in ((scaling.scale, 1.0), (scaling.bias, 0.0)))
    relative = logits.astype(np.float64) - logits.max(axis=0)
    scaled = np.einsum("kyx,yr,xc->krc", scale * relative / scaling.temperature + bias, down, across, optimize=True)
    mass = np.exp(scaled - scaled.max(axis=0))
    probabilities = mass / mass.sum(axis=0)
    risks = np.einsum("ck,kyx->cyx", costs.astype(np.float64), probabilities)
    return Plain(
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


def vector_scaling(classes: int, temperature: float) -> LogitScaling:
    rng = np.random.default_rng(classes)
    scale, bias = rng.uniform(0.5, 1.5, classes), rng.normal(0, 2, classes)
    return LogitScaling(temperature, tuple(scale.tolist()), tuple(bias.tolist()))


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
    session = open_session(prepare(model, card, spec).fused)
    names = [output.name for output in session.get_outputs()]
    return output_of(card, dict(zip(names, session.run(names, inputs_of(card, spec, *inputs)), strict=True)))


def run(
    folder: Path,
    network: onnx.ModelProto,
    card: ModelCard,
    images: NDArray[np.uint8],
    costs: NDArray[np.float32],
    cells: NDArray[np.float32] | None = None,
    way: Callable[..., EngineOutput] = on_cpu,
    **options: object,
) -> EngineOutput:
    batch = len(images)
    cells = np.zeros((batch, 1, 2), np.float32) if cells is None else cells
    spec = replace(GraphSpec(cells=cells.shape[1], batch=batch, logits=True), **options)
    return way(tiny.save(folder, network, card), spec, images, costs, cells)


both_ways = pytest.mark.parametrize("way", [on_cpu, in_one_graph])


@both_ways
@pytest.mark.parametrize(
    ("stride", "classes", "order", "scaling", "seed"),
    [
        (1, 2, "rgb", LogitScaling(1.0), 0),
        (2, 5, "bgr", LogitScaling(1.7), 1),
        (3, 7, "rgb", LogitScaling(0.8), 2),
        (4, 12, "rgb", LogitScaling(1.3), 3),
        (4, 12, "bgr", LogitScaling(2.5), 4),
        (5, 3, "bgr", LogitScaling(1.0), 5),
        (8, 20, "rgb", LogitScaling(0.6), 6),
        (16, 4, "rgb", LogitScaling(1.0), 7),
        (4, 12, "rgb", vector_scaling(12, 1.3), 3),
        (8, 6, "bgr", vector_scaling(6, 0.7), 8),
    ],
)
def test_every_output_is_that_of_the_plain_computation(
    tmp_path: Path,
    stride: int,
    classes: int,
    order: str,
    scaling: LogitScaling,
    seed: int,
    way: Callable[..., EngineOutput],
) -> None:
    width, height = 240, 3 * 80
    network = tiny.network(classes, stride, width, height, seed=seed, gain=3.0)
    card = tiny.card(classes, width, height, channel_order=order, calibration={"fp32": scaling})
    images = smooth_images(1, width, height, seed)
    costs = random_costs(classes, seed)
    rng = np.random.default_rng(seed)
    columns, rows = rng.integers(0, width, 500), rng.integers(0, height, 500)
    columns[:4], rows[:4] = (0, 0, width - 1, width - 1), (0, height - 1, 0, height - 1)

    output = run(tmp_path, network, card, images, costs, pixel_centres(columns, rows, card)[None], way=way)
    expected = plain(network, card, images[0], costs)

    assert output.labels.dtype == output.confidence.dtype == output.expected_cost.dtype == np.uint8
    assert (output.labels[0] == expected.labels).mean() >= 0.999
    assert output.logits is not None
    assert (most_probable(output.logits[0], width, height) == expected.most_probable).mean() >= 0.999
    assert np.abs(output.expected_cost[0] - expected.expected_cost).max() <= 1
    assert np.abs(output.confidence[0] - expected.confidence).max() <= 1
    np.testing.assert_allclose(output.cell_probabilities[0], expected.probabilities[:, rows, columns].T, atol=1e-4)
    # The comparison means something only where several classes and costs occur.
    assert len(np.unique(expected.labels)) > 1
    assert np.ptp(expected.expected_cost) > 50


@both_ways
def test_each_image_of_a_batch_is_treated_as_if_it_came_alone(tmp_path: Path, way: Callable[..., EngineOutput]) -> None:
    network = tiny.network(batch="N")
    card, costs = tiny.card(), random_costs(5, 0)
    images = smooth_images(3, 64, 48, 0)
    cells = np.random.default_rng(0).uniform(-1, 1, (3, 50, 2)).astype(np.float32)
    together = run(tmp_path, network, card, images, costs, cells, way=way)
    for index in range(3):
        alone = run(tmp_path, network, card, images[index : index + 1], costs, cells[index : index + 1], way=way)
        np.testing.assert_array_equal(together.labels[index], alone.labels[0])
        np.testing.assert_array_equal(together.expected_cost[index], alone.expected_cost[0])
        np.testing.assert_array_equal(together.confidence[index], alone.confidence[0])
        np.testing.assert_allclose(together.cell_probabilities[index], alone.cell_probabilities[0], atol=1e-6)


@both_ways
def test_native_resolution_decides_at_the_logits_own_pixels(tmp_path: Path, way: Callable[..., EngineOutput]) -> None:
    network, card, costs = tiny.network(stride=4), tiny.card(), random_costs(5, 1)
    images = smooth_images(1, 64, 48, 1)
    columns, rows = np.meshgrid(np.arange(16), np.arange(12))
    centres = np.stack([(2 * columns + 1) / 16 - 1, (2 * rows + 1) / 12 - 1], axis=-1).reshape(1, -1, 2)
    output = run(tmp_path, network, card, images, costs, centres.astype(np.float32), resolution="native", way=way)
    assert output.labels.shape == output.confidence.shape == output.expected_cost.shape == (1, 12, 16)
    risks = output.cell_probabilities[0] @ costs.T
    np.testing.assert_array_equal(output.labels.ravel(), risks[:, :-1].argmin(axis=1))
    assert np.abs(output.expected_cost.ravel() - np.minimum(risks[:, -1], 254)).max() <= 0.51


def test_images_may_come_in_either_channel_order(tmp_path: Path) -> None:
    network, card, costs = tiny.network(), tiny.card(channel_order="bgr"), random_costs(5, 2)
    images = smooth_images(1, 64, 48, 2)
    as_rgb = run(tmp_path, network, card, images, costs, image_order="rgb")
    as_bgr = run(tmp_path, network, card, np.ascontiguousarray(images[..., ::-1]), costs, image_order="bgr")
    np.testing.assert_array_equal(as_rgb.expected_cost, as_bgr.expected_cost)
    np.testing.assert_array_equal(as_rgb.cell_probabilities, as_bgr.cell_probabilities)


@both_ways
@pytest.mark.parametrize("scaling", [LogitScaling(1.5), vector_scaling(5, 1.5)], ids=["temperature", "vector"])
def test_probabilities_give_what_their_logits_give(
    tmp_path: Path, scaling: LogitScaling, way: Callable[..., EngineOutput]
) -> None:
    softmax = [helper.make_node("Softmax", ["scores"], ["logits"], axis=1)]
    costs, images = random_costs(5, 3), smooth_images(1, 64, 48, 3)
    from_logits = run(tmp_path, tiny.network(), tiny.card(calibration={"fp32": scaling}), images, costs, way=way)
    card = tiny.card(calibration={"fp32": scaling}, output="probabilities")
    from_probabilities = run(tmp_path, tiny.network(tail=softmax), card, images, costs, way=way)
    assert (from_logits.labels == from_probabilities.labels).mean() >= 0.999
    np.testing.assert_allclose(from_logits.cell_probabilities, from_probabilities.cell_probabilities, atol=1e-4)
    difference = from_logits.expected_cost.astype(int) - from_probabilities.expected_cost
    assert np.abs(difference).max() <= 1


def test_a_network_as_its_file_is_gets_the_calibration_of_fp32_and_a_converted_one_its_own(tmp_path: Path) -> None:
    costs, images = random_costs(5, 3), smooth_images(1, 64, 48, 3)
    fp32, fp16 = LogitScaling(1.5), vector_scaling(5, 2.5)
    given = run(tmp_path, tiny.network(), tiny.card(calibration={"fp32": fp32, "fp16": fp16}), images, costs)
    alone = run(tmp_path, tiny.network(), tiny.card(calibration={"fp32": fp32}), images, costs)
    np.testing.assert_array_equal(given.cell_probabilities, alone.cell_probabilities)

    card, spec = tiny.card(calibration={"fp32": fp32, "fp16": fp16}), GraphSpec(cells=1)
    # Asked for fp16, ONNX Runtime still computes in the types of the file.
    engine = open_engine(tiny.save(tmp_path, tiny.network(), card), spec, backend="onnx_cpu", precision="fp16")
    again = engine.run(images, costs, np.zeros((1, 1, 2), np.float32))
    np.testing.assert_array_equal(again.cell_probabilities, alone.cell_probabilities)

    network = read_network(tmp_path / "tiny.onnx", card, batch=1)
    as_fp16 = fused_graph(network, card, spec, 4, "fp16")
    assert as_fp16 == fused_graph(network, tiny.card(calibration={"fp32": fp16}), spec, 4)
    # Where int8 was not calibrated, fp32's is the nearest that is known.
    assert fused_graph(network, card, spec, 4, "int8") == fused_graph(network, card, spec, 4) != as_fp16


def test_with_equal_costs_for_every_mistake_the_decision_is_the_most_probable_class(tmp_path: Path) -> None:
    costs = np.vstack([1 - np.eye(5), np.zeros(5)]).astype(np.float32)
    output = run(tmp_path, tiny.network(), tiny.card(), smooth_images(1, 64, 48, 4), costs)
    assert output.logits is not None
    assert (output.labels[0] == most_probable(output.logits[0], 64, 48)).mean() >= 0.999


def test_new_costs_change_the_decision_of_the_same_engine(tmp_path: Path) -> None:
    engine = open_engine(tiny.save(tmp_path, tiny.network(), tiny.card()), GraphSpec(cells=1))
    images, cells = smooth_images(1, 64, 48, 5), np.zeros((1, 1, 2), np.float32)
    for favourite in range(5):
        costs = np.full((6, 5), 10, np.float32)
        costs[favourite] = 1
        costs[5] = 40 * favourite
        output = engine.run(images, costs, cells)
        assert (output.labels == favourite).all()
        assert (output.expected_cost == 40 * favourite).all()


@both_ways
def test_logits_of_any_size_give_whole_decisions(tmp_path: Path, way: Callable[..., EngineOutput]) -> None:
    # Differences of thousands: every exp() in float32 overflows or vanishes unless the graph prevents it.
    network, card, costs = tiny.network(gain=2000.0), tiny.card(), random_costs(5, 6)
    costs[-1] = (254, 2540, 254, 300, 1000)
    output = run(tmp_path, network, card, smooth_images(1, 64, 48, 6), costs, np.zeros((1, 9, 2), np.float32), way=way)
    assert (output.expected_cost == 254).all()
    assert (output.confidence >= 255 // 5).all()
    np.testing.assert_allclose(output.cell_probabilities.sum(axis=-1), 1, atol=1e-5)


@both_ways
def test_samples_beyond_the_image_are_those_of_its_edge(tmp_path: Path, way: Callable[..., EngineOutput]) -> None:
    inside = np.array([[[-1, -1], [1, 1], [1, 0.2], [-0.3, -1]]], np.float32)
    outside = np.array([[[-3, -9], [1.5, 2], [40, 0.2], [-0.3, -1.01]]], np.float32)
    network, card, costs, images = tiny.network(), tiny.card(), random_costs(5, 7), smooth_images(1, 64, 48, 7)
    at_edge = run(tmp_path, network, card, images, costs, inside, way=way).cell_probabilities
    beyond = run(tmp_path, network, card, images, costs, outside, way=way).cell_probabilities
    np.testing.assert_allclose(beyond, at_edge, atol=1e-6)


@both_ways
def test_a_single_row_of_logits_is_enough(tmp_path: Path, way: Callable[..., EngineOutput]) -> None:
    network, card, costs = tiny.network(stride=16, width=64, height=16), tiny.card(height=16), random_costs(5, 8)
    images = smooth_images(1, 64, 16, 8)
    columns, rows = np.arange(64), np.full(64, 5)
    output = run(tmp_path, network, card, images, costs, pixel_centres(columns, rows, card)[None], way=way)
    expected = plain(network, card, images[0], costs)
    assert (output.labels[0] == expected.labels).mean() >= 0.999
    np.testing.assert_allclose(output.cell_probabilities[0], expected.probabilities[:, 5].T, atol=1e-4)


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 20, 22])
def test_networks_of_older_and_newer_opsets_are_taken(tmp_path: Path, opset: int) -> None:
    costs, images = random_costs(5, 9), smooth_images(1, 64, 48, 9)
    output = run(tmp_path, tiny.network(opset=opset), tiny.card(), images, costs)
    expected = plain(tiny.network(), tiny.card(), images[0], costs)
    assert (output.labels[0] == expected.labels).mean() >= 0.999


def test_the_graph_is_valid_onnx_with_every_shape_fixed_and_no_name_of_the_network_in_the_way(tmp_path: Path) -> None:
    # A network that calls its own values what the fused graph calls its inputs and outputs.
    tail = [
        helper.make_node("Relu", ["scores"], ["labels"]),
        helper.make_node("Neg", ["labels"], ["costs"]),
        helper.make_node("Identity", ["costs"], ["logits"]),
    ]
    card, spec = tiny.card(), GraphSpec(cells=7, batch=2)
    path = tmp_path / "tiny.onnx"
    onnx.save(tiny.network(batch="N", width="W", height="H", tail=tail), path)
    model = fused_graph(read_network(path, card, batch=2), card, spec, stride=4)
    onnx.checker.check_model(model, full_check=True)

    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    for value in [*inferred.value_info, *inferred.input, *inferred.output]:
        assert all(axis.HasField("dim_value") for axis in value.type.tensor_type.shape.dim), value.name
    shapes = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in [*model.graph.input, *model.graph.output]
    }
    assert shapes == {
        "image": [2, 48, 64, 3],
        "costs": [6, 5],
        "cells": [2, 7, 2],
        "labels": [2, 48, 64],
        "confidence": [2, 48, 64],
        "expected_cost": [2, 48, 64],
        "cell_probabilities": [2, 7, 5],
        "score_size": [2],
    }


def test_uint8_meets_nothing_but_casts_as_tensorrt_demands(tmp_path: Path) -> None:
    card = tiny.card()
    path = tmp_path / "tiny.onnx"
    onnx.save(tiny.network(), path)
    graph = fused_graph(read_network(path, card, batch=1), card, GraphSpec(cells=1), stride=4).graph
    assert {node.op_type for node in graph.node if "image" in node.input} == {"Cast"}
    uint8 = onnx.TensorProto.UINT8
    casts = {node.output[0] for node in graph.node for item in node.attribute if item.name == "to" and item.i == uint8}
    assert casts == {"labels", "confidence", "expected_cost"}
