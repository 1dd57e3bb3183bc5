"""The speed rule: how fast the robot may drive over each class, read from the file of the cost matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.settings.yaml_file import Section, did_you_mean

SLOWEST = 0.01
"""The smallest share: nav2 takes a limit of 0 for no limit (nav2_costmap_2d/costmap_filters/filter_values.hpp)."""


@dataclass(frozen=True)
class SpeedRule:
    """Speeds as shares of the robot's full speed, within SLOWEST to 1.

    Attributes:
        slower: (class index, share) of each class that is driven over, or past, at less than full speed.
        unknown: on unknown cells, and everywhere while results are missing.
        alpha: in [0, 1): a cell's speed is the mean over the slowest 1 - alpha of its probability.
        reach: distance around an obstacle up to which its speed holds, m.
    """

    slower: tuple[tuple[int, float], ...] = ()
    unknown: float = 0.3
    alpha: float = 0.9
    reach: float = 0.0

    def shares(self, class_count: int) -> NDArray[np.float32]:
        """The share of each class, float32 [K]."""
        shares = np.ones(class_count, dtype=np.float32)
        for index, share in self.slower:
            shares[index] = share
        return shares


FULL_SPEED = SpeedRule()
"""The rule of a cost matrix without a section `speed`: full speed on all known cells."""


def read_speed(top: Section, names: Sequence[str]) -> SpeedRule:
    """The optional section `speed` of a cost matrix; missing keys have the defaults of SpeedRule.

    Args:
        top: the file.
        names: the model's class names in the model's order.

    Raises:
        ConfigError: a share is out of range, or a class is not one of the model.
    """
    if "speed" not in top:
        return FULL_SPEED
    section = top.section("speed")
    slower: list[tuple[int, float]] = []
    if "classes" in section:
        classes = section.section("classes")
        for name in classes:
            if name not in names:
                raise classes.error(
                    str(name), f"is no class of the model{did_you_mean(str(name), names)}; it has {', '.join(names)}."
                )
            slower.append((names.index(name), classes.number(name, SLOWEST, 1.0)))
    rule = SpeedRule(
        tuple(slower),
        section.number("unknown", SLOWEST, 1.0) if "unknown" in section else FULL_SPEED.unknown,
        section.number("alpha", 0.0, 0.999) if "alpha" in section else FULL_SPEED.alpha,
        section.number("reach", 0.0, 5.0) if "reach" in section else FULL_SPEED.reach,
    )
    section.finish()
    return rule
