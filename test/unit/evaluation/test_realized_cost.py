"""Realized cost of decisions: by hand, and that the Bayes decision costs least if probabilities are calibrated."""

from __future__ import annotations

import numpy as np
import pytest

from seg_perception.evaluation.metrics.realized_cost import CostSum, expected_costs, realized_costs

# C[decision, true class]. Deciding road for a person is expensive.
COSTS = np.array([[0, 1, 20], [1, 0, 1], [1, 1, 0]], np.float32)
EACH = np.eye(3, dtype=np.float32)


def test_a_label_that_names_its_class_costs_what_the_matrix_says() -> None:
    probabilities = np.full((3, 3), 1 / 3, np.float32)
    cost = realized_costs(np.array([0, 0, 2]), np.array([0, 2, 1], np.uint8), probabilities, EACH, COSTS)
    assert cost.tolist() == [0.0, 20.0, 1.0]


def test_a_label_that_leaves_a_choice_costs_the_mean_weighted_by_the_networks_probabilities() -> None:
    road_or_person = np.array([[1, 0, 1], [0, 1, 0]], np.float32)
    # Road 0.3 to person 0.1: the probability of a person given the label is a quarter.
    probabilities = np.array([[0.3], [0.6], [0.1]], np.float32)
    cost = realized_costs(np.array([0]), np.array([0], np.uint8), probabilities, road_or_person, COSTS)
    assert cost == pytest.approx([0.25 * 20])
    # Where the network gives both a probability of 0, they have equal weights.
    nothing_left = np.array([[0.0], [1.0], [0.0]], np.float32)
    cost = realized_costs(np.array([0]), np.array([0], np.uint8), nothing_left, road_or_person, COSTS)
    assert cost == pytest.approx([0.5 * 20])


def test_with_true_probabilities_the_bayes_decision_costs_what_is_expected_and_less_than_argmax() -> None:
    rng = np.random.default_rng(2)
    p = rng.dirichlet([2.0, 1.0, 0.3], 40_000).astype(np.float32).T
    ground_truth = (rng.random(p.shape[1]) > p.cumsum(axis=0)[:-1]).sum(axis=0).astype(np.uint8)
    bayes, most_probable = (COSTS @ p).argmin(axis=0), p.argmax(axis=0)
    realized = CostSum.of(realized_costs(bayes, ground_truth, p, EACH, COSTS), ground_truth, 3)
    naive = CostSum.of(realized_costs(most_probable, ground_truth, p, EACH, COSTS), ground_truth, 3)
    expected = CostSum.of(expected_costs(bayes, p, COSTS), ground_truth, 3)
    assert realized.mean() == pytest.approx(COSTS[bayes, ground_truth].mean(), rel=1e-5)
    assert realized.mean() == pytest.approx(expected.mean(), rel=0.02)
    assert realized.mean() < 0.6 * naive.mean()
    assert realized.per_label()[2] < naive.per_label()[2], "it avoids missing people"


def test_cost_sums_add_up_by_pixels() -> None:
    one = CostSum.of(np.array([2.0, 4.0], np.float32), np.array([0, 0], np.uint8), 3)
    other = CostSum.of(np.array([9.0], np.float32), np.array([1], np.uint8), 3)
    assert (one + other).mean() == 5.0
    assert (one + other).per_label()[:2].tolist() == [3.0, 9.0]
    assert np.isnan((one + other).per_label()[2])
