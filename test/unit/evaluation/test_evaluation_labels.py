"""Labels that leave a choice: their probability is the sum over their classes, and overlapping labels are refused."""

from __future__ import annotations

import numpy as np
import pytest

from seg_perception.datasets.dataset import LabelSpace
from seg_perception.errors import ConfigError
from seg_perception.evaluation.metrics.labels import EvaluationLabels, label_probabilities, softmax

SPACE = LabelSpace(("Sky", "Tree", "Grass", "Road"), ((1, 2),))
TREE_OR_GRASS = 4


def image(*numbers: int) -> np.ndarray:
    return np.array([numbers], np.uint8)


def test_evaluation_labels_are_those_that_occur_in_the_order_of_their_numbers() -> None:
    labels = EvaluationLabels.of([image(3, 255), image(TREE_OR_GRASS, 3)], SPACE)
    assert labels.names == ("Road", "Tree|Grass")
    assert labels.membership.tolist() == [[0, 0, 0, 1], [0, 1, 1, 0]]
    assert labels.renumber(image(TREE_OR_GRASS, 255, 3)).tolist() == [[1, 255, 0]]


def test_a_group_may_be_most_probable_where_none_of_its_classes_is() -> None:
    labels = EvaluationLabels.of([image(3, TREE_OR_GRASS)], SPACE)
    p = np.array([0.05, 0.30, 0.25, 0.40], np.float32)
    q = label_probabilities(np.log(p)[:, None], labels.membership)[:, 0]
    assert q == pytest.approx([0.40, 0.55])
    assert q.sum() == pytest.approx(0.95), "classes that no label allows are left out"


def test_labels_that_allow_the_same_class_are_refused() -> None:
    with pytest.raises(ConfigError, match="name Tree both alone and within a choice; use one of the two"):
        EvaluationLabels.of([image(1, TREE_OR_GRASS)], SPACE)


def test_probabilities_of_huge_logits_stay_finite() -> None:
    p = softmax(np.array([[1e4], [1e4], [-1e4]], np.float32))
    assert p[:, 0] == pytest.approx([0.5, 0.5, 0.0])
