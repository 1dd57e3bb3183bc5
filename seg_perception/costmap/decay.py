"""Evidence decay: how evidence fades with time, class by class, and is cleared where an obstacle has gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ConfigError
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.settings.grid import GridSettings
from seg_perception.settings.yaml_file import did_you_mean


@dataclass(frozen=True)
class EvidenceDecay:
    """How fast evidence fades: a cell decays with the half-lives of its classes, in proportion to their evidence.

    If each class decayed by itself, a cell in which a person stood on the road would become road with time alone, and a
    constant 4 % of person would fade to 1 %. So all classes of a cell decay by the same factor. The class probabilities
    stay, and only their evidence shrinks: faster where people are than where pavement is.

    Attributes:
        half_life: of all classes without one of their own, s.
        own: (class index, half-life in s) of each class that has one.
        standing: indices of the obstacle classes, and K, the index of measured obstacles.
        ground: indices of all other classes except the ignored ones.
    """

    half_life: float
    own: tuple[tuple[int, float], ...] = ()
    standing: tuple[int, ...] = ()
    ground: tuple[int, ...] = ()

    @classmethod
    def of(cls, settings: GridSettings, matrix: CostMatrix) -> EvidenceDecay:
        """The decay that the settings give for the classes of a matrix.

        Raises:
            ConfigError: `half_lives` names an unknown class.
        """
        for name, _ in settings.half_lives:
            if name not in matrix.classes:
                raise ConfigError(
                    f"grid.half_lives: '{name}' is no class of the model{did_you_mean(name, matrix.classes)}; "
                    f"it has {', '.join(matrix.classes)}."
                )
        own = tuple((matrix.classes.index(name), half_life) for name, half_life in settings.half_lives)
        standing = (*np.flatnonzero(matrix.standing).tolist(), len(matrix.classes))
        ground = tuple(np.flatnonzero(~matrix.standing & ~matrix.ignore).tolist())
        return cls(settings.half_life, own, standing, ground)

    @property
    def shortest(self) -> float:
        """The shortest half-life, s."""
        return min([self.half_life, *(half_life for _, half_life in self.own)])

    def factor(self, evidence: NDArray[np.floating[Any]], seconds: float) -> float | NDArray[np.floating[Any]]:
        """The decay factor of a cell over a time.

        With class shares s_k and half-lives h_k it is the product over k of (1/2)^(s_k seconds / h_k). Decay does not
        change the shares, so many short steps equal a long one.

        Args:
            evidence: [K or K + 1, ...], counts by class.
            seconds: the time.

        Returns:
            0..1: [...], or one number where all classes have the same half-life.
        """
        if not self.own:
            return float(0.5 ** (seconds / self.half_life))
        faster = np.zeros_like(evidence[0])
        for index, half_life in self.own:
            faster += evidence[index] * (1 / half_life - 1 / self.half_life)
        total = np.maximum(evidence.sum(axis=0), np.finfo(evidence.dtype).tiny)
        factor: NDArray[np.floating[Any]] = np.exp2(-seconds * (faster / total + 1 / self.half_life))
        return factor

    def clear(self, evidence: NDArray[np.float32], observation: NDArray[np.float64], clearing: float) -> None:
        """Reduce obstacle evidence where ground is observed instead. Changes `evidence`; call it before adding.

        Let an observation add g counts of ground and s of obstacle to a cell that holds G and S. Observations like this
        one would have left s / g G of S: this part stays. The rest belongs to an obstacle that has gone or to an error:
        it is multiplied by (1 - clearing)^g. So an observation of low weight clears little, an observation of an
        obstacle clears nothing, and a constant view changes nothing.

        Args:
            evidence: float32 [K + 1, M], of the cells; changed in place.
            observation: [K, M] or, where heights were measured, [K + 1, M]: counts to be added to each cell. Without
                heights, evidence of measured obstacles is not changed.
            clearing: 0..1.
        """
        standing = [index for index in self.standing if index < len(observation)]
        observed, held = observation[list(self.ground)].sum(axis=0), evidence[list(self.ground)].sum(axis=0)
        obstacle = evidence[standing].sum(axis=0)
        agreeing = observation[standing].sum(axis=0) * held / np.maximum(observed, np.finfo(observation.dtype).tiny)
        gone = np.maximum(1 - agreeing / np.maximum(obstacle, np.finfo(evidence.dtype).tiny), 0)
        evidence[standing] *= (1 - (1 - (1 - clearing) ** observed) * gone).astype(np.float32)
