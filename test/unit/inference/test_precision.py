"""Precision conversion against float16 and integer arithmetic in numpy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support import tiny_networks as tiny
from support.converted_networks import (
    CARD,
    COSTS,
    IMAGE,
    below_highest,
    constant,
    fused,
    outputs,
    patches,
    producers,
    residual_network,
    weights,
)

from seg_perception.errors import ModelError
from seg_perception.inference.backends import open_engine
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.precision import int8
from seg_perception.inference.precision.convert import convert_precision
from seg_perception.inference.precision.fp16 import emulate_fp16
from seg_perception.inference.precision.network_part import extract_network
from seg_perception.inference.precision.ranges import Histogram, best_range
from seg_perception.model.card import Precision
from seg_perception.model.logit_calibration import LogitCalibration

BLACK_AND_WHITE = np.where(IMAGE[..., :1] < 128, 0, 255).astype(np.uint8).repeat(3, axis=3)
CONVERSIONS = [("fp16", "tensorrt"), ("int8", "tensorrt"), ("int8", "cpu")]


@pytest.mark.parametrize(("precision", "target"), CONVERSIONS)
def test_a_converted_graph_is_valid_and_keeps_its_inputs_and_outputs(
    tmp_path: Path, precision: str, target: str
) -> None:
    plain = fused(tmp_path, residual_network())
    before = plain.SerializeToString()
    converted = convert_precision(plain, precision, [IMAGE], target)
    onnx.checker.check_model(converted, full_check=True)
    assert list(converted.graph.input) == list(plain.graph.input)
    assert list(converted.graph.output) == list(plain.graph.output)
    assert plain.SerializeToString() == before


def test_fp32_is_the_graph_itself(tmp_path: Path) -> None:
    plain = fused(tmp_path, tiny.network())
    assert convert_precision(plain, "fp32") == plain


@pytest.mark.parametrize("rounding", [lambda model: model, emulate_fp16], ids=["as it is", "rounded"])
def test_fp16_equals_numpy_with_float16_weights_inputs_and_scores(tmp_path: Path, rounding: object) -> None:
    network = tiny.network()
    kernel, bias = weights(network)
    halves = [array.astype(np.float16).astype(np.float64) for array in (kernel, patches(IMAGE), bias)]
    exact = np.einsum("kp,pyx->kyx", halves[0], halves[1]) + halves[2][:, None, None]
    expected = below_highest(exact.astype(np.float16).astype(np.float64))
    logits = outputs(rounding(convert_precision(fused(tmp_path, network), "fp16")))["logits"][0]
    # Sums in another order may end on the next float16.
    assert np.abs(logits - expected).max() <= 2 * np.spacing(np.float16(np.abs(exact).max()))
    in_full = np.einsum("kp,pyx->kyx", kernel, patches(IMAGE)) + bias[:, None, None]
    assert np.abs(logits - below_highest(in_full)).max() > 1e-4


def test_in_fp16_only_the_network_is_in_float16(tmp_path: Path) -> None:
    model = convert_precision(fused(tmp_path, residual_network()), "fp16")
    inferred = onnx.shape_inference.infer_shapes(model).graph
    halves = {v.name for v in inferred.value_info if v.type.tensor_type.elem_type == TensorProto.FLOAT16}
    halves |= {item.name for item in model.graph.initializer if item.data_type == TensorProto.FLOAT16}
    assert all(name.startswith("network/") for name in halves)
    for node in model.graph.node:
        inside = node.output[0].startswith("network/") and node.output[0] != "network/image"
        if inside and node.op_type in ("Conv", "Relu", "Add", "Identity"):
            assert halves.issuperset([*node.input, *node.output]), node.output[0]


@pytest.mark.parametrize(("precision", "target"), CONVERSIONS)
def test_calibration_is_computed_in_float32_on_the_scores_of_the_converted_network(
    tmp_path: Path, precision: Precision, target: str
) -> None:
    # Steps of float16 between 16 and 32 are 1/64; these would be lost.
    calibration = LogitCalibration(1.3, (1.0, 0.7, 1.2, 0.9, 1.1), (20.001, 20.002, 19.003, 18.004, 21.005))
    card = replace(CARD, calibration={"fp32": LogitCalibration(), precision: calibration})
    scores = outputs(convert_precision(fused(tmp_path, residual_network()), precision, [IMAGE], target))["logits"][0]
    calibrated = fused(tmp_path, residual_network(), card, precision)
    given = outputs(convert_precision(calibrated, precision, [IMAGE], target))["logits"][0]
    vector = np.array([calibration.scale, calibration.bias])[:, :, None, None]
    np.testing.assert_allclose(below_highest(given), below_highest(vector[0] * scores / 1.3 + vector[1]), atol=1e-4)


def test_a_softmax_in_the_network_stays_in_float32(tmp_path: Path) -> None:
    network = tiny.network(tail=[helper.make_node("Softmax", ["scores"], ["logits"], axis=1)])
    card = tiny.card(output="probabilities")
    model = convert_precision(fused(tmp_path, network, card), "fp16")
    assert producers(model)["network/logits"].op_type == "Softmax"
    types = {v.name: v.type.tensor_type.elem_type for v in onnx.shape_inference.infer_shapes(model).graph.value_info}
    assert types["network/logits"] == TensorProto.FLOAT
    assert np.abs(outputs(model)["sample_probabilities"].sum(axis=-1) - 1).max() < 1e-5


def test_weights_beyond_float16_are_clamped(tmp_path: Path) -> None:
    network = tiny.network(tail=[helper.make_node("Add", ["scores", "mask"], ["logits"])])
    mask = np.array([0, 0, -1e9, 0, 0], np.float32).reshape(1, 5, 1, 1)
    network.graph.initializer.append(numpy_helper.from_array(mask, "mask"))
    model = convert_precision(fused(tmp_path, network), "fp16")
    assert constant(model, "network/mask/fp16").min() == -65504
    given = outputs(emulate_fp16(model))
    assert np.isfinite(given["score_norm"]).all()
    assert given["sample_probabilities"][..., 2].max() < 1e-30


def test_scales_of_a_resize_stay_in_float32_as_onnx_demands(tmp_path: Path) -> None:
    tail = [
        helper.make_node("Resize", ["scores", "", "half"], ["small"], mode="linear"),
        helper.make_node("Resize", ["small", "", "double"], ["logits"], mode="linear"),
    ]
    network = tiny.network(tail=tail)
    for name, factor in (("half", 0.5), ("double", 2.0)):
        network.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, factor, factor], np.float32), name))
    plain = fused(tmp_path, network)
    model = convert_precision(plain, "fp16")
    onnx.checker.check_model(model, full_check=True)
    assert np.abs(outputs(model)["logits"] - outputs(plain)["logits"]).max() < 0.05


@pytest.mark.parametrize(
    ("target", "flags", "largest"),
    [
        ("tensorrt", "sse2 avx2", 127),
        ("cpu", "sse2 avx2 avx512_vnni", 127),
        ("cpu", "sse2 avx2 avx_vnni", 127),
        ("cpu", "fp asimd asimddp", 127),
        ("cpu", "sse2 avx2", 64),  # sums of two products with larger weights would saturate
    ],
)
def test_int8_equals_integer_arithmetic_in_numpy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, flags: str, largest: int
) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n")
    monkeypatch.setattr(int8, "_CPU_INFO", tmp_path / "cpuinfo")
    network = tiny.network()
    model = convert_precision(fused(tmp_path, network), "int8", [BLACK_AND_WHITE], target)
    if target == "tensorrt":
        scale, zero, low, high = 1.2 / 127, 0, -127, 127
    else:
        scale, zero, low, high = 2.0 / 255, 102, 0, 255
    pixels = (np.clip(np.round(patches(IMAGE) / scale) + zero, low, high) - zero) * scale
    kernel, bias = weights(network)
    steps = np.abs(kernel).max(axis=1, keepdims=True) / largest
    expected = np.einsum("kp,pyx->kyx", np.round(kernel / steps) * steps, pixels) + bias[:, None, None]
    np.testing.assert_allclose(outputs(model)["logits"][0], below_highest(expected), atol=2e-4)
    in_full = np.einsum("kp,pyx->kyx", kernel, patches(IMAGE)) + bias[:, None, None]
    assert np.abs(below_highest(expected) - below_highest(in_full)).max() > 1e-2


def test_tensorrt_gets_symmetric_int8_at_the_inputs_of_every_convolution_and_nowhere_else(tmp_path: Path) -> None:
    model = convert_precision(fused(tmp_path, residual_network()), "int8", [IMAGE], "tensorrt")
    by = producers(model)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 4
    for node in convolutions:
        assert by[node.input[0]].op_type == by[node.input[1]].op_type == "DequantizeLinear"
        assert constant(model, by[node.input[1]].input[0]).dtype == np.int8
        assert constant(model, by[node.input[1]].input[1]).shape == (5,)
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = constant(model, node.input[2])
            assert zero.dtype == np.int8 and not zero.any()
    quantised = {node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    assert quantised == {f"network/{name}" for name in ("image", "x", "b", "sum")}
    # The residual branch is added in the kernel of its last convolution, to what is there in int8 already.
    residual, branch = next(node for node in model.graph.node if "network/sum" in node.output).input
    assert by[residual].op_type == "DequantizeLinear" and by[branch].op_type == "Conv"


def test_the_cpu_gets_uint8_after_every_activation_and_scores_in_float32(tmp_path: Path) -> None:
    model = convert_precision(fused(tmp_path, residual_network()), "int8", [IMAGE], "cpu")
    activations = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert {node.input[0] for node in activations} == {f"network/{name}" for name in ("image", "x", "b", "c", "sum")}
    assert all(constant(model, node.input[2]).dtype == np.uint8 for node in activations)
    # Behind a ReLU nothing is negative, so that a backend may leave the ReLU to the rounding.
    after_relu = [node for node in activations if node.input[0] in ("network/x", "network/b")]
    assert [int(constant(model, node.input[2])) for node in after_relu] == [0, 0]


@pytest.mark.parametrize(("precision", "target"), CONVERSIONS)
def test_a_small_network_decides_almost_as_before(tmp_path: Path, precision: str, target: str) -> None:
    plain = fused(tmp_path, residual_network())
    before, after = outputs(plain), outputs(convert_precision(plain, precision, [IMAGE], target))
    assert (before["labels"] == after["labels"]).mean() > 0.97
    assert np.abs(before["sample_probabilities"] - after["sample_probabilities"]).max() < 0.1
    assert len(np.unique(before["labels"])) > 2


def test_a_converted_network_can_be_saved_and_opened(tmp_path: Path) -> None:
    converted = convert_precision(fused(tmp_path, residual_network()), "int8", [IMAGE], "cpu")
    engine = open_engine(tiny.save(tmp_path, extract_network(converted), CARD), GraphSpec(sample_points=1))
    given = engine.run(IMAGE, COSTS, np.zeros((1, 1, 2), np.float32))
    np.testing.assert_array_equal(given.labels, outputs(converted)["labels"])
    np.testing.assert_array_equal(given.expected_cost, outputs(converted)["expected_cost"])


@pytest.mark.parametrize("seed", range(5))
def test_the_clipped_range_has_the_least_squared_error(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(0.5, 1, 5000), rng.uniform(-30, 60, 5)])
    low, high = values.min(), values.max()
    counts, _ = np.histogram(values, 2048, (low, high))

    def error(share: float, symmetric: bool) -> float:
        ends = (-max(high, -low), max(high, -low)) if symmetric else (low, high)
        start, stop = share * ends[0], share * ends[1]
        step = (stop - start) / 255
        return float(((np.clip(np.round(values / step) * step, start, stop) - values) ** 2).mean())

    for symmetric in (False, True):
        chosen = best_range(Histogram(low, high, counts), 255, symmetric)
        assert chosen[0] <= 0 <= chosen[1]
        share = chosen[1] / (max(high, -low) if symmetric else high)
        assert error(share, symmetric) <= 1.05 * min(error(cut, symmetric) for cut in np.linspace(0.2, 1, 161))
        assert share < 1  # five strays do not make everything else coarse


def test_a_value_that_is_always_zero_has_a_nonzero_scale(tmp_path: Path) -> None:
    network = residual_network()
    network.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.full(5, -1e4, np.float32), "bias"))
    for target in ("tensorrt", "cpu"):
        given = outputs(convert_precision(fused(tmp_path, network), "int8", [IMAGE], target))
        assert np.isfinite(given["score_norm"]).all()


def test_int8_needs_images(tmp_path: Path) -> None:
    plain = fused(tmp_path, tiny.network())
    for nothing in (None, []):
        with pytest.raises(ModelError, match=r"int8 needs calibration images.*or use fp16\.$"):
            convert_precision(plain, "int8", nothing)
    assert convert_precision(plain, "int8", iter([IMAGE])) == convert_precision(plain, "int8", [IMAGE])


def test_a_quantised_network_is_refused(tmp_path: Path) -> None:
    once = convert_precision(fused(tmp_path, tiny.network()), "int8", [IMAGE])
    with pytest.raises(ModelError, match="quantised already"):
        convert_precision(once, "int8", [IMAGE])


def test_a_network_without_convolutions_is_refused_with_fp16_as_the_fix(tmp_path: Path) -> None:
    network = tiny.network(stride=1)
    network.graph.node[0].CopyFrom(helper.make_node("Identity", ["image"], ["scores"]))
    with pytest.raises(ModelError, match=r"no convolution with constant float32 weights.*use fp16"):
        convert_precision(fused(tmp_path, network), "int8", [IMAGE])


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_network_with_branches_is_refused_by_name(tmp_path: Path, precision: str) -> None:
    same = helper.make_graph(
        [helper.make_node("Identity", ["scores"], ["out"])],
        "same",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
    )
    branch = helper.make_node("If", ["always"], ["logits"], name="choice", then_branch=same, else_branch=same)
    network = tiny.network(tail=[branch])
    network.graph.initializer.append(numpy_helper.from_array(np.array(True), "always"))
    with pytest.raises(ModelError, match=r"operator If \('network/choice'\).*or use fp32"):
        convert_precision(fused(tmp_path, network), precision, [IMAGE])


def test_weights_written_as_constant_nodes_are_converted_too(tmp_path: Path) -> None:
    network = residual_network()
    kernel = network.graph.initializer[0]
    node = helper.make_node("Constant", [], ["kernel"], value=kernel)
    plain = fused(tmp_path, network)
    del network.graph.initializer[0]
    network.graph.node.insert(0, node)
    moved = fused(tmp_path, network)
    for precision, target in CONVERSIONS:
        before, after = (outputs(convert_precision(graph, precision, [IMAGE], target)) for graph in (plain, moved))
        np.testing.assert_array_equal(before["expected_cost"], after["expected_cost"])
        np.testing.assert_array_equal(before["labels"], after["labels"])


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_tensorrt_takes_the_graph_as_a_strongly_typed_network(tmp_path: Path, precision: str) -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="the TensorRT-RTX parser is not installed")
    flags = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0 if flags is None else 1 << int(flags))
    parser = trt.OnnxParser(network, logger)
    model = convert_precision(fused(tmp_path, residual_network()), precision, [IMAGE])
    assert parser.parse(model.SerializeToString()), [parser.get_error(i).desc() for i in range(parser.num_errors)]
    assert builder.build_serialized_network(network, builder.create_builder_config()) is not None
