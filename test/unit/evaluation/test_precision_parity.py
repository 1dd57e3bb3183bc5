"""Precision parity: the figures against plain loops, the limits, and the shipped network."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from support import tiny_networks as tiny

from seg_perception.errors import ModelError
from seg_perception.evaluation.network.precision_parity import (
    Batch,
    broken_limit,
    compare,
    table,
)
from seg_perception.inference.onnx.graph import GraphSpec, fused_graph
from seg_perception.inference.onnx.model_import import read_network
from seg_perception.inference.precision.convert import convert_precision
from seg_perception.inference.precision.parity import PrecisionParity
from seg_perception.inference.prepared_graphs import load_card, prepare_graphs
from seg_perception.risk.uniform_costs import uniform_costs
from seg_perception.utils.package_files import find

COSTS = uniform_costs(5)
SAME = PrecisionParity(10, 1.0, 0, 0.0, 0.0, 0.6, 0.6)


def images(count: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 6, 8, 3), dtype=np.uint8)
    return [cv2.resize(image, (64, 48), interpolation=cv2.INTER_CUBIC)[None] for image in coarse]


def fused(folder: Path, network: onnx.ModelProto) -> onnx.ModelProto:
    path = folder / "network.onnx"
    onnx.save(network, path)
    return fused_graph(read_network(path, tiny.card(), batch=1), tiny.card(), GraphSpec(sample_points=50), stride=4)


def with_other_bias(network: onnx.ModelProto) -> onnx.ModelProto:
    changed = onnx.ModelProto()
    changed.CopyFrom(network)
    bias = changed.graph.initializer[1]
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32([0.5, 0, -0.5, 0, 0.2]), "bias"))
    return changed


def run(model: onnx.ModelProto, image: NDArray[np.uint8]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = ["labels", "expected_cost"]
    feed = {"image": image, "costs": COSTS, "sample_points": np.zeros((1, 50, 2), np.float32)}
    return dict(zip(names, session.run(names, feed), strict=True))


def mean_iou(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """By sets of pixels, over the labels that occur."""
    ground_truth, given = (np.concatenate([pair[i].ravel() for pair in pairs]) for i in (0, 1))
    known = ground_truth != 255
    scores = []
    for label in set(ground_truth[known].tolist()):
        one, other = set(np.flatnonzero((ground_truth == label) & known)), set(np.flatnonzero((given == label) & known))
        scores.append(len(one & other) / len(one | other))
    return float(np.mean(scores))


def test_a_graph_has_full_parity_with_itself(tmp_path: Path) -> None:
    model = fused(tmp_path, tiny.network())
    parity = compare(model, model, [Batch(image) for image in images(3)], COSTS)
    assert parity == PrecisionParity(3, 1.0, 0, 0.0, 0.0)
    assert parity.iou_loss is None
    assert broken_limit(parity, "fp32") is None


def test_every_figure_is_what_plain_loops_over_both_graphs_give(tmp_path: Path) -> None:
    one, other = fused(tmp_path, tiny.network()), fused(tmp_path, with_other_bias(tiny.network()))
    compared = images(4)
    labels = [np.random.default_rng(i).choice([0, 1, 2, 7, 255], (1, 48, 64)).astype(np.uint8) for i in range(4)]
    label_of_class = np.array([0, 1, 2, 7, 7], np.uint8)
    batches = [Batch(image, label) for image, label in zip(compared, labels, strict=True)]
    parity = compare(one, other, batches, COSTS, label_of_class)

    pairs = [(run(one, image), run(other, image)) for image in compared]
    same = [(before["labels"] == after["labels"]).mean() for before, after in pairs]
    change = [np.abs(before["expected_cost"].astype(int) - after["expected_cost"]) for before, after in pairs]
    assert parity.images == 4
    assert 0.5 < parity.labels_kept < 0.99
    assert parity.labels_kept == pytest.approx(np.mean(same))
    assert parity.largest_cost_change == np.max(change) > 5
    assert parity.mean_cost_change == pytest.approx(np.mean(change))
    assert 0.05 < parity.largest_probability_change < 0.5
    for which, iou in enumerate((parity.reference_iou, parity.converted_iou)):
        decided = [label_of_class[pair[which]["labels"]] for pair in pairs]
        assert iou == pytest.approx(mean_iou(list(zip(labels, decided, strict=True))))
    assert parity.iou_loss == pytest.approx(100 * (parity.reference_iou - parity.converted_iou))


def test_without_a_cost_matrix_the_decision_is_the_most_probable_class() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), 1000)
    costs = uniform_costs(7)
    assert costs.shape == (8, 7) and costs.dtype == np.float32
    np.testing.assert_array_equal((probabilities @ costs[:-1].T).argmin(axis=1), probabilities.argmax(axis=1))
    assert len(set(costs[-1])) == 7 and costs[-1].min() == 0 and costs[-1].max() == 254


@pytest.mark.parametrize(
    ("precision", "changes", "sentence"),
    [
        ("fp16", {"labels_kept": 0.9901, "converted_iou": 0.5981}, None),
        (
            "fp16",
            {"labels_kept": 0.9899},
            r"fp16 keeps only 98\.99% of the labels of fp32, but must keep 99%; use a higher",
        ),
        ("fp16", {"converted_iou": 0.5979}, r"fp16 loses 0\.21 points of mean IoU against fp32, but may lose 0\.2;"),
        ("int8", {"labels_kept": 0.9701, "converted_iou": 0.5901}, None),
        ("int8", {"labels_kept": 0.9699}, r"int8 keeps only 96\.99% of the labels of fp32, but must keep 97%"),
        ("int8", {"converted_iou": 0.5899}, r"int8 loses 1\.01 points of mean IoU against fp32, but may lose 1;"),
        ("int8", {"reference_iou": None, "converted_iou": None}, None),
    ],
)
def test_a_broken_limit_is_one_sentence_with_both_numbers(
    precision: str, changes: dict[str, float], sentence: str | None
) -> None:
    broken = broken_limit(replace(SAME, **changes), precision)
    if sentence is None:
        assert broken is None
    else:
        assert broken is not None
        assert re.search(sentence, broken), broken
        assert broken.endswith(".") and "\n" not in broken


def test_the_table_shows_every_figure_with_its_limit() -> None:
    text = table(replace(SAME, labels_kept=0.98765, largest_cost_change=37, converted_iou=0.5931), "int8")
    lines = {line[:34].strip(): line[34:].split(maxsplit=1) for line in text.splitlines()}
    assert lines["labels kept"] == ["98.77%", "at least 97%"]
    assert lines["expected cost, largest change"] == ["37", "of 254"]
    assert lines["mean IoU in int8"] == ["59.31%"]
    assert lines["mean IoU, points lost"] == ["0.69", "at most 1"]
    assert "IoU" not in table(replace(SAME, reference_iou=None, converted_iou=None), "fp16")


def test_without_images_the_comparison_fails(tmp_path: Path) -> None:
    model = fused(tmp_path, tiny.network())
    with pytest.raises(ModelError, match="no images to compare"):
        compare(model, model, [], COSTS)


def test_a_network_that_overflows_float16_is_found_before_any_gpu_runs_it(tmp_path: Path) -> None:
    # Times 60000 and back: harmless in float32, in which ONNX Runtime computes float16 on most CPUs.
    up_and_down = [
        helper.make_node("Conv", ["scores", "up"], ["x"]),
        helper.make_node("Conv", ["x", "down"], ["logits"]),
    ]
    network = tiny.network(tail=up_and_down)
    same = np.eye(5, dtype=np.float32)[:, :, None, None]
    network.graph.initializer.extend(
        [numpy_helper.from_array(same * 60000, "up"), numpy_helper.from_array(same / 60000, "down")]
    )
    model = fused(tmp_path, network)
    with pytest.raises(ModelError, match="not finite in this precision; use a higher one"):
        compare(model, convert_precision(model, "fp16"), [Batch(images(1)[0])], COSTS)


def test_a_graph_that_does_not_load_is_one_sentence(tmp_path: Path) -> None:
    model = fused(tmp_path, tiny.network())
    broken = onnx.ModelProto()
    broken.CopyFrom(model)
    broken.graph.node[0].op_type = "Frobnicate"
    with pytest.raises(ModelError, match=r"does not load \(.*Frobnicate"):
        compare(model, broken, [Batch(images(1)[0])], COSTS)


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "target"), [("fp16", "tensorrt"), ("int8", "tensorrt"), ("int8", "cpu")])
def test_the_shipped_network_keeps_the_limits_on_images_it_was_not_calibrated_on(
    real_data: Path, precision: str, target: str
) -> None:
    val, train = real_data / "camvid" / "val", real_data / "camvid" / "train"
    if not val.is_dir():
        pytest.skip(f"{val} is missing")
    labels = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[None] for path in evenly(val / "labels", 6)]
    # In CamVid's files 5 is "tree or grass" and 11 is nothing; the network's class 11 is grass.
    ground_truth = [np.where(label == 11, 255, label).astype(np.uint8) for label in labels]
    label_of_class = np.array([*range(11), 5], np.uint8)
    batches = [Batch(image, label) for image, label in zip(real_images(val / "images", 6), ground_truth, strict=True)]

    plain = shipped()
    converted = convert_precision(plain, precision, real_images(train / "images", 4), target)
    parity = compare(plain, converted, batches, uniform_costs(12), label_of_class)
    assert broken_limit(parity, precision) is None, table(parity, precision)
    assert parity.labels_kept < 1 and parity.reference_iou > 0.6


def shipped() -> onnx.ModelProto:
    model = find("models/urban.onnx")
    return prepare_graphs(model, load_card(model, None), GraphSpec(sample_points=500)).fused


def evenly(folder: Path, count: int) -> list[Path]:
    files = sorted(folder.iterdir())
    return files[:: len(files) // count][:count]


def real_images(folder: Path, count: int) -> list[NDArray[np.uint8]]:
    return [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)[None] for path in evenly(folder, count)]
