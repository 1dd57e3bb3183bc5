"""Cost rules, from network output to costmap: fixed costs of labels, as is usual, and risk from probabilities."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from seg_perception.costmap.evidence_grid import EvidenceGrid
from seg_perception.costmap.nav2_encoding import UNKNOWN_COST
from seg_perception.inference.engine import Engine, EngineBase, EngineOutput
from seg_perception.risk.cost_matrix import LETHAL_COST, CostMatrix


@dataclass(frozen=True)
class Variant:
    """One cost rule.

    Attributes:
        name: key in tables and files.
        description: one phrase for readers.
        label_threshold: a sample counts as its most probable class from this probability on, and as no evidence below
            it. None to keep the probabilities.
        alpha: risk level of CVaR, where probabilities are kept.
        hazard_discount: divides the costs of hazards, so that they are lethal from a probability on that is this many
            times higher.
    """

    name: str
    description: str
    label_threshold: float | None = None
    alpha: float = 0.0
    hazard_discount: float = 1.0

    def engine(self, engine: Engine) -> Engine:
        """The engine whose outputs this variant uses."""
        return engine if self.label_threshold is None else LabelEvidenceEngine(engine, self.label_threshold)

    def costs(self, grid: EvidenceGrid, matrix: CostMatrix) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Costs float32 [rows, cols] in nav2 units, and known bool [rows, cols], as `EvidenceGrid.costs` gives them."""
        if self.label_threshold is None:
            hazards = np.maximum(matrix.traverse / np.float32(self.hazard_discount), np.float32(matrix.lethal_at))
            traverse = np.where(matrix.traverse >= matrix.lethal_at, hazards, matrix.traverse)
            return grid.costs(replace(matrix, traverse=traverse, alpha=self.alpha))
        return majority_class_costs(grid, matrix)


VARIANTS = (
    Variant("labels", "most probable class, fixed cost per class", label_threshold=0.0),
    Variant("threshold", "the same from a probability of 0.7 on, else no evidence", label_threshold=0.7),
    Variant("expected", "expected cost"),
    Variant("expected_bolder", "expected cost, hazards lethal from 1.5 times the probability on", hazard_discount=1.5),
    Variant("expected_boldest", "expected cost, hazards lethal from twice the probability on", hazard_discount=2.0),
    Variant("cvar_0.5", "CVaR at α = 0.5", alpha=0.5),
    Variant("cvar_0.9", "CVaR at α = 0.9", alpha=0.9),
    Variant(
        "cvar_0.9_bolder", "the same, hazards lethal from 10 times the probability on", alpha=0.9, hazard_discount=10.0
    ),
)


class LabelEvidenceEngine(EngineBase):
    """An engine whose ground samples are labels: 1 for the most probable class, 0 for all others."""

    def __init__(self, engine: Engine, threshold: float) -> None:
        """Wrap an engine. Where the most probable class has less than `threshold`, all classes get 0: no evidence."""
        super().__init__(engine.card, engine.spec)
        self._engine = engine
        self._threshold = threshold

    def run(
        self, images: NDArray[np.uint8], costs: NDArray[np.float32], sample_points: NDArray[np.float32]
    ) -> EngineOutput:
        """Run the network on one batch; see `Engine.run`."""
        output = self._engine.run(images, costs, sample_points)
        return replace(output, sample_probabilities=one_hot_labels(output.sample_probabilities, self._threshold))

    def time_network(self, runs: int = 1) -> list[float]:
        """Time the network by itself; see `Engine.time_network`."""
        return self._engine.time_network(runs)

    def describe(self) -> str:
        """One line for logs and reports."""
        return f"{self._engine.describe()}, labels only"

    def close(self) -> None:
        """Free what the engine holds."""
        self._engine.close()


def one_hot_labels(probabilities: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    """Probabilities [..., K] as labels: 1 for the most probable class if it has at least `threshold`, else 0."""
    label = probabilities.argmax(axis=-1)[..., np.newaxis]
    confident = np.take_along_axis(probabilities, label, axis=-1) >= threshold
    labels = np.zeros_like(probabilities)
    np.put_along_axis(labels, label, confident.astype(np.float32), axis=-1)
    return labels


def majority_class_costs(grid: EvidenceGrid, matrix: CostMatrix) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The cost of each cell's most frequent label, by the same decaying evidence.

    Args:
        grid: evidence of labels.
        matrix: traversal costs, and which classes to ignore.

    Returns:
        As `EvidenceGrid.costs`: a cell is known by the same rule.
    """
    of_classes = grid.evidence[: len(matrix.classes)]  # further rows hold measurements without a label
    votes = np.where(matrix.ignore[:, np.newaxis, np.newaxis], np.float32(0), of_classes)
    known = votes.sum(axis=0) >= np.float32(grid.settings.min_evidence)
    costs: NDArray[np.float32] = matrix.traverse[votes.argmax(axis=0)]
    costs = np.where(costs >= matrix.lethal_at, np.float32(LETHAL_COST), costs)
    return np.where(known, costs, np.float32(UNKNOWN_COST)), known
