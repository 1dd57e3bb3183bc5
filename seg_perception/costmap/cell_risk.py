"""From counts to what a cell may be, and what it costs to drive over it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from seg_perception.costmap import kernels
from seg_perception.costmap.nav2_encoding import UNKNOWN_COST
from seg_perception.risk.cost_matrix import LETHAL_COST, CostMatrix
from seg_perception.risk.measures import entropy
from seg_perception.settings.grid import GridSettings

OBSTACLE_COST = 10 * LETHAL_COST
"""Cost of driving over what its measured height says is in the way, whatever its class: lethal from a tenth of the
evidence, as the shipped matrices have it for people."""


def posterior(
    evidence: NDArray[np.float32], settings: GridSettings, matrix: CostMatrix
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """What each cell may be.

    The posterior mean of Dirichlet counts n with prior n0 / K per class is (n + n0 / K) / (sum of n + n0). Ignored
    classes have no part in it: a cell that only ever showed sky has no evidence. Obstacles have no part in the prior,
    since they are measured.

    Args:
        evidence: float32 [K + 1, rows, cols], counts; the last are of obstacles told by their height.
        settings: prior and least evidence.
        matrix: which classes to ignore.

    Returns:
        Probabilities float32 [K + 1, rows, cols]; and bool [rows, cols], True where there is evidence enough.
    """
    kept, prior = _prior(settings, matrix)
    counts = evidence + prior[:, np.newaxis, np.newaxis]
    counts[~kept] = 0.0
    total = counts.sum(axis=0)
    counts /= total
    return counts, _is_known(total, settings)


def risk_of_cells(
    evidence: NDArray[np.float32], settings: GridSettings, matrix: CostMatrix
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Risk of driving over each cell, from the posterior class probabilities; obstacles cost OBSTACLE_COST.

    Doubt about the class is measured by the entropy of the posterior, as a share of that of an even one over all
    classes not ignored and obstacles. A lethal cell stays lethal in doubt: whichever it is, it is in the way.

    Args:
        evidence: as in `posterior`.
        settings: likewise, and how much doubt is allowed.
        matrix: traversal costs, risk level, and which classes to ignore.

    Returns:
        Costs float32 [rows, cols] in nav2 units, 254 where the risk reaches `matrix.lethal_at` and 255 where unknown;
        and known bool [rows, cols], True where there is evidence enough and no more doubt than allowed.
    """
    kept, prior = _prior(settings, matrix)
    costs, tail = np.append(matrix.traverse, np.float32(OBSTACLE_COST)), 1.0 - matrix.alpha
    order = np.argsort(-costs, kind="stable")
    steps = (-np.diff(costs[order].astype(np.float64)) / tail).astype(np.float32)
    planes = evidence.reshape(len(evidence), -1)
    risk, total = np.empty(evidence.shape[1:], np.float32), np.empty(evidence.shape[1:], np.float32)
    least, whole = np.float32(costs.min()), (risk.ravel(), total.ravel())
    kernels.price(planes, kept, prior, order, steps, least, np.float32(tail), *whole)

    known, lethal = _is_known(total, settings), risk >= matrix.lethal_at
    if settings.max_entropy < 1.0:
        doubt = entropy(np.moveaxis(posterior(evidence, settings, matrix)[0], 0, -1))
        known &= lethal | (doubt <= settings.max_entropy * math.log(kept.sum()))
    risk[lethal] = LETHAL_COST
    risk[~known] = UNKNOWN_COST
    return risk, known


def _prior(settings: GridSettings, matrix: CostMatrix) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Which outcomes count, bool [K + 1], and what is added to each, float32 [K + 1]."""
    counts = settings.prior_strength / np.count_nonzero(~matrix.ignore)
    return np.append(~matrix.ignore, True), np.append(np.full(len(matrix.classes), counts), 0.0).astype(np.float32)


def _is_known(total: NDArray[np.float32], settings: GridSettings) -> NDArray[np.bool_]:
    known: NDArray[np.bool_] = total >= np.float32(settings.min_evidence + settings.prior_strength)
    return known
