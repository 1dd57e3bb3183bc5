"""Temperature and vector scaling, fitted to labelled pixels by maximum likelihood.

Both are from Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017. Vector scaling has a scale and a bias
per class on top of the temperature. Three things are added for labelled images:

- Vector scaling is shrunk towards temperature scaling, because all pixels of a rare class come from few objects.
- A class without labels keeps the temperature alone, and scale and bias of the others are fitted as if it did not
  exist. Likelihood would exclude the class, although it may appear on the next drive.
- Classes of a group (`LabelSpace.groups`) share scale and bias, because the data do not tell how frequent each is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.evaluation.metrics.labels import label_probabilities
from seg_perception.model.logit_calibration import LogitCalibration

SHRINKAGE = 1e-3
"""Penalty: a bias of 1, or a scale of 2, must raise the mean log-likelihood by at least half of this, in nats."""

_LEAST_SCALE = 0.05
_LEAST_PROBABILITY = 1e-12
_NEWTON_STEPS = 50
_HALVINGS = 20
_LEAST_GAIN = 1e-8
_CHUNK = 50_000


@dataclass(frozen=True, eq=False)
class LabelledLogits:
    """Logits of labelled pixels.

    Attributes:
        logits: float32 [K, P], not calibrated, relative to the highest of their pixel (see `LogitCalibration`).
        labels: uint8 [P], rows of a membership matrix [L, K] that is 1 where label l allows class k.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.uint8]


def negative_log_likelihood(
    pixels: LabelledLogits, membership: NDArray[np.float32], scaling: LogitCalibration
) -> float:
    """Mean over the pixels of -log(probability of the label), in nats."""
    q = label_probabilities(scaling.apply(pixels.logits), membership)
    q = np.maximum(q[pixels.labels, np.arange(len(pixels.labels))], np.float32(_LEAST_PROBABILITY))
    return float(-np.log(q).mean(dtype=np.float64))


def fit_temperature(pixels: LabelledLogits, membership: NDArray[np.float32]) -> LogitCalibration:
    """Golden-section search over log T in [1/10, 10]; the likelihood has one minimum in T."""
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    low, high = math.log(0.1), math.log(10.0)

    def score(log_t: float) -> float:
        return negative_log_likelihood(pixels, membership, LogitCalibration(math.exp(log_t)))

    inner = [high - ratio * (high - low), low + ratio * (high - low)]
    values = [score(inner[0]), score(inner[1])]
    while high - low > 1e-3:
        if values[0] < values[1]:
            high, inner[1], values[1] = inner[1], inner[0], values[0]
            inner[0] = high - ratio * (high - low)
            values[0] = score(inner[0])
        else:
            low, inner[0], values[0] = inner[0], inner[1], values[1]
            inner[1] = low + ratio * (high - low)
            values[1] = score(inner[1])
    return LogitCalibration(math.exp((low + high) / 2.0))


def fit_vector(pixels: LabelledLogits, membership: NDArray[np.float32], temperature: float) -> LogitCalibration:
    """Newton's method for scale and bias on top of a temperature, with steps halved until they help.

    Args:
        pixels: to fit to.
        membership: float32 [L, K].
        temperature: from `fit_temperature`, which scale and bias are shrunk towards.
    """
    present, renumbered = np.unique(pixels.labels, return_inverse=True)
    named = membership[present].any(axis=0)
    members, own = membership[present][:, named], LabelledLogits(pixels.logits[named], renumbered.astype(np.uint8))
    # A scale of 0 or less would invert the evidence for a class.
    lowest = np.repeat([_LEAST_SCALE - 1.0, -np.inf], len(present))
    parameters = np.zeros(2 * len(present))
    value, gradient, curvature = vector_objective(own, members, temperature, parameters)
    for _ in range(_NEWTON_STEPS):
        step = np.linalg.solve(curvature, gradient)
        for halving in range(_HALVINGS):
            trial = np.maximum(parameters - 0.5**halving * step, lowest)
            outcome = vector_objective(own, members, temperature, trial)
            if outcome[0] < value:
                break
        else:
            break
        gain = value - outcome[0]
        parameters, (value, gradient, curvature) = trial, outcome
        if gain < _LEAST_GAIN:
            break
    scale, bias = np.ones(membership.shape[1]), np.zeros(membership.shape[1])
    scale[named], bias[named] = _per_class(parameters, members)
    return LogitCalibration(temperature, tuple(scale.tolist()), tuple(bias.tolist()))


def vector_objective(
    pixels: LabelledLogits, membership: NDArray[np.float32], temperature: float, parameters: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """The objective of `fit_vector`: the mean negative log-likelihood, plus SHRINKAGE / 2 times |parameters|².

    Args:
        pixels: to fit to.
        membership: float32 [L, K], each class allowed by one label.
        temperature: the logits are divided by it.
        parameters: float64 [2 L], scale - 1 per label, then bias per label.

    Returns:
        The value; its gradient [2 L]; and a positive definite curvature [2 L, 2 L], which is the Hessian if
        every label names one class. With labels that leave a choice the objective is a difference of two convex
        functions; the curvature is the Hessian of the first, so steps are shorter but still descend.
    """
    scale, bias = _per_class(parameters, membership)
    count, labels = len(pixels.labels), len(membership)
    value = 0.0
    gradient = np.zeros(2 * labels)
    curvature = np.zeros((2 * labels, 2 * labels))
    for start in range(0, count, _CHUNK):
        z = pixels.logits[:, start : start + _CHUNK].astype(np.float64) / temperature
        allowed = membership[pixels.labels[start : start + _CHUNK]].T
        logits = scale[:, None] * z + bias[:, None]
        p = np.exp(logits - logits.max(axis=0))
        p /= p.sum(axis=0)
        q = np.maximum((p * allowed).sum(axis=0), np.finfo(np.float64).tiny)
        value -= float(np.log(q).sum())
        # Derivative by each class's calibrated logit, then by the parameters that a label's classes share.
        excess = p - p * allowed / q
        gradient += np.concatenate([membership @ (excess * z).sum(axis=1), membership @ excess.sum(axis=1)])
        expected = np.concatenate([membership @ (p * z), membership @ p])
        mixed = np.diag(expected[:labels].sum(axis=1))
        squares, masses = (np.diag(membership @ part.sum(axis=1)) for part in (p * z * z, p))
        curvature += np.block([[squares, mixed], [mixed, masses]]) - expected @ expected.T
    value = value / count + SHRINKAGE / 2 * float(parameters @ parameters)
    return value, gradient / count + SHRINKAGE * parameters, curvature / count + SHRINKAGE * np.eye(2 * labels)


def _per_class(
    parameters: NDArray[np.float64], membership: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scale and bias [K] from those of the labels."""
    scale, bias = parameters.reshape(2, -1) @ membership.astype(np.float64)
    return 1.0 + scale, bias
