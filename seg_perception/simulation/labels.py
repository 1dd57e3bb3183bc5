"""The classes of the simulated world, in the order of the shipped network's model card."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from seg_perception.errors import ModelError

NO_LABEL = 255


class Label(IntEnum):
    """Class indices; the names of the model card are `CLASS_NAMES`. Walls and buildings are both BUILDING."""

    SKY = 0
    BUILDING = 1
    POLE = 2
    ROAD = 3
    PAVEMENT = 4
    TREE = 5
    SIGN_SYMBOL = 6
    FENCE = 7
    CAR = 8
    PEDESTRIAN = 9
    BICYCLIST = 10
    GRASS = 11


CLASS_NAMES: tuple[str, ...] = (
    "Sky",
    "Building",
    "Pole",
    "Road",
    "Pavement",
    "Tree",
    "SignSymbol",
    "Fence",
    "Car",
    "Pedestrian",
    "Bicyclist",
    "Grass",
)


def check_classes(classes: Sequence[str], name: str) -> None:
    """Check that a network has the simulator's classes: only for those the simulator has a true cost.

    Args:
        classes: of the network `name`.
        name: for the message.

    Raises:
        ModelError: the classes or their order differ.
    """
    if tuple(classes) != CLASS_NAMES:
        raise ModelError(
            f"the network '{name}' has the classes {', '.join(classes)}, but the simulator's world is made of "
            f"{', '.join(CLASS_NAMES)}; evaluate it on a recording that has its own ground truth instead."
        )
