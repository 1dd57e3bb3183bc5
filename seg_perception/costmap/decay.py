"""How the grid forgets, class by class: with time, and where it sees that something has gone."""

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
class ClassMemory:
    """How fast evidence fades: a cell with the half-lives of what it holds, in proportion.

    If each class faded by itself, a cell in which a person stood on the road would become road with time alone, and
    a steady view of 4 % person would be remembered as 1 %. So time takes from all classes of a cell alike: what the
    cell is held to be stays, and only how surely it is known goes, sooner where people are than where pavement is.

    Attributes:
        half_life: of everything that has none of its own, s.
        own: (class index, half-life in s) of each class that has one.
        standing: indices of the classes that rise from the ground, and K, that of obstacles told by their height.
        ground: indices of the classes that do not, the ignored ones left out.
    """

    half_life: float
    own: tuple[tuple[int, float], ...] = ()
    standing: tuple[int, ...] = ()
    ground: tuple[int, ...] = ()

    @classmethod
    def of(cls, settings: GridSettings, matrix: CostMatrix) -> ClassMemory:
        """What the settings say about a matrix's classes.

        Raises:
            ConfigError: `half_lives` names a class that there is not.
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

    def left(self, evidence: NDArray[np.floating[Any]], seconds: float) -> float | NDArray[np.floating[Any]]:
        """The share of evidence that is left after a time.

        With class shares s_k and half-lives h_k it is the product over k of (1/2)^(s_k seconds / h_k). Time does not
        change the shares, so many short times equal a long one.

        Args:
            evidence: [K or K + 1, ...], counts by class.
            seconds: the time.

        Returns:
            0..1: [...], or one number where all fades alike.
        """
        if not self.own:
            return float(0.5 ** (seconds / self.half_life))
        faster = np.zeros_like(evidence[0])
        for index, half_life in self.own:
            faster += evidence[index] * (1 / half_life - 1 / self.half_life)
        total = np.maximum(evidence.sum(axis=0), np.finfo(evidence.dtype).tiny)
        left: NDArray[np.floating[Any]] = np.exp2(-seconds * (faster / total + 1 / self.half_life))
        return left

    def clear(self, evidence: NDArray[np.float32], look: NDArray[np.float64], clearing: float) -> None:
        """Take standing things away where ground is seen in their place; in place, before the look is added.

        Of a look that adds g counts of ground and s of standing things to a cell that holds G and S, s / g G of S is
        what a view like this one would have left there, and stays. The rest is of something that has gone, or of a
        mistake: (1 - clearing)^g of it is left. So thin looks clear little, looks at something that stands clear
        nothing, and a view that stays as it is changes nothing.

        Args:
            evidence: [K + 1, M], of the cells.
            look: [K, M] or, where heights were measured, [K + 1, M]: what it adds to each. Without heights, obstacles
                told by their height are left alone.
            clearing: 0..1.
        """
        standing = [index for index in self.standing if index < len(look)]
        seen, held = look[list(self.ground)].sum(axis=0), evidence[list(self.ground)].sum(axis=0)
        stood = evidence[standing].sum(axis=0)
        agrees = look[standing].sum(axis=0) * held / np.maximum(seen, np.finfo(look.dtype).tiny)
        gone = np.maximum(1 - agrees / np.maximum(stood, np.finfo(evidence.dtype).tiny), 0)
        evidence[standing] *= (1 - (1 - (1 - clearing) ** seen) * gone).astype(np.float32)
