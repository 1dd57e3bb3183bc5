"""Fits a linear classifier of one new class against all old ones: a prototype, refined by maximum likelihood.

The new class's logit is w · f + b, where f are features of unit length, so that w · f is a cosine similarity. It starts
from the prototype, the mean feature under the masks (Snell et al., *Prototypical Networks for Few-shot
Learning*, NeurIPS 2017; as weights of a classifier: Qi et al., *Low-Shot Learning with Imprinted Weights*, CVPR 2018).

The softmax over old logits z and the new one gives the new class the probability
sigmoid(w · f + b - log Σ exp z) and scales those of the old classes by a common factor. So the likelihood of the masks
is that of a logistic regression with a known offset, and the ratios between old classes do not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_PENALTY = 1e-5
"""Penalty on the squared length of w orthogonal to the prototype; along the prototype w is free."""

_RIDGE = 1e-8
"""Penalty on all parameters, so that separable classes have a finite solution."""

_STEPS = 60


@dataclass(frozen=True, eq=False)
class PixelFeatures:
    """Features of labelled pixels of one image, a sample of all.

    Attributes:
        features: float64 [P, F], unit length per group of features.
        old_evidence: float64 [P], log Σ exp z over the old classes' calibrated logits.
        positive: bool [P], whether the pixel shows the new class.
        weight: float64 [P], number of pixels of the image that each represents.
    """

    features: NDArray[np.float64]
    old_evidence: NDArray[np.float64]
    positive: NDArray[np.bool_]
    weight: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LinearClassifier:
    """The fitted classifier: the new class's calibrated logit is weights · f + bias.

    Attributes:
        weights: float64 [F].
        bias: of the logit.
    """

    weights: NDArray[np.float64]
    bias: float


def log_sum_exp(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """log Σ exp over the first axis, without overflow: [K, ...] to [...]."""
    highest = logits.max(axis=0)
    return np.asarray(highest + np.log(np.exp(logits - highest).sum(axis=0)), np.float64)


def prototype(images: Sequence[PixelFeatures]) -> NDArray[np.float64]:
    """The mean feature under the masks, at unit length: float64 [F]. Every image has the same weight."""
    means = [image.features[image.positive].mean(axis=0) for image in images]
    mean: NDArray[np.float64] = np.mean(means, axis=0)
    return np.asarray(mean / np.linalg.norm(mean), np.float64)


def fit_classifier(images: Sequence[PixelFeatures], penalty: float = _PENALTY) -> LinearClassifier:
    """Fit w and b by the weighted log-likelihood of the pixels, with w regularised towards the prototype's direction.

    Args:
        images: at least one, each with positive pixels, and some pixel that is not.
        penalty: λ of λ/2 |w orthogonal to the prototype|²; a large one keeps the prototype.
    """
    along = prototype(images)
    inputs = np.concatenate([image.features for image in images])
    inputs = np.column_stack([inputs, np.ones(len(inputs))])
    old_evidence = np.concatenate([image.old_evidence for image in images])
    target = np.concatenate([image.positive for image in images]).astype(np.float64)
    weight = np.concatenate([image.weight / image.weight.sum() for image in images]) / len(images)
    # Mild class balance, as in training: the square root of the odds. Without it a class that is rare in its images is
    # hardly ever predicted; full balance gives many false positives.
    share = float(weight @ target)
    weight *= np.where(target > 0, np.sqrt(max(1.0 - share, share) / share), 1.0)
    weight /= weight.sum()
    held = np.eye(len(along) + 1) * _RIDGE
    held[:-1, :-1] += penalty * (np.eye(len(along)) - np.outer(along, along))

    def loss(solution: NDArray[np.float64]) -> float:
        score = inputs @ solution - old_evidence
        likelihood = weight @ (np.logaddexp(0.0, score) - target * score)
        return float(likelihood + solution @ held @ solution / 2)

    # Newton's method with step halving; the loss is convex.
    solution = np.zeros(len(along) + 1)
    value = loss(solution)
    for _ in range(_STEPS):
        probability = 0.5 * (1.0 + np.tanh((inputs @ solution - old_evidence) / 2.0))
        slope = inputs.T @ (weight * (probability - target)) + held @ solution
        curvature = (inputs.T * (weight * probability * (1.0 - probability))) @ inputs + held
        step = np.linalg.solve(curvature, slope)
        size = 1.0
        while (lower := loss(solution - size * step)) > value and size > 1e-6:
            size /= 2
        solution = solution - size * step
        if value - lower < 1e-9:
            break
        value = lower
    return LinearClassifier(solution[:-1], float(solution[-1]))
