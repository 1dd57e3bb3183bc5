"""The cost matrix: what a person says a wrong decision costs, read from YAML and checked to the last key."""

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

LARGEST_COST = 100_000.0
"""Dearer than this nothing can be: it makes a cell lethal at a probability of 0.25 %, finer than any calibration."""

HIGHEST_OVERHANG = 2.0
"""m; what hangs higher than robots are is not in their way."""

LETHAL_COST = 254.0
"""nav2's LETHAL_OBSTACLE (nav2_costmap_2d/cost_values.hpp)."""


@dataclass(frozen=True, eq=False)
class CostMatrix:
    """What decisions cost, in the class order of the model.

    Attributes:
        classes: the model's class names, K of them.
        misclassification: C float32 [K, K], C[decision, truth], in any one unit: only ratios matter to the decision.
        traverse: float32 [K], cost of driving over each true class in nav2 units: 0 free, 254 and above lethal.
        standing: bool [K], classes that rise from the ground and hide what lies behind them.
        overhang: float32 [K], how high above the ground the underside of each class may hang, m: a line of sight passes
            under it. 0 for what reaches the ground, and for what does not stand.
        ignore: bool [K], classes that say nothing about the ground, such as sky.
        alpha: risk level of CVaR for the costmap, in [0, 1); 0 is the expected cost.
        lethal_at: risk from which on a cell is lethal, nav2 units, at most 254.
        path: the file it was read from, for messages.
        speed: how fast the robot may go over what.
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

        The file must fit the model exactly: a class the model does not have is as much an error as a class without a
        traversal cost, because either may be a misspelt name, and a name that matches nothing costs nothing.

        Args:
            path: YAML file; docs/how_to/cost_matrix.md describes its keys.
            classes: the model's class names in the model's order.

        Returns:
            The matrix with its rows and columns in the model's order, whatever the order in the file.

        Raises:
            ConfigError: anything in the file is wrong; the message names the file, the key and the mend.
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
        """This matrix with other values for what `changes` names; the rules are those of the file.

        Args:
            changes: `traverse`, `misclassification` and `risk` as in the file, all of it optional. A cost for wrong
                answers is changed pair by pair: `default` and `correct` are the file's.

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
            Road where the truth is Pedestrian. A class name may hold anything but a dot.
        source: where they come from, for messages.

    Raises:
        ConfigError: an entry is not of this form, or two are for the same cost.
    """
    changes: dict[str, Any] = {}
    for entry in entries:
        key, _, cost = entry.rpartition(":")
        names = [name.strip() for name in key.split(".")]
        if len(names) != {"traverse": 2, "misclassification": 3}.get(names[0]) or not all(names):
            raise ConfigError(
                f"{source}: '{entry}' is no cost; write it as 'traverse.CLASS: COST' or "
                "'misclassification.DECISION.TRUTH: COST'."
            )
        section = changes
        for name in names[:-1]:
            section = section.setdefault(name, {})
        if names[-1] in section:
            raise ConfigError(f"{source}: '{'.'.join(names)}' is given twice and only one of them can stand.")
        section[names[-1]] = _number_or_text(cost.strip())
    return Section(Path(source), "", changes)


def _number_or_text(text: str) -> float | str:
    """The number that a text holds; a text that holds none goes on as it is, for the reader of numbers to refuse."""
    try:
        return float(text)
    except ValueError:
        return text


def _read_misclassification(section: Section, names: tuple[str, ...]) -> NDArray[np.float32]:
    default = section.number("default", 0.0, LARGEST_COST)
    correct = section.number("correct", 0.0, LARGEST_COST)
    matrix = np.full((len(names), len(names)), default, dtype=np.float32)
    np.fill_diagonal(matrix, correct)
    _set_rows(section, [key for key in section if key not in ("default", "correct")], matrix, names)
    return _frozen(matrix)


def _set_rows(section: Section, decisions: Iterable[str], matrix: NDArray[np.float32], names: tuple[str, ...]) -> None:
    """Write the section's rows for these decisions into a matrix that has its diagonal already."""
    correct = matrix[0, 0]
    for decision in decisions:
        row = _class_index(section, decision, decision, names)
        costs = section.section(decision)
        for truth in costs:
            column = _class_index(costs, truth, truth, names)
            cost = costs.number(truth, 0.0, LARGEST_COST)
            if row == column and np.float32(cost) != correct:
                raise costs.error(
                    truth,
                    f"is the cost of a right answer, which 'misclassification.correct' sets to {correct:g}; "
                    "remove this entry or change 'correct'.",
                )
            matrix[row, column] = cost
    wrong = matrix[~np.eye(len(names), dtype=bool)]
    if wrong.size and correct > wrong.min():
        raise section.error(
            "correct",
            f"is {correct:g}, dearer than a wrong answer at {wrong.min():g}; make right answers the cheapest.",
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
        traverse[_class_index(section, name, name, names)] = section.number(name, 0.0, LARGEST_COST)


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
                raise section.error(name, "does not stand, so it cannot hang; add it to 'standing' or remove it here.")
            overhang[index] = section.number(name, 0.0, HIGHEST_OVERHANG)
    return _frozen(overhang)


def _check_flags(top: Section, names: tuple[str, ...], standing: NDArray[np.bool_], ignore: NDArray[np.bool_]) -> None:
    for index in np.flatnonzero(standing & ignore):
        raise top.error("ignore", f"lists '{names[index]}', which 'standing' lists too; remove it from one of the two.")
    if ignore.all():
        raise top.error("ignore", "lists every class, so that nothing could ever be known; remove some.")


def _read_risk(top: Section, alpha: float, lethal_at: float) -> tuple[float, float]:
    """alpha and lethal_at of the section `risk`; what it leaves out stays as given."""
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
            str(key), f"'{name}' is no class of the model{did_you_mean(str(name), names)}; it has {', '.join(names)}."
        )
    return names.index(name)


def _frozen(array: NDArray[np.float32]) -> NDArray[np.float32]:
    array.setflags(write=False)
    return array
