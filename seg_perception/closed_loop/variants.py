"""Ways from a network's answer to a costmap: labels with fixed costs, as is usual, and risk from probabilities."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from seg_perception.costmap.evidence_grid import EvidenceGrid
from seg_perception.costmap.nav2_encoding import UNKNOWN_COST
from seg_perception.inference.engine import Engine, EngineOutput, OpenedNetwork
from seg_perception.risk.cost_matrix import LETHAL_COST, CostMatrix


@dataclass(frozen=True)
class Variant:
    """One way to price cells.

    Attributes:
        name: key in tables and files.
        says: what it does, for people.
        labels_from: probability from which the most probable class counts as a label, and no other class has any
            part in it; below, nothing was seen. None to keep the probabilities.
        alpha: risk level of CVaR for those that keep them.
        bolder: what must not be hit is so many times cheaper, so that it is lethal from a probability on that is so
            many times higher.
    """

    name: str
    says: str
    labels_from: float | None = None
    alpha: float = 0.0
    bolder: float = 1.0

    def engine(self, engine: Engine) -> Engine:
        """The engine as this variant hears it."""
        return engine if self.labels_from is None else LabelsOnly(engine, self.labels_from)

    def costs(self, grid: EvidenceGrid, matrix: CostMatrix) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Costs float32 [rows, cols] in nav2 units, and known bool [rows, cols], as `EvidenceGrid.costs` gives them."""
        if self.labels_from is None:
            hazards = np.maximum(matrix.traverse / np.float32(self.bolder), np.float32(matrix.lethal_at))
            traverse = np.where(matrix.traverse >= matrix.lethal_at, hazards, matrix.traverse)
            return grid.costs(replace(matrix, traverse=traverse, alpha=self.alpha))
        return fixed_costs(grid, matrix)


VARIANTS = (
    Variant("labels", "most probable class, fixed cost per class", labels_from=0.0),
    Variant("threshold", "the same from a probability of 0.7 on, else nothing seen", labels_from=0.7),
    Variant("expected", "expected cost"),
    Variant("expected_bolder", "expected cost, hazards lethal from 1.5 times the probability on", bolder=1.5),
    Variant("expected_boldest", "expected cost, hazards lethal from twice the probability on", bolder=2.0),
    Variant("cvar_0.5", "CVaR at α = 0.5", alpha=0.5),
    Variant("cvar_0.9", "CVaR at α = 0.9", alpha=0.9),
    Variant("cvar_0.9_bolder", "the same, hazards lethal from 10 times the probability on", alpha=0.9, bolder=10.0),
)


class LabelsOnly(OpenedNetwork):
    """An engine whose ground samples tell labels: 1 for the most probable class, 0 for all others."""

    def __init__(self, engine: Engine, least: float) -> None:
        """Wrap an engine; where the most probable class has less than `least`, all classes get 0: no evidence."""
        super().__init__(engine.card, engine.spec)
        self._engine = engine
        self._least = least

    def run(self, images: NDArray[np.uint8], costs: NDArray[np.float32], cells: NDArray[np.float32]) -> EngineOutput:
        """Run the network on one batch; see `Engine.run`."""
        output = self._engine.run(images, costs, cells)
        return replace(output, cell_probabilities=as_labels(output.cell_probabilities, self._least))

    def time_network(self, runs: int = 1) -> list[float]:
        """Time the network by itself; see `Engine.time_network`."""
        return self._engine.time_network(runs)

    def describe(self) -> str:
        """One line for logs and reports."""
        return f"{self._engine.describe()}, labels only"

    def close(self) -> None:
        """Free what the engine holds."""
        self._engine.close()


def as_labels(probabilities: NDArray[np.float32], least: float) -> NDArray[np.float32]:
    """Probabilities [..., K] as labels: 1 for the most probable class if it has at least `least`, 0 for all else."""
    label = probabilities.argmax(axis=-1)[..., np.newaxis]
    sure = np.take_along_axis(probabilities, label, axis=-1) >= least
    labels = np.zeros_like(probabilities)
    np.put_along_axis(labels, label, sure.astype(np.float32), axis=-1)
    return labels


def fixed_costs(grid: EvidenceGrid, matrix: CostMatrix) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Each cell at the cost of the class that it was labelled with most, by the same decaying evidence.

    Args:
        grid: evidence of labels.
        matrix: traversal costs, and which classes to ignore.

    Returns:
        As `EvidenceGrid.costs`: a cell is known by the same rule.
    """
    of_classes = grid.evidence[: len(matrix.classes)]  # what is measured, beyond them, has no label
    votes = np.where(matrix.ignore[:, np.newaxis, np.newaxis], np.float32(0), of_classes)
    known = votes.sum(axis=0) >= np.float32(grid.settings.min_evidence)
    costs: NDArray[np.float32] = matrix.traverse[votes.argmax(axis=0)]
    costs = np.where(costs >= matrix.lethal_at, np.float32(LETHAL_COST), costs)
    return np.where(known, costs, np.float32(UNKNOWN_COST)), known
