"""The classes that the simulated world is made of, in the order of the shipped network's model card."""

from __future__ import annotations

from enum import IntEnum

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
