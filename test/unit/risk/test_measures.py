"""Measures of risk against results computed by hand, brute force and their defining optimisation problems."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from seg_perception.risk.measures import bayes_decision, bayes_risk, cvar, entropy, expected_cost

# The worked example: a pixel that is probably road, maybe pavement, possibly a pedestrian.
ROAD, PAVEMENT, PEDESTRIAN = range(3)
POSTERIOR = np.array([0.58, 0.27, 0.15])
COSTS = np.array(
    [  # true class: Road, Pavement, Pedestrian
        [0.0, 2.0, 10.0],  # decide Road
        [1.0, 0.0, 5.0],  # decide Pavement
        [2.0, 2.0, 0.0],  # decide Pedestrian
    ]
)


def distributions(classes: int) -> st.SearchStrategy[np.ndarray]:
    weights = arrays(np.float64, classes, elements=st.floats(0.0, 1.0, width=32))
    return weights.filter(lambda w: w.sum() > 0.01).map(lambda w: w / w.sum())


def cost_rows(classes: int) -> st.SearchStrategy[np.ndarray]:
    # Few distinct values, so that ties between classes are common.
    return arrays(np.float64, classes, elements=st.sampled_from([0.0, 1.0, 60.0, 254.0, 254.0, 2540.0, 5080.0]))


def cvar_by_sorting(probabilities: np.ndarray, costs: np.ndarray, alpha: float) -> float:
    """Take probability mass in order of decreasing cost until 1 - alpha is used up, and average its cost."""
    left, total = 1.0 - alpha, 0.0
    for cost, mass in sorted(zip(costs, probabilities, strict=True), reverse=True):
        taken = min(mass, left)
        total += taken * cost
        left -= taken
    return total / (1.0 - alpha)


def cvar_by_optimisation(probabilities: np.ndarray, costs: np.ndarray, alpha: float) -> float:
    """Minimum over eta of eta + E[(cost - eta)+] / (1 - alpha); for a discrete law it lies at one of the costs."""
    return min(eta + probabilities @ np.maximum(costs - eta, 0.0) / (1.0 - alpha) for eta in costs)


def test_the_textbook_posterior_has_the_risks_computed_by_hand() -> None:
    # R(Road)       = 0.58 * 0 + 0.27 * 2 + 0.15 * 10 = 0.54 + 1.50        = 2.04
    # R(Pavement)   = 0.58 * 1 + 0.27 * 0 + 0.15 * 5  = 0.58 + 0.75        = 1.33
    # R(Pedestrian) = 0.58 * 2 + 0.27 * 2 + 0.15 * 0  = 1.16 + 0.54        = 1.70
    np.testing.assert_allclose(bayes_risk(POSTERIOR, COSTS), [2.04, 1.33, 1.70], rtol=1e-12)


def test_the_bayes_decision_differs_from_the_most_probable_class_where_mistakes_differ_in_cost() -> None:
    assert np.argmax(POSTERIOR) == ROAD
    assert bayes_decision(POSTERIOR, COSTS) == PAVEMENT


def test_the_textbook_posterior_has_the_expected_cost_and_cvar_computed_by_hand() -> None:
    # Driving over it costs 0 on road, 100 on pavement, 1000 on a pedestrian.
    # alpha = 0:    0.27 * 100 + 0.15 * 1000                       = 177
    # alpha = 0.7:  the worst 0.30 is 0.15 pedestrian and 0.15 pavement: (150 + 15) / 0.30 = 550
    # alpha = 0.9:  the worst 0.10 is all pedestrian               = 1000
    traverse = np.array([0.0, 100.0, 1000.0])
    assert expected_cost(POSTERIOR, traverse) == pytest.approx(177.0)
    assert cvar(POSTERIOR, traverse, 0.7) == pytest.approx(550.0)
    assert cvar(POSTERIOR, traverse, 0.9) == pytest.approx(1000.0)


@given(distributions(5))
def test_equal_costs_for_all_mistakes_make_the_decision_the_most_probable_class(posterior: np.ndarray) -> None:
    risk = bayes_risk(posterior, 1.0 - np.eye(5))
    np.testing.assert_allclose(risk, 1.0 - posterior, atol=1e-12)
    assert posterior[bayes_decision(posterior, 1.0 - np.eye(5))] == pytest.approx(posterior.max(), abs=1e-12)


def test_of_two_equally_good_decisions_the_lower_index_is_taken() -> None:
    assert bayes_decision(np.array([0.2, 0.4, 0.4]), 1.0 - np.eye(3)) == 1


@given(distributions(6), cost_rows(6), st.sampled_from([0.0, 0.05, 0.3, 0.5, 0.9, 0.99, 0.999999]))
def test_cvar_equals_the_mean_of_the_sorted_tail_and_its_optimisation_form(
    posterior: np.ndarray, costs: np.ndarray, alpha: float
) -> None:
    risk = cvar(posterior, costs, alpha)
    assert risk == pytest.approx(cvar_by_sorting(posterior, costs, alpha), rel=1e-7, abs=1e-7)
    assert risk == pytest.approx(cvar_by_optimisation(posterior, costs, alpha), rel=1e-7, abs=1e-7)


@pytest.mark.slow
@given(distributions(6), cost_rows(6), st.lists(st.floats(0.0, 0.999), min_size=2, max_size=5))
def test_cvar_never_falls_as_alpha_rises_and_stays_between_mean_and_worst(
    posterior: np.ndarray, costs: np.ndarray, alphas: list[float]
) -> None:
    risks = [float(cvar(posterior, costs, alpha)) for alpha in sorted(alphas)]
    assert all(later >= earlier - 1e-9 * later for earlier, later in pairwise(risks))
    assert risks[0] >= expected_cost(posterior, costs) * (1 - 1e-9)
    assert risks[-1] <= costs.max() * (1 + 1e-9)


@pytest.mark.slow
@given(distributions(6), cost_rows(6))
def test_cvar_tends_to_the_worst_class_that_has_mass(posterior: np.ndarray, costs: np.ndarray) -> None:
    posterior = np.where(posterior < 1e-3, 0.0, posterior)
    posterior /= posterior.sum()
    assert cvar(posterior, costs, 1.0 - 1e-6) == pytest.approx(costs[posterior > 0.0].max(), rel=1e-9)


def test_cvar_at_alpha_zero_is_the_expected_cost() -> None:
    generator = np.random.default_rng(3)
    posteriors = generator.dirichlet(np.ones(7), 100)
    costs = generator.uniform(0.0, 5000.0, 7)
    np.testing.assert_allclose(cvar(posteriors, costs, 0.0), posteriors @ costs, rtol=1e-12)
    np.testing.assert_allclose(cvar(posteriors, costs, 1e-12), posteriors @ costs, rtol=1e-9)


@settings(deadline=None)
@given(st.sampled_from([(), (4,), (3, 4), (2, 3, 4)]), st.sampled_from([0.0, 0.6]))
def test_any_number_of_leading_axes_gives_the_same_as_one_by_one(shape: tuple[int, ...], alpha: float) -> None:
    generator = np.random.default_rng(5)
    posteriors = generator.dirichlet(np.ones(4), shape)
    traverse, matrix = np.array([0.0, 60.0, 2540.0, 60.0]), generator.uniform(0.0, 9.0, (3, 4))
    risks, decisions = cvar(posteriors, traverse, alpha), bayes_decision(posteriors, matrix)
    assert risks.shape == decisions.shape == shape
    assert bayes_risk(posteriors, matrix).shape == (*shape, 3)
    for index in np.ndindex(*shape):
        assert risks[index] == pytest.approx(cvar_by_sorting(posteriors[index], traverse, alpha))
        assert decisions[index] == np.argmin(matrix @ posteriors[index])


def test_single_precision_stays_single_and_is_right_to_six_digits() -> None:
    generator = np.random.default_rng(7)
    posteriors = generator.dirichlet(np.full(12, 0.3), 2000).astype(np.float32)
    costs = np.array([254, 1016, 1016, 0, 220, 1016, 1016, 1016, 2540, 5080, 5080, 160], dtype=np.float32)
    for alpha in (0.0, 0.5, 0.99):
        risk = cvar(posteriors, costs, alpha)
        assert risk.dtype == np.float32
        np.testing.assert_allclose(
            risk, [cvar_by_sorting(row, costs, alpha) for row in posteriors.astype(np.float64)], rtol=2e-5, atol=1e-3
        )


def test_equal_costs_leave_no_risk_beyond_that_cost() -> None:
    np.testing.assert_allclose(cvar(POSTERIOR, np.full(3, 42.0), 0.8), 42.0)


@pytest.mark.parametrize("alpha", [-0.1, 1.0, 2.0, float("nan")])
def test_an_alpha_outside_zero_to_one_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        cvar(POSTERIOR, np.ones(3), alpha)


def test_entropy_follows_shannons_formula_and_classes_without_mass_contribute_0() -> None:
    even = [np.array([1 / n] * n + [0.0] * (12 - n)) for n in (1, 2, 3, 12)]
    np.testing.assert_allclose(entropy(np.array(even)), np.log([1, 2, 3, 12]), atol=1e-12)
    by_hand = -(0.58 * math.log(0.58) + 0.27 * math.log(0.27) + 0.15 * math.log(0.15))
    assert entropy(POSTERIOR) == pytest.approx(by_hand)
    assert entropy(POSTERIOR.astype(np.float32)).dtype == np.float32
