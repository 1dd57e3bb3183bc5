"""What decisions really cost under the cost matrix: the judge of the Bayes decision itself.

The mean of C[decision, truth] over labelled pixels estimates the risk E[C[a(x), c]] of a decision rule a (Duda, Hart &
Stork, Pattern Classification, 2nd ed., section 2.2). No rule has a lower one than the Bayes decision of the true
posterior, so what it saves against the most probable class is what the cost matrix is good for, as far as the network's
probabilities are right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.utils.ratio import ratio

# Far below any probability that matters: keeps the share of a label's classes defined where all of them vanish.
_FLOOR = 1e-30


def paid_costs(
    decision: NDArray[np.integer],
    truth: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    membership: NDArray[np.float32],
    costs: NDArray[np.float32],
) -> NDArray[np.float32]:
    """The cost of each decision given its label.

    A label that names a class leaves C[decision, class]. One that leaves a choice leaves its mean over the label's
    classes, each with the network's probability that it is that one: what is to be expected knowing image and label.

    Args:
        decision: [P], class indices.
        truth: [P], label indices 0..L-1.
        probabilities: float32 [K, P] of the classes.
        membership: float32 [L, K], 1 where a label allows a class.
        costs: C float32 [K, K], C[decision, truth].

    Returns:
        float32 [P], in the unit of the costs.
    """
    possible = (probabilities + np.float32(_FLOOR)) * membership.T[:, truth]
    cost: NDArray[np.float32] = (possible * costs.T[:, decision]).sum(axis=0) / possible.sum(axis=0)
    return cost


def expected_costs(
    decision: NDArray[np.integer], probabilities: NDArray[np.float32], costs: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What the network expects each decision to cost: R(a|x) [P]; arguments as in `paid_costs`."""
    cost: NDArray[np.float32] = (probabilities * costs.T[:, decision]).sum(axis=0)
    return cost


@dataclass(frozen=True, eq=False)
class CostTally:
    """Costs added up per label.

    Attributes:
        total: float64 [L], in the unit of the costs.
        pixels: int64 [L].
    """

    total: NDArray[np.float64]
    pixels: NDArray[np.int64]

    @classmethod
    def of(cls, cost: NDArray[np.float32], truth: NDArray[np.uint8], labels: int) -> CostTally:
        """Add up the costs [P] of pixels with the labels `truth` [P]."""
        return cls(
            np.bincount(truth, weights=cost, minlength=labels).astype(np.float64),
            np.bincount(truth, minlength=labels).astype(np.int64),
        )

    def __add__(self, other: CostTally) -> CostTally:
        return CostTally(self.total + other.total, self.pixels + other.pixels)

    def mean(self) -> float:
        """Mean cost of a pixel, NaN without any."""
        return float(ratio(self.total.sum(), self.pixels.sum()))

    def per_label(self) -> NDArray[np.float64]:
        """float64 [L]: mean cost of a pixel of each label, NaN without any."""
        return ratio(self.total, self.pixels)
