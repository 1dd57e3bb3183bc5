"""The decision on the CPU against brute force; test_graph compares it for whole networks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plain_inference import interpolation

from seg_perception.inference.cpu import certify_kernels
from seg_perception.inference.cpu.decision import CpuDecision, DecisionConfig
from seg_perception.inference.engine import EngineOutput
from seg_perception.model.logit_calibration import UNCALIBRATED


def evaluate(scores: np.ndarray, costs: np.ndarray, factor: int) -> EngineOutput:
    traverse = np.zeros((1, costs.shape[1]), np.float32)
    sample_points = np.zeros((1, 1, 2), np.float32)
    config = DecisionConfig(UNCALIBRATED, "logits", costs.shape[1], factor)
    return CpuDecision(config, threads=2).evaluate(scores[None], np.vstack([costs, traverse]), sample_points)


def risks(scores: np.ndarray, costs: np.ndarray, factor: int) -> np.ndarray:
    """[A, H, W] at every pixel, in float64, as shares of the pixel's sum."""
    rows, columns = scores.shape[1:]
    down, across = interpolation(rows, factor * rows), interpolation(columns, factor * columns)
    full = np.einsum("kyx,yr,xc->krc", np.float64(scores), down, across, optimize=True)
    masses = np.exp(full - full.max(axis=0))
    return np.einsum("ak,kyx->ayx", np.float64(costs), masses / masses.sum(axis=0))


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.integers(2, 9),
    factor=st.integers(1, 6),
    size=st.tuples(st.integers(1, 7), st.integers(1, 40)),
    spread=st.sampled_from([0.3, 2.0, 8.0, 60.0]),
    kinds=st.integers(1, 9),
)
@settings(max_examples=150, deadline=None)
def test_every_pixel_gets_a_decision_of_least_risk(
    seed: int, classes: int, factor: int, size: tuple[int, int], spread: float, kinds: int
) -> None:
    rng = np.random.default_rng(seed)
    # Neighbours are alike, as in images, so that blocks are certified; rows may be equal, and diagonals not 0.
    scores = rng.normal(0, spread, (classes, 1, 1)) + rng.normal(0, spread / 4, (classes, *size))
    costs = rng.choice([0.0, 1.0, 5.0, 40.0], (kinds, classes))[rng.integers(0, kinds, classes)]
    scores, costs = scores.astype(np.float32), costs.astype(np.float32)
    labels = evaluate(scores, costs, factor).labels[0]
    expected = risks(scores, costs, factor)
    chosen = np.take_along_axis(expected, labels[np.newaxis].astype(np.intp), axis=0)[0]
    np.testing.assert_allclose(chosen, expected.min(axis=0), rtol=1e-4, atol=1e-4)


def test_the_first_of_equal_decisions_is_taken() -> None:
    costs = np.array([[9, 9, 9], [0, 0, 1], [0, 0, 1]], np.float32)
    scores = np.random.default_rng(0).normal(0, 2, (3, 5, 6)).astype(np.float32)
    assert (evaluate(scores, costs, 4).labels == 1).all()


def test_an_expensive_class_between_two_certain_ones_is_found() -> None:
    # Certain of 0 on the left and of 1 on the right: halfway class 2 has 0.006 of the probability, and mistaking it
    # costs a thousand. The decisions at the logits themselves never show it.
    scores = np.array([[[5.0, -5.0]], [[-5.0, 5.0]], [[-5.0, -5.0]]], np.float32)
    costs = np.array([[0, 1, 1000], [1, 0, 1000], [1, 1, 0]], np.float32)
    labels = evaluate(scores, costs, 8).labels[0]
    assert set(labels[0, [0, -1]]) == {0, 1}
    assert (labels == risks(scores, costs, 8).argmin(axis=0)).all()
    assert (labels == 2).any()


def test_logits_with_a_clear_margin_are_all_certified() -> None:
    scores = np.full((12, 60, 80), -6, np.float32)
    scores[0, :, :40] = scores[1, :, 40:] = 6
    certified = np.empty(60 * 80, np.int32)
    table = certify_kernels.DecisionTable.from_rows(1 - np.eye(12, dtype=np.float32))
    certify_kernels.certify_labels(np.exp(scores - 6).reshape(12, -1), table, certified)
    np.testing.assert_array_equal(certified.reshape(60, 80), np.repeat([[0] * 40 + [1] * 40], 60, axis=0))


def test_exponentials_are_accurate_to_seven_digits() -> None:
    values = np.random.default_rng(0).uniform(-80, 1, 1001).astype(np.float32)
    found = values.copy()
    certify_kernels.exponentials(found, np.empty(values.size, np.int32))
    np.testing.assert_allclose(found, np.exp(np.float64(values)), rtol=4e-7)
