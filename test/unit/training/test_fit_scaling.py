"""Temperature and vector scaling against known parameters, plain sums, and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from seg_perception.model.logit_calibration import UNCALIBRATED, LogitCalibration
from seg_perception.training.calibration.fit_scaling import (
    SHRINKAGE,
    LabelledLogits,
    fit_temperature,
    fit_vector,
    negative_log_likelihood,
    vector_objective,
)

Floats = NDArray[np.float64]
SINGLE = np.eye(4, dtype=np.float32)
CHOICE = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]], np.float32)  # the second label is "class 1 or 2"


def softmax(logits: Floats) -> Floats:
    mass = np.exp(logits - logits.max(axis=0))
    return mass / mass.sum(axis=0)


def relative(count: int, classes: int = 4, seed: int = 0) -> NDArray[np.float32]:
    """Logits of a fairly confident network, relative to the highest of their pixel."""
    logits = np.random.default_rng(seed).normal(0, 3, (classes, count)).astype(np.float32)
    return logits - logits.max(axis=0)


def drawn(
    logits: NDArray[np.float32], scaling: LogitCalibration, membership: NDArray[np.float32], seed: int = 1
) -> LabelledLogits:
    """Pixels with labels drawn from the probabilities under `scaling`."""
    scale, bias = (np.reshape(part or fill, (-1, 1)) for part, fill in ((scaling.scale, 1.0), (scaling.bias, 0.0)))
    q = membership @ softmax(scale * logits / scaling.temperature + bias)
    labels = (np.random.default_rng(seed).random(logits.shape[1]) > q.cumsum(axis=0)[:-1]).sum(axis=0)
    return LabelledLogits(logits, labels)


def plain_nll(
    pixels: LabelledLogits, membership: NDArray[np.float32], scale: Floats, bias: Floats, temperature: float
) -> float:
    """Pixel by pixel: -log of the summed probabilities of the classes that the label allows."""
    total = 0.0
    for z, label in zip(pixels.logits.T.astype(np.float64), pixels.labels, strict=True):
        p = softmax(scale * z / temperature + bias)
        total -= np.log(p[membership[label] > 0].sum())
    return total / len(pixels.labels)


@pytest.mark.parametrize("membership", [SINGLE, CHOICE], ids=["single", "choice"])
def test_the_likelihood_is_that_of_plain_sums(membership: NDArray[np.float32]) -> None:
    scaling = LogitCalibration(1.4, (0.5, 1.5, 1.0, 2.0), (0.3, -1.0, 0.0, 2.0))
    pixels = drawn(relative(300), UNCALIBRATED, membership)
    expected = plain_nll(pixels, membership, np.array(scaling.scale), np.array(scaling.bias), 1.4)
    assert negative_log_likelihood(pixels, membership, scaling) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found(temperature: float) -> None:
    pixels = drawn(relative(50_000), LogitCalibration(temperature), SINGLE)
    assert fit_temperature(pixels, SINGLE).temperature == pytest.approx(temperature, rel=0.03)


def test_known_scales_and_biases_are_found() -> None:
    ground_truth = LogitCalibration(1.5, (0.7, 1.0, 1.2, 1.4), (0.6, -0.8, 0.3, -0.1))
    pixels = drawn(relative(100_000), ground_truth, SINGLE)
    fitted = fit_vector(pixels, SINGLE, 1.5)
    np.testing.assert_allclose(fitted.scale, ground_truth.scale, atol=0.06)
    # A number added to all biases changes no probability.
    np.testing.assert_allclose(
        np.array(fitted.bias) - np.mean(fitted.bias),
        np.array(ground_truth.bias) - np.mean(ground_truth.bias),
        atol=0.06,
    )


@pytest.mark.parametrize("membership", [SINGLE, CHOICE], ids=["single", "choice"])
@pytest.mark.parametrize("seed", range(3))
def test_value_and_gradient_are_those_of_plain_sums_and_finite_differences(
    membership: NDArray[np.float32], seed: int
) -> None:
    labels = len(membership)
    pixels = drawn(relative(200, seed=seed), UNCALIBRATED, membership)
    parameters = np.random.default_rng(seed).normal(0, 0.3, 2 * labels)

    def value(at: Floats) -> float:
        scale, bias = 1 + membership.T @ at[:labels], membership.T @ at[labels:]
        return plain_nll(pixels, membership, scale, bias, 1.3) + SHRINKAGE / 2 * float((at**2).sum())

    given, gradient, curvature = vector_objective(pixels, membership, 1.3, parameters)
    steps = 1e-5 * np.eye(2 * labels)
    assert given == pytest.approx(value(parameters), rel=1e-9)
    differences = [(value(parameters + step) - value(parameters - step)) / 2e-5 for step in steps]
    np.testing.assert_allclose(gradient, differences, atol=1e-7)

    def slope(at: Floats) -> Floats:
        return vector_objective(pixels, membership, 1.3, at)[1]

    second = np.array([slope(parameters + step) - slope(parameters - step) for step in steps]) / 2e-5
    if membership is SINGLE:
        np.testing.assert_allclose(curvature, second, atol=1e-6)
    assert np.linalg.eigvalsh(curvature - second).min() > -1e-6, "an upper bound: no step goes too far"
    assert np.linalg.eigvalsh(curvature).min() >= SHRINKAGE * 0.99


@pytest.mark.parametrize("membership", [SINGLE, CHOICE], ids=["single", "choice"])
def test_the_fit_is_a_minimum(membership: NDArray[np.float32]) -> None:
    labels = len(membership)
    ground_truth = LogitCalibration(1.0, (0.6, 1.3, 1.3, 1.0), (0.0, 1.0, 1.0, -1.0))
    pixels = drawn(relative(20_000), ground_truth, membership)
    fitted = fit_vector(pixels, membership, 1.0)
    first = membership.argmax(axis=1)  # a class of each label
    best = np.concatenate([np.array(fitted.scale)[first] - 1, np.array(fitted.bias)[first]])
    least, gradient, _ = vector_objective(pixels, membership, 1.0, best)
    assert np.abs(gradient).max() < 1e-4
    for direction in np.random.default_rng(0).normal(0, 0.05, (20, 2 * labels)):
        assert vector_objective(pixels, membership, 1.0, best + direction)[0] > least


def test_classes_of_a_group_keep_their_ratio() -> None:
    pixels = drawn(relative(20_000), LogitCalibration(1.0, (0.5, 1.4, 1.4, 1.0), (0.0, 1.0, 1.0, 0.0)), CHOICE)
    fitted = fit_vector(pixels, CHOICE, 1.0)
    assert fitted.scale[1] == fitted.scale[2] != 1.0
    assert fitted.bias[1] == fitted.bias[2] != 0.0


def test_a_class_without_labels_is_not_excluded() -> None:
    logits = relative(20_000)  # the network takes a quarter of all pixels for class 3
    pixels = drawn(logits, LogitCalibration(1.0, (), (0.0, 1.0, -1.0, -60.0)), SINGLE)
    assert 3 not in pixels.labels
    fitted = fit_vector(pixels, SINGLE, 1.0)
    assert fitted.scale[3] == 1.0 and fitted.bias[3] == 0.0
    # Nor are the biases of all others raised.
    np.testing.assert_allclose(fitted.bias, [0.0, 1.0, -1.0, 0.0], atol=0.1)


def test_a_class_of_few_pixels_stays_near_the_temperature() -> None:
    logits = relative(20_000) - np.array([[0], [0], [0], [14]], np.float32)
    logits -= logits.max(axis=0)
    labels = drawn(logits, LogitCalibration(1.0, (), (-2.0, 0.0, 0.0, -60.0)), SINGLE).labels
    labels[:3] = 3
    fitted = fit_vector(LabelledLogits(logits, labels), SINGLE, 1.0)
    assert abs(fitted.scale[3] - 1) < 0.5 and abs(fitted.bias[3]) < 0.3
    assert fitted.bias[0] - fitted.bias[1] == pytest.approx(-2, abs=0.2), "frequent classes are fitted freely"


def test_a_scale_is_never_negative() -> None:
    logits = relative(20_000, classes=3)
    # Where the network predicts class 2 it is another class, and where it does not, it is class 2.
    pixels = LabelledLogits(logits, np.where(logits[2] < -4, 2, logits[:2].argmax(axis=0)))
    assert min(fit_vector(pixels, np.eye(3, dtype=np.float32), 1.0).scale) > 0


def test_scaling_may_come_before_or_after_interpolation() -> None:
    scaling = LogitCalibration(1.3, (0.5, 2.0, 1.0), (1.0, -1.0, 0.5))
    one, two = relative(10, 3, 0), relative(10, 3, 1)
    before = 0.3 * scaling.apply(one) + 0.7 * scaling.apply(two)
    after = scaling.apply(np.float32(0.3) * one + np.float32(0.7) * two)
    np.testing.assert_allclose(before, after, atol=1e-5)
