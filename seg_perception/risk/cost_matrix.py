"""The cost matrix: the cost of each wrong decision, read from a YAML file in which every key is checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ConfigError
from seg_perception.risk.speed_rule import FULL_SPEED, SpeedRule, read_speed
from seg_perception.settings.yaml_file import Section, did_you_mean, load_yaml
from seg_perception.utils.short_text import shortened

MAX_COST = 100_000.0
"""Upper limit of a cost: it makes a cell lethal at a probability of 0.25 %, finer than any calibration."""

MIN_COST = 1e-6
"""The smallest cost above 0. Products of smaller ones with probabilities underflow, so that every decision costs 0."""

MAX_OVERHANG = 2.0
"""m; what hangs higher than a robot is not in its way."""

LETHAL_COST = 254.0
"""nav2's LETHAL_OBSTACLE (nav2_costmap_2d/cost_values.hpp)."""


@dataclass(frozen=True, eq=False)
class CostMatrix:
    """What decisions cost, in the class order of the model.

    Attributes:
        classes: the model's class names, K of them.
        misclassification: C float32 [K, K], C[decision, true class], in any unit: only ratios matter to the decision.
        traverse: float32 [K], cost of driving over each true class in nav2 units: 0 free, 254 and above lethal.
        standing: bool [K], the obstacle classes: they rise from the ground and hide what lies behind them.
        overhang: float32 [K], how high above the ground the underside of each class may hang, m; lines of sight pass
            under it. 0 for classes that reach the ground, and for all but obstacle classes.
        ignore: bool [K], classes that are no evidence about the ground, such as sky.
        alpha: risk level of CVaR for the costmap, in [0, 1); 0 is the expected cost.
        lethal_at: risk from which on a cell is lethal, nav2 units, at most 254.
        path: the file it was read from, for messages.
        speed: how fast the robot may drive over each class.

    Examples:
        >>> matrix = sp.CostMatrix.load(find("config/cost_matrices/road_car.yaml"), engine.card.classes)
        >>> float(matrix.traverse[matrix.classes.index("Grass")])
        160.0
    """

    classes: tuple[str, ...]
    misclassification: NDArray[np.float32]
    traverse: NDArray[np.float32]
    standing: NDArray[np.bool_]
    overhang: NDArray[np.float32]
    ignore: NDArray[np.bool_]
    alpha: float
    lethal_at: float
    path: Path
    speed: SpeedRule = FULL_SPEED

    @classmethod
    def load(cls, path: Path | str, classes: Sequence[str]) -> CostMatrix:
        """Read a matrix for a model with these classes.

        The file must match the model exactly. A class that the model does not have is an error, and so is a class
        without a traversal cost: either may be a misspelt name, and a name that matches nothing would cost nothing.

        Args:
            path: YAML file; docs/how_to/cost_matrix.md describes its keys.
            classes: the model's class names in the model's order.

        Returns:
            The matrix with its rows and columns in the model's order, whatever the order in the file.

        Raises:
            ConfigError: anything in the file is wrong; the message names the file, the key and the fix.
        """
        top = load_yaml(path)
        names = tuple(classes)
        misclassification = _read_misclassification(top.section("misclassification"), names)
        traverse = _read_traverse(top, names)
        standing = _read_flags(top, "standing", names)
        ignore = _read_flags(top, "ignore", names)
        _check_flags(top, names, standing, ignore)
        overhang = _read_overhang(top, names, standing)
        alpha, lethal_at = _read_risk(top, 0.0, LETHAL_COST)
        speed = read_speed(top, names)
        top.finish()
        return cls(names, misclassification, traverse, standing, overhang, ignore, alpha, lethal_at, top.path, speed)

    def changed(self, changes: Section) -> CostMatrix:
        """This matrix with the costs that `changes` names replaced; the rules are those of the file.

        Args:
            changes: `traverse`, `misclassification` and `risk` as in the file, all of them optional. Misclassification
                costs are changed pair by pair; `default` and `correct` stay as in the file.

        Raises:
            ConfigError: a change is wrong; the message names `changes.path` and the key.
        """
        misclassification, traverse = self.misclassification.copy(), self.traverse.copy()
        if "misclassification" in changes:
            section = changes.section("misclassification")
            _set_rows(section, section, misclassification, self.classes)
        if "traverse" in changes:
            _set_traverse(changes.section("traverse"), traverse, self.classes)
        alpha, lethal_at = _read_risk(changes, self.alpha, self.lethal_at)
        changes.finish()
        return replace(
            self,
            misclassification=_frozen(misclassification),
            traverse=_frozen(traverse),
            alpha=alpha,
            lethal_at=lethal_at,
        )

    def stacked_rows(self) -> NDArray[np.float32]:
        """The rows as the engine takes them: float32 [K+1, K], the K decisions first, the traversal row last."""
        return np.vstack([self.misclassification, self.traverse]).astype(np.float32)


def read_changes(entries: Iterable[str], source: str) -> Section:
    """Single costs written one per line, as `CostMatrix.changed` takes them.

    Args:
        entries: such as "traverse.Grass: 90", or "misclassification.Road.Pedestrian: 400" for the cost of deciding
            Road where the true class is Pedestrian. A class name may hold anything but a dot.
        source: where they come from, for messages.

    Raises:
        ConfigError: an entry is not of this form, or two set the same cost.
    """
    changes: dict[str, Any] = {}
    for entry in entries:
        key, _, cost = entry.rpartition(":")
        names = [name.strip() for name in key.split(".")]
        if len(names) != {"traverse": 2, "misclassification": 3}.get(names[0]) or not all(names):
            raise ConfigError(
                f"{source}: '{shortened(entry)}' is not a cost; write it as 'traverse.CLASS: COST' or "
                "'misclassification.DECISION.TRUTH: COST'."
            )
        section = changes
        for name in names[:-1]:
            section = section.setdefault(name, {})
        if names[-1] in section:
            raise ConfigError(f"{source}: '{shortened('.'.join(names))}' is given twice; keep one of the two.")
        section[names[-1]] = _number_or_text(cost.strip())
    return Section(Path(source), "", changes)


def _number_or_text(text: str) -> float | str:
    """The number in a text; any other text is returned unchanged and refused later, by the reader of numbers."""
    try:
        return float(text)
    except ValueError:
        return text


def _read_misclassification(section: Section, names: tuple[str, ...]) -> NDArray[np.float32]:
    default = _cost(section, "default")
    correct = _cost(section, "correct")
    matrix = np.full((len(names), len(names)), default, dtype=np.float32)
    np.fill_diagonal(matrix, correct)
    _set_rows(section, [key for key in section if key not in ("default", "correct")], matrix, names)
    return _frozen(matrix)


def _cost(section: Section, key: str) -> float:
    """A cost: 0, or a number within MIN_COST to MAX_COST."""
    cost = section.number(key, 0.0, MAX_COST)
    if 0 < cost < MIN_COST:
        raise section.error(
            str(key), f"is {cost:g}, too small to be computed with; give 0, or {MIN_COST:g} to {MAX_COST:g}."
        )
    return cost


def _set_rows(section: Section, decisions: Iterable[str], matrix: NDArray[np.float32], names: tuple[str, ...]) -> None:
    """Write the section's rows for these decisions into a matrix whose diagonal is set."""
    correct = matrix[0, 0]
    for decision in decisions:
        row = _class_index(section, decision, decision, names)
        costs = section.section(decision)
        for true_class in costs:
            column = _class_index(costs, true_class, true_class, names)
            cost = _cost(costs, true_class)
            if row == column and np.float32(cost) != correct:
                raise costs.error(
                    true_class,
                    f"is the cost of a right answer, which 'misclassification.correct' sets to {correct:g}; "
                    "remove this entry or change 'correct'.",
                )
            matrix[row, column] = cost
    wrong = matrix[~np.eye(len(names), dtype=bool)]
    if wrong.size and correct > wrong.min():
        raise section.error(
            "correct",
            f"is {correct:g}, more than a wrong answer at {wrong.min():g}; make right answers the cheapest.",
        )


def _read_traverse(top: Section, names: tuple[str, ...]) -> NDArray[np.float32]:
    section = top.section("traverse")
    traverse = np.zeros(len(names), dtype=np.float32)
    _set_traverse(section, traverse, names)
    missing = [name for name in names if name not in section]
    if missing:
        raise top.error("traverse", f"has no cost for {', '.join(missing)}; add a cost for every class of the model.")
    return _frozen(traverse)


def _set_traverse(section: Section, traverse: NDArray[np.float32], names: tuple[str, ...]) -> None:
    for name in section:
        traverse[_class_index(section, name, name, names)] = _cost(section, name)


def _read_flags(top: Section, key: str, names: tuple[str, ...]) -> NDArray[np.bool_]:
    flags = np.zeros(len(names), dtype=np.bool_)
    for position, name in enumerate(top.texts(key)):
        flags[_class_index(top, f"{key}[{position}]", name, names)] = True
    flags.setflags(write=False)
    return flags


def _read_overhang(top: Section, names: tuple[str, ...], standing: NDArray[np.bool_]) -> NDArray[np.float32]:
    overhang = np.zeros(len(names), dtype=np.float32)
    if "overhang" in top:
        section = top.section("overhang")
        for name in section:
            index = _class_index(section, name, name, names)
            if not standing[index]:
                raise section.error(
                    name, "is not in 'standing', so it has no overhang; add it to 'standing' or remove it here."
                )
            overhang[index] = section.number(name, 0.0, MAX_OVERHANG)
    return _frozen(overhang)


def _check_flags(top: Section, names: tuple[str, ...], standing: NDArray[np.bool_], ignore: NDArray[np.bool_]) -> None:
    for index in np.flatnonzero(standing & ignore):
        raise top.error("ignore", f"lists '{names[index]}', which 'standing' lists too; remove it from one of the two.")
    if ignore.all():
        raise top.error("ignore", "lists every class, so that nothing could ever be known; remove some.")


def _read_risk(top: Section, alpha: float, lethal_at: float) -> tuple[float, float]:
    """alpha and lethal_at of the section `risk`; missing keys keep the given values."""
    if "risk" in top:
        section = top.section("risk")
        if "alpha" in section:
            alpha = section.number("alpha")
            if not 0.0 <= alpha < 1.0:
                raise section.error(
                    "alpha", f"is {alpha:g}, but must be at least 0 (the expected cost) and below 1 (the worst case)."
                )
        if "lethal_at" in section:
            lethal_at = section.number("lethal_at", 1.0, LETHAL_COST)
        section.finish()
    return alpha, lethal_at


def _class_index(section: Section, key: str, name: str, names: tuple[str, ...]) -> int:
    if name not in names:
        raise section.error(
            str(key),
            f"'{shortened(name)}' is no class of the model{did_you_mean(str(name), names)}; it has {', '.join(names)}.",
        )
    return names.index(name)


def _frozen(array: NDArray[np.float32]) -> NDArray[np.float32]:
    array.setflags(write=False)
    return array
