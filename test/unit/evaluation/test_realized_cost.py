"""What decisions cost: by hand, and the promise that the Bayes decision pays least where probabilities are true."""

from __future__ import annotations

import numpy as np
import pytest

from seg_perception.evaluation.metrics.realized_cost import CostTally, expected_costs, paid_costs

# Decision by truth. Road for a person is dear.
COSTS = np.array([[0, 1, 20], [1, 0, 1], [1, 1, 0]], np.float32)
EACH = np.eye(3, dtype=np.float32)


def test_a_label_that_names_its_class_costs_what_the_matrix_says() -> None:
    probabilities = np.full((3, 3), 1 / 3, np.float32)
    cost = paid_costs(np.array([0, 0, 2]), np.array([0, 2, 1], np.uint8), probabilities, EACH, COSTS)
    assert cost.tolist() == [0.0, 20.0, 1.0]


def test_a_label_that_leaves_a_choice_costs_the_mean_by_the_networks_own_shares() -> None:
    road_or_person = np.array([[1, 0, 1], [0, 1, 0]], np.float32)
    # Road 0.3 to person 0.1: the truth is a person with a quarter of the probability left.
    probabilities = np.array([[0.3], [0.6], [0.1]], np.float32)
    cost = paid_costs(np.array([0]), np.array([0], np.uint8), probabilities, road_or_person, COSTS)
    assert cost == pytest.approx([0.25 * 20])
    # Where the network rules out both, either is as good as the other.
    nothing_left = np.array([[0.0], [1.0], [0.0]], np.float32)
    cost = paid_costs(np.array([0]), np.array([0], np.uint8), nothing_left, road_or_person, COSTS)
    assert cost == pytest.approx([0.5 * 20])


def test_with_true_probabilities_bayes_pays_what_it_expects_and_less_than_the_most_probable_class() -> None:
    rng = np.random.default_rng(2)
    p = rng.dirichlet([2.0, 1.0, 0.3], 40_000).astype(np.float32).T
    truth = (rng.random(p.shape[1]) > p.cumsum(axis=0)[:-1]).sum(axis=0).astype(np.uint8)
    bayes, most_probable = (COSTS @ p).argmin(axis=0), p.argmax(axis=0)
    paid = CostTally.of(paid_costs(bayes, truth, p, EACH, COSTS), truth, 3)
    naive = CostTally.of(paid_costs(most_probable, truth, p, EACH, COSTS), truth, 3)
    expected = CostTally.of(expected_costs(bayes, p, COSTS), truth, 3)
    assert paid.mean() == pytest.approx(COSTS[bayes, truth].mean(), rel=1e-5)
    assert paid.mean() == pytest.approx(expected.mean(), rel=0.02)
    assert paid.mean() < 0.6 * naive.mean()
    assert paid.per_label()[2] < naive.per_label()[2], "people are what it watches for"


def test_tallies_add_up_pixel_by_pixel() -> None:
    one = CostTally.of(np.array([2.0, 4.0], np.float32), np.array([0, 0], np.uint8), 3)
    other = CostTally.of(np.array([9.0], np.float32), np.array([1], np.uint8), 3)
    assert (one + other).mean() == 5.0
    assert (one + other).per_label()[:2].tolist() == [3.0, 9.0]
    assert np.isnan((one + other).per_label()[2])
