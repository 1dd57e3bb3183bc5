"""From evidence counts to the posterior of each cell, and the risk of driving over it."""

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
"""Cost of driving over a measured obstacle, whatever its class: lethal from a tenth of the evidence."""


def posterior(
    evidence: NDArray[np.float32], settings: GridSettings, matrix: CostMatrix
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Posterior class probabilities of each cell.

    The posterior mean of Dirichlet counts n with prior n0 / K per class is (n + n0 / K) / (sum of n + n0). Ignored
    classes are left out: a cell that only ever showed sky has no evidence. Measured obstacles have no prior.

    Args:
        evidence: float32 [K + 1, rows, cols], counts; the last plane is of measured obstacles.
        settings: prior_strength and min_evidence.
        matrix: which classes to ignore.

    Returns:
        Probabilities float32 [K + 1, rows, cols]; and known bool [rows, cols], True where there is enough evidence.
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

    Uncertainty is measured by the entropy of the posterior, as a share of that of a uniform distribution over measured
    obstacles and all classes that are not ignored. A lethal cell stays lethal however uncertain it is: each of the
    dangerous classes blocks it.

    Args:
        evidence: as in `posterior`.
        settings: prior_strength, min_evidence and max_entropy.
        matrix: traversal costs, risk level, and which classes to ignore.

    Returns:
        Costs float32 [rows, cols] in nav2 units, 254 where the risk reaches `matrix.lethal_at` and 255 where unknown;
        and known bool [rows, cols], True where there is enough evidence and no more uncertainty than allowed.
    """
    kept, prior = _prior(settings, matrix)
    costs, tail = np.append(matrix.traverse, np.float32(OBSTACLE_COST)), 1.0 - matrix.alpha
    order = np.argsort(-costs, kind="stable")
    steps = (-np.diff(costs[order].astype(np.float64)) / tail).astype(np.float32)
    planes = evidence.reshape(len(evidence), -1)
    risk, total = np.empty(evidence.shape[1:], np.float32), np.empty(evidence.shape[1:], np.float32)
    lowest, outputs = np.float32(costs.min()), (risk.ravel(), total.ravel())
    kernels.compute_risk(planes, kept, prior, order, steps, lowest, np.float32(tail), *outputs)

    known, lethal = _is_known(total, settings), risk >= matrix.lethal_at
    if settings.max_entropy < 1.0:
        uncertainty = entropy(np.moveaxis(posterior(evidence, settings, matrix)[0], 0, -1))
        known &= lethal | (uncertainty <= settings.max_entropy * math.log(kept.sum()))
    risk[lethal] = LETHAL_COST
    risk[~known] = UNKNOWN_COST
    return risk, known


def _prior(settings: GridSettings, matrix: CostMatrix) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Which outcomes are not ignored, bool [K + 1], and the prior count of each, float32 [K + 1]."""
    counts = settings.prior_strength / np.count_nonzero(~matrix.ignore)
    return np.append(~matrix.ignore, True), np.append(np.full(len(matrix.classes), counts), 0.0).astype(np.float32)


def _is_known(total: NDArray[np.float32], settings: GridSettings) -> NDArray[np.bool_]:
    known: NDArray[np.bool_] = total >= np.float32(settings.min_evidence + settings.prior_strength)
    return known
