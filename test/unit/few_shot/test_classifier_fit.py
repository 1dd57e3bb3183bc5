"""The fit of a linear classifier to pixel features: its minimum, its prior, and its calibration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from seg_perception.few_shot.examples import Example
from seg_perception.few_shot.feature_extractor import ImageFeatures, select_pixels
from seg_perception.few_shot.fit import PixelFeatures, fit_classifier, log_sum_exp, prototype
from seg_perception.model.logit_calibration import LogitCalibration


def random_pixels(seed: int, count: int = 400) -> PixelFeatures:
    rng = np.random.default_rng(seed)
    features = rng.normal(0, 1, (count, 5)) + np.array([1, 0, 0, 0, 0.0])
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    old_evidence = rng.normal(0, 1, count)
    score = features @ np.array([3.0, 2.0, -1.0, 0.0, 1.0]) - 2 - old_evidence
    return PixelFeatures(
        features, old_evidence, rng.random(count) < 1 / (1 + np.exp(-score)), rng.uniform(0.5, 2, count)
    )


def test_the_fit_is_the_minimum_of_the_documented_loss() -> None:
    pixels, penalty = random_pixels(0), 1e-3
    along = prototype([pixels])
    share = pixels.weight[pixels.positive].sum() / pixels.weight.sum()
    balance = np.where(pixels.positive, np.sqrt(max(1 - share, share) / share), 1) * pixels.weight

    def loss(weights: NDArray[np.float64], bias: float) -> float:
        p = 1 / (1 + np.exp(pixels.old_evidence - pixels.features @ weights - bias))
        likelihood = np.where(pixels.positive, p, 1 - p)
        across = weights - along * (along @ weights)
        return -float(np.average(np.log(likelihood), weights=balance)) + penalty / 2 * float(across @ across)

    found = fit_classifier([pixels], penalty)
    best = loss(found.weights, found.bias)
    rng = np.random.default_rng(1)
    for size in (0.03, 0.3, 3.0):
        for _ in range(50):
            step = rng.normal(0, size, 6)
            assert loss(found.weights + step[:5], found.bias + step[5]) > best - 1e-7


def test_with_a_large_penalty_the_classifier_is_the_prototype() -> None:
    images = [random_pixels(seed) for seed in (2, 3)]
    found = fit_classifier(images, penalty=1e4)
    means = np.mean([p.features[p.positive].mean(axis=0) for p in images], axis=0)
    assert found.weights @ means / np.linalg.norm(found.weights) / np.linalg.norm(means) > 0.99999


def test_log_sum_exp_is_exact_where_exponentials_overflow() -> None:
    values = np.array([[1000.0, 0.0], [1000.0, 0.0]], np.float32)
    np.testing.assert_allclose(log_sum_exp(values), [1000 + np.log(2), np.log(2)])


@pytest.mark.parametrize(
    "scaling", [LogitCalibration(1.7), LogitCalibration(1.7, (0.6, 1.5), (0.2, -0.2))], ids=["one", "vector"]
)
def test_the_fitted_probability_is_that_of_the_calibrated_network(scaling: LogitCalibration) -> None:
    rng = np.random.default_rng(0)
    logits, new = rng.normal(3, 2, (2, 12, 16)).astype(np.float32), rng.normal(0, 1, (12, 16)).astype(np.float32)
    # Vector scaling is applied relative to the most probable class; the fit assumes that it is an old one.
    new = np.minimum(new, logits.max(axis=0) - 0.1)
    mask = np.zeros((48, 64), np.bool_)
    mask[8:24, 8:24] = True
    example = Example("a", np.zeros((48, 64, 3), np.uint8), mask)
    pixels = select_pixels(ImageFeatures(logits, np.arange(192, dtype=np.float32).reshape(1, 12, 16)), example, scaling)
    indices = pixels.features[:, 0].astype(int)
    fitted = 1 / (1 + np.exp(pixels.old_evidence - new.ravel()[indices] / scaling.temperature))
    all_logits = np.concatenate([logits, new[None]])
    extended = replace(scaling, scale=(*scaling.scale, 1.0), bias=(*scaling.bias, 0.0)) if scaling.scale else scaling
    calibrated = np.exp(extended.apply(all_logits - all_logits.max(axis=0)).reshape(3, -1)[:, indices])
    np.testing.assert_allclose(fitted, calibrated[2] / calibrated.sum(axis=0), rtol=1e-5)
    assert pixels.positive.sum() == 16 and pixels.weight.sum() == 192
