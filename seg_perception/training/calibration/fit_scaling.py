"""Fitting a temperature, and a scale and a bias per class on top of it, to labelled pixels by their likelihood.

Both are from Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017. What is added here is for labels of
images. Vector scaling is shrunk towards temperature scaling, because a rare class is seen in few places however many
pixels they have. A class that no label names keeps the temperature alone, and scale and bias of the others are fitted
as if it did not exist: likelihood would rule it out, but what was not met on one drive can be met on the next. Classes
that a label does not tell apart (`LabelSpace.groups`) share scale and bias: nothing is known about how often it is the
one or the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.evaluation.network.labels import label_probabilities
from seg_perception.model.logit_calibration import LogitScaling

SHRINKAGE = 1e-3
"""A bias of 1, or a scale of 2, must make a pixel likelier by half of this, in nats, to be worth it."""

_LEAST_SCALE = 0.05
_LEAST_PROBABILITY = 1e-12
_NEWTON_STEPS = 50
_HALVINGS = 20
_LEAST_GAIN = 1e-8
_CHUNK = 50_000


@dataclass(frozen=True, eq=False)
class Pixels:
    """Labelled pixels.

    Attributes:
        logits: float32 [K, P], not calibrated, relative to the highest of their pixel (see `LogitScaling`).
        labels: uint8 [P], rows of a membership matrix [L, K] that is 1 where label l allows class k.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.uint8]


def negative_log_likelihood(pixels: Pixels, membership: NDArray[np.float32], scaling: LogitScaling) -> float:
    """Mean over the pixels of -log(probability that the label is right), in nats."""
    q = label_probabilities(scaling.apply(pixels.logits), membership)
    q = np.maximum(q[pixels.labels, np.arange(len(pixels.labels))], np.float32(_LEAST_PROBABILITY))
    return float(-np.log(q).mean(dtype=np.float64))


def fit_temperature(pixels: Pixels, membership: NDArray[np.float32]) -> LogitScaling:
    """Golden-section search over log T in [1/10, 10]; the likelihood has one minimum in T."""
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    low, high = math.log(0.1), math.log(10.0)

    def score(log_t: float) -> float:
        return negative_log_likelihood(pixels, membership, LogitScaling(math.exp(log_t)))

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
    return LogitScaling(math.exp((low + high) / 2.0))


def fit_vector(pixels: Pixels, membership: NDArray[np.float32], temperature: float) -> LogitScaling:
    """Newton's method for scale and bias on top of a temperature, with steps halved until they help.

    Args:
        pixels: to fit to.
        membership: float32 [L, K].
        temperature: from `fit_temperature`, which scale and bias are shrunk towards.
    """
    present, renumbered = np.unique(pixels.labels, return_inverse=True)
    named = membership[present].any(axis=0)
    members, own = membership[present][:, named], Pixels(pixels.logits[named], renumbered.astype(np.uint8))
    # A scale of 0 or less would turn what a class looks like into what it does not look like.
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
    return LogitScaling(temperature, tuple(scale.tolist()), tuple(bias.tolist()))


def vector_objective(
    pixels: Pixels, membership: NDArray[np.float32], temperature: float, parameters: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """What `fit_vector` makes least: the mean negative log-likelihood, plus SHRINKAGE / 2 times |parameters|².

    Args:
        pixels: to fit to.
        membership: float32 [L, K], each class allowed by one label.
        temperature: the logits are divided by it.
        parameters: float64 [2 L], scale - 1 per label, then bias per label.

    Returns:
        The value; its gradient [2 L]; and a positive definite curvature [2 L, 2 L], which is the matrix of second
        derivatives where every label names one class. A label that leaves a choice makes the likelihood a difference
        of two convex functions; the curvature is that of the first alone, so steps are shorter but lead down.
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
        # The derivative by each class's calibrated logit, then by what the classes of a label share.
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
