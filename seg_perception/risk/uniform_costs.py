"""Costs for when there is no cost matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def uniform_costs(classes: int) -> NDArray[np.float32]:
    """Costs as an engine takes them, float32 [K + 1, K]: K decision rows, then the traverse row.

    Every mistake costs 1, so the decision is the most probable class. The costs of driving over a class are spread
    evenly over 0..254 (nav2 units), so that swapping any two classes changes the expected cost.

    Args:
        classes: number of classes, K.
    """
    return np.vstack([1 - np.eye(classes), np.linspace(0, 254, classes)]).astype(np.float32)
