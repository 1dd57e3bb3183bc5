"""The fused graph, and its replacement on the CPU, against a plain computation in float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from support import tiny_networks as tiny
from support.plain_inference import (
    in_one_graph,
    on_cpu,
    pixel_centres,
    plain,
    random_costs,
    run,
    smooth_images,
    vector_calibration,
)

from seg_perception.inference.backends import open_engine
from seg_perception.inference.engine import EngineOutput
from seg_perception.inference.onnx.graph import GraphSpec, fused_graph
from seg_perception.inference.onnx.model_import import read_network
from seg_perception.model.logit_calibration import LogitCalibration
from seg_perception.utils.visualization import most_probable

both_implementations = pytest.mark.parametrize("infer", [on_cpu, in_one_graph])


@pytest.mark.slow
@both_implementations
@pytest.mark.parametrize(
    ("stride", "classes", "order", "calibration", "seed"),
    [
        (1, 2, "rgb", LogitCalibration(1.0), 0),
        (2, 5, "bgr", LogitCalibration(1.7), 1),
        (3, 7, "rgb", LogitCalibration(0.8), 2),
        (4, 12, "rgb", LogitCalibration(1.3), 3),
        (4, 12, "bgr", LogitCalibration(2.5), 4),
        (5, 3, "bgr", LogitCalibration(1.0), 5),
        (8, 20, "rgb", LogitCalibration(0.6), 6),
        (16, 4, "rgb", LogitCalibration(1.0), 7),
        (4, 12, "rgb", vector_calibration(12, 1.3), 3),
        (8, 6, "bgr", vector_calibration(6, 0.7), 8),
    ],
)
def test_every_output_equals_the_plain_computation(
    tmp_path: Path,
    stride: int,
    classes: int,
    order: str,
    calibration: LogitCalibration,
    seed: int,
    infer: Callable[..., EngineOutput],
) -> None:
    width, height = 240, 3 * 80
    network = tiny.network(classes, stride, width, height, seed=seed, gain=3.0)
    card = tiny.card(classes, width, height, channel_order=order, calibration={"fp32": calibration})
    images = smooth_images(1, width, height, seed)
    costs = random_costs(classes, seed)
    rng = np.random.default_rng(seed)
    columns, rows = rng.integers(0, width, 500), rng.integers(0, height, 500)
    columns[:4], rows[:4] = (0, 0, width - 1, width - 1), (0, height - 1, 0, height - 1)

    output = run(tmp_path, network, card, images, costs, pixel_centres(columns, rows, card)[None], infer=infer)
    expected = plain(network, card, images[0], costs)

    assert output.labels.dtype == output.confidence.dtype == output.expected_cost.dtype == np.uint8
    assert (output.labels[0] == expected.labels).mean() >= 0.999
    assert output.logits is not None
    assert (most_probable(output.logits[0], width, height) == expected.most_probable).mean() >= 0.999
    assert np.abs(output.expected_cost[0] - expected.expected_cost).max() <= 1
    assert np.abs(output.confidence[0] - expected.confidence).max() <= 1
    np.testing.assert_allclose(output.sample_probabilities[0], expected.probabilities[:, rows, columns].T, atol=1e-4)
    # The comparison means something only where several classes and costs occur.
    assert len(np.unique(expected.labels)) > 1
    assert np.ptp(expected.expected_cost) > 50


@both_implementations
def test_images_of_a_batch_do_not_affect_each_other(tmp_path: Path, infer: Callable[..., EngineOutput]) -> None:
    network = tiny.network(batch="N")
    card, costs = tiny.card(), random_costs(5, 0)
    images = smooth_images(3, 64, 48, 0)
    sample_points = np.random.default_rng(0).uniform(-1, 1, (3, 50, 2)).astype(np.float32)
    together = run(tmp_path, network, card, images, costs, sample_points, infer=infer)
    for index in range(3):
        alone = run(
            tmp_path,
            network,
            card,
            images[index : index + 1],
            costs,
            sample_points[index : index + 1],
            infer=infer,
        )
        np.testing.assert_array_equal(together.labels[index], alone.labels[0])
        np.testing.assert_array_equal(together.expected_cost[index], alone.expected_cost[0])
        np.testing.assert_array_equal(together.confidence[index], alone.confidence[0])
        np.testing.assert_allclose(together.sample_probabilities[index], alone.sample_probabilities[0], atol=1e-6)


@both_implementations
def test_native_resolution_decides_at_the_pixels_of_the_logits(
    tmp_path: Path, infer: Callable[..., EngineOutput]
) -> None:
    network, card, costs = tiny.network(stride=4), tiny.card(), random_costs(5, 1)
    images = smooth_images(1, 64, 48, 1)
    columns, rows = np.meshgrid(np.arange(16), np.arange(12))
    centres = np.stack([(2 * columns + 1) / 16 - 1, (2 * rows + 1) / 12 - 1], axis=-1).reshape(1, -1, 2)
    output = run(
        tmp_path,
        network,
        card,
        images,
        costs,
        centres.astype(np.float32),
        resolution="native",
        infer=infer,
    )
    assert output.labels.shape == output.confidence.shape == output.expected_cost.shape == (1, 12, 16)
    risks = output.sample_probabilities[0] @ costs.T
    np.testing.assert_array_equal(output.labels.ravel(), risks[:, :-1].argmin(axis=1))
    assert np.abs(output.expected_cost.ravel() - np.minimum(risks[:, -1], 254)).max() <= 0.51


def test_images_may_come_in_either_channel_order(tmp_path: Path) -> None:
    network, card, costs = tiny.network(), tiny.card(channel_order="bgr"), random_costs(5, 2)
    images = smooth_images(1, 64, 48, 2)
    as_rgb = run(tmp_path, network, card, images, costs, image_order="rgb")
    as_bgr = run(tmp_path, network, card, np.ascontiguousarray(images[..., ::-1]), costs, image_order="bgr")
    np.testing.assert_array_equal(as_rgb.expected_cost, as_bgr.expected_cost)
    np.testing.assert_array_equal(as_rgb.sample_probabilities, as_bgr.sample_probabilities)


@both_implementations
@pytest.mark.parametrize(
    "calibration", [LogitCalibration(1.5), vector_calibration(5, 1.5)], ids=["temperature", "vector"]
)
def test_probabilities_and_their_logits_give_the_same_results(
    tmp_path: Path, calibration: LogitCalibration, infer: Callable[..., EngineOutput]
) -> None:
    softmax = [helper.make_node("Softmax", ["scores"], ["logits"], axis=1)]
    costs, images = random_costs(5, 3), smooth_images(1, 64, 48, 3)
    from_logits = run(
        tmp_path,
        tiny.network(),
        tiny.card(calibration={"fp32": calibration}),
        images,
        costs,
        infer=infer,
    )
    card = tiny.card(calibration={"fp32": calibration}, output="probabilities")
    from_probabilities = run(tmp_path, tiny.network(tail=softmax), card, images, costs, infer=infer)
    assert (from_logits.labels == from_probabilities.labels).mean() >= 0.999
    np.testing.assert_allclose(from_logits.sample_probabilities, from_probabilities.sample_probabilities, atol=1e-4)
    difference = from_logits.expected_cost.astype(int) - from_probabilities.expected_cost
    assert np.abs(difference).max() <= 1


def test_the_calibration_applied_is_that_of_the_precision_computed_in(tmp_path: Path) -> None:
    costs, images = random_costs(5, 3), smooth_images(1, 64, 48, 3)
    fp32, fp16 = LogitCalibration(1.5), vector_calibration(5, 2.5)
    given = run(tmp_path, tiny.network(), tiny.card(calibration={"fp32": fp32, "fp16": fp16}), images, costs)
    alone = run(tmp_path, tiny.network(), tiny.card(calibration={"fp32": fp32}), images, costs)
    np.testing.assert_array_equal(given.sample_probabilities, alone.sample_probabilities)

    card, spec = tiny.card(calibration={"fp32": fp32, "fp16": fp16}), GraphSpec(sample_points=1)
    # Asked for fp16, ONNX Runtime still computes in the types of the file.
    engine = open_engine(tiny.save(tmp_path, tiny.network(), card), spec, backend="onnx_cpu", precision="fp16")
    again = engine.run(images, costs, np.zeros((1, 1, 2), np.float32))
    np.testing.assert_array_equal(again.sample_probabilities, alone.sample_probabilities)

    network = read_network(tmp_path / "tiny.onnx", card, batch=1)
    as_fp16 = fused_graph(network, card, spec, 4, "fp16")
    assert as_fp16 == fused_graph(network, tiny.card(calibration={"fp32": fp16}), spec, 4)
    # Where int8 was not calibrated, fp32's is the nearest that is known.
    assert fused_graph(network, card, spec, 4, "int8") == fused_graph(network, card, spec, 4) != as_fp16


def test_with_equal_costs_of_all_mistakes_the_decision_is_the_most_probable_class(tmp_path: Path) -> None:
    costs = np.vstack([1 - np.eye(5), np.zeros(5)]).astype(np.float32)
    output = run(tmp_path, tiny.network(), tiny.card(), smooth_images(1, 64, 48, 4), costs)
    assert output.logits is not None
    assert (output.labels[0] == most_probable(output.logits[0], 64, 48)).mean() >= 0.999


def test_new_costs_change_the_decision_of_the_same_engine(tmp_path: Path) -> None:
    engine = open_engine(tiny.save(tmp_path, tiny.network(), tiny.card()), GraphSpec(sample_points=1))
    images, sample_points = smooth_images(1, 64, 48, 5), np.zeros((1, 1, 2), np.float32)
    for favourite in range(5):
        costs = np.full((6, 5), 10, np.float32)
        costs[favourite] = 1
        costs[5] = 40 * favourite
        output = engine.run(images, costs, sample_points)
        assert (output.labels == favourite).all()
        assert (output.expected_cost == 40 * favourite).all()


@both_implementations
def test_very_large_logits_give_finite_results(tmp_path: Path, infer: Callable[..., EngineOutput]) -> None:
    # Differences of thousands: every exp() in float32 overflows or vanishes unless the graph prevents it.
    network, card, costs = tiny.network(gain=2000.0), tiny.card(), random_costs(5, 6)
    costs[-1] = (254, 2540, 254, 300, 1000)
    output = run(
        tmp_path,
        network,
        card,
        smooth_images(1, 64, 48, 6),
        costs,
        np.zeros((1, 9, 2), np.float32),
        infer=infer,
    )
    assert (output.expected_cost == 254).all()
    assert (output.confidence >= 255 // 5).all()
    np.testing.assert_allclose(output.sample_probabilities.sum(axis=-1), 1, atol=1e-5)


@both_implementations
def test_sample_points_beyond_the_image_get_the_values_of_its_edge(
    tmp_path: Path, infer: Callable[..., EngineOutput]
) -> None:
    inside = np.array([[[-1, -1], [1, 1], [1, 0.2], [-0.3, -1]]], np.float32)
    outside = np.array([[[-3, -9], [1.5, 2], [40, 0.2], [-0.3, -1.01]]], np.float32)
    network, card, costs, images = tiny.network(), tiny.card(), random_costs(5, 7), smooth_images(1, 64, 48, 7)
    at_edge = run(tmp_path, network, card, images, costs, inside, infer=infer).sample_probabilities
    beyond = run(tmp_path, network, card, images, costs, outside, infer=infer).sample_probabilities
    np.testing.assert_allclose(beyond, at_edge, atol=1e-6)


@both_implementations
def test_a_single_row_of_logits_is_enough(tmp_path: Path, infer: Callable[..., EngineOutput]) -> None:
    network, card, costs = tiny.network(stride=16, width=64, height=16), tiny.card(height=16), random_costs(5, 8)
    images = smooth_images(1, 64, 16, 8)
    columns, rows = np.arange(64), np.full(64, 5)
    output = run(tmp_path, network, card, images, costs, pixel_centres(columns, rows, card)[None], infer=infer)
    expected = plain(network, card, images[0], costs)
    assert (output.labels[0] == expected.labels).mean() >= 0.999
    np.testing.assert_allclose(output.sample_probabilities[0], expected.probabilities[:, 5].T, atol=1e-4)


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 20, 22])
def test_networks_of_older_and_newer_opsets_are_accepted(tmp_path: Path, opset: int) -> None:
    costs, images = random_costs(5, 9), smooth_images(1, 64, 48, 9)
    output = run(tmp_path, tiny.network(opset=opset), tiny.card(), images, costs)
    expected = plain(tiny.network(), tiny.card(), images[0], costs)
    assert (output.labels[0] == expected.labels).mean() >= 0.999


def test_the_graph_is_valid_onnx_with_fixed_shapes_and_without_name_clashes(tmp_path: Path) -> None:
    # A network that calls its own values what the fused graph calls its inputs and outputs.
    tail = [
        helper.make_node("Relu", ["scores"], ["labels"]),
        helper.make_node("Neg", ["labels"], ["costs"]),
        helper.make_node("Identity", ["costs"], ["logits"]),
    ]
    card, spec = tiny.card(), GraphSpec(sample_points=7, batch=2)
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
        "sample_points": [2, 7, 2],
        "labels": [2, 48, 64],
        "confidence": [2, 48, 64],
        "expected_cost": [2, 48, 64],
        "sample_probabilities": [2, 7, 5],
        "score_norm": [2],
    }


def test_uint8_is_read_and_written_by_casts_only_as_tensorrt_demands(tmp_path: Path) -> None:
    card = tiny.card()
    path = tmp_path / "tiny.onnx"
    onnx.save(tiny.network(), path)
    graph = fused_graph(read_network(path, card, batch=1), card, GraphSpec(sample_points=1), stride=4).graph
    assert {node.op_type for node in graph.node if "image" in node.input} == {"Cast"}
    uint8 = onnx.TensorProto.UINT8
    casts = {node.output[0] for node in graph.node for item in node.attribute if item.name == "to" and item.i == uint8}
    assert casts == {"labels", "confidence", "expected_cost"}
