"""The probability that a measurement lies in the cell it is assigned to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Table of erf from 0 to 4, where it is 1 to seven digits, in steps of 1/_STEPS. Rounding to a step errs by up to 6e-4.
_STEPS = 1000
_ERF = np.array([math.erf(step / _STEPS) for step in range(4 * _STEPS + 1)], np.float32)


def in_cell_probability(resolution: float, spread: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The probability that a normal error of standard deviation s stays within half a cell a/2: erf(a / (2√2 s)).

    The values come from a table of erf and are exact to 6e-4.

    Args:
        resolution: edge of a cell a, m.
        spread: standard deviations s, m, at least 0; any shape.

    Returns:
        float32, 0..1, in the shape of `spread`.
    """
    argument = resolution / (2 * math.sqrt(2)) / np.maximum(spread, 1e-9)
    probability: NDArray[np.float32] = _ERF[np.rint(np.minimum(argument, 4.0) * _STEPS).astype(np.intp)]
    return probability
