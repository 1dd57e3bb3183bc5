"""Variants of a network with other image sizes and numbers of classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from support import tiny_networks as tiny

from seg_perception.benchmark.networks import matrix_with_classes, write_network_variant
from seg_perception.errors import ModelError
from seg_perception.inference.backends import open_engine
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.model.card import ModelCard
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.utils.package_files import find


def logits(model: Path, image: np.ndarray) -> np.ndarray:
    engine = open_engine(model, GraphSpec(sample_points=1, logits=True), threads=1, backend="onnx_cpu")
    classes = len(engine.card.classes)
    costs = np.vstack([1 - np.eye(classes), np.zeros(classes)]).astype(np.float32)
    output = engine.run(image[np.newaxis], costs, np.zeros((1, 1, 2), np.float32))
    assert output.logits is not None
    return output.logits[0]


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)


def test_the_shipped_network_runs_at_another_size_with_more_classes(tmp_path: Path) -> None:
    shipped = find("models/urban.onnx")
    variant = write_network_variant(shipped, ModelCard.load(shipped.with_suffix(".yaml")), 256, 160, 19, tmp_path)
    assert logits(variant, noise(256, 160)).shape == (19, 40, 64)


@pytest.mark.parametrize("classes", [3, 5, 12])
def test_original_classes_keep_their_logits_and_new_ones_have_their_own(tmp_path: Path, classes: int) -> None:
    model = tiny.save(tmp_path, tiny.network(classes=5), tiny.card(classes=5))
    variant = write_network_variant(model, ModelCard.load(model.with_suffix(".yaml")), 64, 48, classes, tmp_path)
    before, after = logits(model, noise(64, 48)), logits(variant, noise(64, 48))
    assert len(after) == classes
    kept = min(classes, 5)

    def between(scores: np.ndarray) -> np.ndarray:
        # Scores are relative to the highest of all classes, which may be a new one: only differences stay.
        return scores[:kept] - scores[:1]

    unclipped = (before[:kept] > -79).all(axis=0) & (after > -79).all(axis=0)
    assert unclipped.any()
    np.testing.assert_allclose(between(after)[:, unclipped], between(before)[:, unclipped], atol=1e-3)
    assert len(np.unique(after.reshape(classes, -1), axis=0)) == classes


def test_a_resize_to_a_fixed_size_follows_the_image(tmp_path: Path) -> None:
    network = tiny.network(classes=5, tail=[helper.make_node("Resize", ["scores", "", "", "size"], ["logits"])])
    network.graph.initializer.append(numpy_helper.from_array(np.array([1, 5, 48, 64], np.int64), "size"))
    model = tiny.save(tmp_path, network, tiny.card(classes=5))
    variant = write_network_variant(model, ModelCard.load(model.with_suffix(".yaml")), 96, 80, 7, tmp_path)
    assert logits(variant, noise(96, 80)).shape == (7, 80, 96)


def test_a_network_without_a_final_convolution_is_refused_in_one_sentence(tmp_path: Path) -> None:
    model = tiny.save(tmp_path, tiny.network(classes=5), tiny.card(classes=5))
    network = onnx.load(model)
    network.graph.node[0].op_type = "ConvTranspose"
    with pytest.raises(ModelError, match="does not end in a convolution with 5 outputs"):
        write_network_variant(
            tiny.save(tmp_path, network, tiny.card(classes=5)), tiny.card(classes=5), 64, 48, 7, tmp_path
        )


def test_repeated_classes_cost_what_the_originals_do() -> None:
    card = ModelCard.load(find("models/urban.yaml"))
    matrix = CostMatrix.load(find("config/cost_matrices/road_car.yaml"), card.classes)
    more = matrix_with_classes(matrix, 19)
    assert len(set(more.classes)) == 19 and more.classes[12] == "Sky 2"
    again = np.arange(19) % 12
    np.testing.assert_array_equal(more.traverse, matrix.traverse[again])
    np.testing.assert_array_equal(more.misclassification, matrix.misclassification[again][:, again])
    np.testing.assert_array_equal(more.standing, matrix.standing[again])
