"""Compiled loops of the ray caster."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seg_perception.utils.jit import compiled


@compiled
def tiles_in_slope_range(
    slopes: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The block of tiles in which each solid may be visible, by the slopes of rays.

    Args:
        slopes: float64 [4, rows, columns], least and greatest x/z, least and greatest y/z of each tile.
        low: float64 [N, 2], least x/z and y/z of each solid.
        high: float64 [N, 2], greatest.

    Returns:
        int64 [N, 4]: first row, the row after the last, first column, the column after the last; all 0 for none.
    """
    blocks = np.zeros((low.shape[0], 4), np.int64)
    rows, columns = slopes.shape[1:]
    for n in range(low.shape[0]):
        top, bottom, left, right = rows, 0, columns, 0
        for r in range(rows):
            for c in range(columns):
                across = slopes[0, r, c] <= high[n, 0] and slopes[1, r, c] >= low[n, 0]
                if across and slopes[2, r, c] <= high[n, 1] and slopes[3, r, c] >= low[n, 1]:
                    top, bottom, left, right = min(top, r), r + 1, min(left, c), max(right, c + 1)
        if bottom:
            blocks[n] = top, bottom, left, right
    return blocks
