"""Realized cost of decisions under the cost matrix: the metric of the Bayes decision.

The mean of C[decision, true class] over labelled pixels estimates the risk E[C[a(x), c]] of a decision rule a (Duda,
Hart & Stork, Pattern Classification, 2nd ed., section 2.2). No rule has a lower risk than the Bayes decision under the
true posterior. What it saves against the most probable class is the benefit of the cost matrix, if the network's
probabilities are calibrated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.utils.ratio import ratio

# Far below any probability that matters. It keeps the shares defined where all classes of a label have probability 0.
_FLOOR = 1e-30


def realized_costs(
    decision: NDArray[np.integer],
    ground_truth: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    membership: NDArray[np.float32],
    costs: NDArray[np.float32],
) -> NDArray[np.float32]:
    """The cost of each decision given its label.

    For a label that names one class the cost is C[decision, class]. For a label that leaves a choice it is the mean
    over the label's classes, weighted by the network's probabilities: the expected cost given image and label.

    Args:
        decision: [P], class indices.
        ground_truth: [P], label indices 0..L-1.
        probabilities: float32 [K, P] of the classes.
        membership: float32 [L, K], 1 where a label allows a class.
        costs: C float32 [K, K], C[decision, true class].

    Returns:
        float32 [P], in the unit of the costs.
    """
    possible = (probabilities + np.float32(_FLOOR)) * membership.T[:, ground_truth]
    cost: NDArray[np.float32] = (possible * costs.T[:, decision]).sum(axis=0) / possible.sum(axis=0)
    return cost


def expected_costs(
    decision: NDArray[np.integer], probabilities: NDArray[np.float32], costs: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Expected cost R(a|x) [P] of each decision under the network's probabilities; arguments as in `realized_costs`."""
    cost: NDArray[np.float32] = (probabilities * costs.T[:, decision]).sum(axis=0)
    return cost


@dataclass(frozen=True, eq=False)
class CostSum:
    """Sums of costs per label.

    Attributes:
        total: float64 [L], in the unit of the costs.
        pixels: int64 [L].
    """

    total: NDArray[np.float64]
    pixels: NDArray[np.int64]

    @classmethod
    def of(cls, cost: NDArray[np.float32], ground_truth: NDArray[np.uint8], labels: int) -> CostSum:
        """Add up the costs [P] of pixels with the labels `ground_truth` [P]."""
        return cls(
            np.bincount(ground_truth, weights=cost, minlength=labels).astype(np.float64),
            np.bincount(ground_truth, minlength=labels).astype(np.int64),
        )

    def __add__(self, other: CostSum) -> CostSum:
        return CostSum(self.total + other.total, self.pixels + other.pixels)

    def mean(self) -> float:
        """Mean cost of a pixel, NaN without any."""
        return float(ratio(self.total.sum(), self.pixels.sum()))

    def per_label(self) -> NDArray[np.float64]:
        """float64 [L]: mean cost of a pixel of each label, NaN without any."""
        return ratio(self.total, self.pixels)
