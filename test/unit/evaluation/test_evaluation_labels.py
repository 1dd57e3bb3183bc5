"""Labels that leave a choice: their probability is a sum, and what cannot be told apart is refused."""

from __future__ import annotations

import numpy as np
import pytest

from seg_perception.datasets.dataset import LabelSpace
from seg_perception.errors import ConfigError
from seg_perception.evaluation.network.labels import JudgedLabels, label_probabilities, softmax

SPACE = LabelSpace(("Sky", "Tree", "Grass", "Road"), ((1, 2),))
TREE_OR_GRASS = 4


def image(*numbers: int) -> np.ndarray:
    return np.array([numbers], np.uint8)


def test_only_labels_that_occur_are_judged_in_the_order_of_their_numbers() -> None:
    labels = JudgedLabels.of([image(3, 255), image(TREE_OR_GRASS, 3)], SPACE)
    assert labels.names == ("Road", "Tree|Grass")
    assert labels.membership.tolist() == [[0, 0, 0, 1], [0, 1, 1, 0]]
    assert labels.renumber(image(TREE_OR_GRASS, 255, 3)).tolist() == [[1, 255, 0]]


def test_a_choice_is_as_probable_as_its_classes_together_and_so_may_win_where_none_of_them_does() -> None:
    labels = JudgedLabels.of([image(3, TREE_OR_GRASS)], SPACE)
    p = np.array([0.05, 0.30, 0.25, 0.40], np.float32)
    q = label_probabilities(np.log(p)[:, None], labels.membership)[:, 0]
    assert q == pytest.approx([0.40, 0.55])
    assert q.sum() == pytest.approx(0.95), "what no label allows stays out"


def test_labels_that_allow_the_same_class_are_refused() -> None:
    with pytest.raises(ConfigError, match="name Tree both alone and within a choice; use one of the two"):
        JudgedLabels.of([image(1, TREE_OR_GRASS)], SPACE)


def test_probabilities_of_huge_logits_stay_finite() -> None:
    p = softmax(np.array([[1e4], [1e4], [-1e4]], np.float32))
    assert p[:, 0] == pytest.approx([0.5, 0.5, 0.0])
