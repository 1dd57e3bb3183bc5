"""One class against all that a network knows: a prototype in feature space, corrected and calibrated by likelihood.

The new class's logit is w · f + b, where f are features of unit length, so that w · f is a similarity by angle. It
starts from the prototype, the mean feature under the masks (Snell et al., *Prototypical Networks for Few-shot
Learning*, NeurIPS 2017; as weights of a classifier: Qi et al., *Low-Shot Learning with Imprinted Weights*, CVPR 2018).

The softmax over old logits z and the new one gives the new class sigmoid(w · f + b - log Σ exp z) and divides the rest
among the old classes as before. So the likelihood of the masks is that of a logistic regression with a known offset,
and nothing that the network says about its own classes among themselves can change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_PENALTY = 1e-5
"""On the squared length of w across the prototype; along it w is free."""

_FREE = 1e-8
"""On everything, so that a class that is told apart without error still has a finite answer."""

_STEPS = 60


@dataclass(frozen=True, eq=False)
class Pixels:
    """Labelled pixels of one picture, a sample of all.

    Attributes:
        features: float64 [P, F], unit length per group of features.
        rivals: float64 [P], log Σ exp z over the old classes' calibrated logits.
        positive: bool [P], whether the new class is there.
        weight: float64 [P], how many pixels of the picture each stands for.
    """

    features: NDArray[np.float64]
    rivals: NDArray[np.float64]
    positive: NDArray[np.bool_]
    weight: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Direction:
    """What was fitted: the new class's calibrated logit is weights · f + bias.

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


def prototype(pictures: Sequence[Pixels]) -> NDArray[np.float64]:
    """The mean feature under the masks, at unit length: float64 [F]. Every picture counts alike."""
    means = [picture.features[picture.positive].mean(axis=0) for picture in pictures]
    mean: NDArray[np.float64] = np.mean(means, axis=0)
    return np.asarray(mean / np.linalg.norm(mean), np.float64)


def fit_direction(pictures: Sequence[Pixels], penalty: float = _PENALTY) -> Direction:
    """Fit w and b by the weighted log-likelihood of the pixels, with w held near the prototype's direction.

    Args:
        pictures: at least one, each with positive pixels, and some pixel that is not.
        penalty: λ of λ/2 |w across the prototype|²; large ones leave the prototype as it is.
    """
    along = prototype(pictures)
    inputs = np.concatenate([picture.features for picture in pictures])
    inputs = np.column_stack([inputs, np.ones(len(inputs))])
    rivals = np.concatenate([picture.rivals for picture in pictures])
    truth = np.concatenate([picture.positive for picture in pictures]).astype(np.float64)
    weight = np.concatenate([picture.weight / picture.weight.sum() for picture in pictures]) / len(pictures)
    # Mild balance, as the training's class weights: the square root of the odds. Without it a class that is rare in its
    # pictures hardly ever wins, and full balance takes from all others.
    share = float(weight @ truth)
    weight *= np.where(truth > 0, np.sqrt(max(1.0 - share, share) / share), 1.0)
    weight /= weight.sum()
    held = np.eye(len(along) + 1) * _FREE
    held[:-1, :-1] += penalty * (np.eye(len(along)) - np.outer(along, along))

    def loss(solution: NDArray[np.float64]) -> float:
        score = inputs @ solution - rivals
        likelihood = weight @ (np.logaddexp(0.0, score) - truth * score)
        return float(likelihood + solution @ held @ solution / 2)

    # Newton's method; the loss is convex, and halving a step that overshoots makes it certain.
    solution = np.zeros(len(along) + 1)
    value = loss(solution)
    for _ in range(_STEPS):
        probability = 0.5 * (1.0 + np.tanh((inputs @ solution - rivals) / 2.0))
        slope = inputs.T @ (weight * (probability - truth)) + held @ solution
        curvature = (inputs.T * (weight * probability * (1.0 - probability))) @ inputs + held
        step = np.linalg.solve(curvature, slope)
        size = 1.0
        while (lower := loss(solution - size * step)) > value and size > 1e-6:
            size /= 2
        solution = solution - size * step
        if value - lower < 1e-9:
            break
        value = lower
    return Direction(solution[:-1], float(solution[-1]))
