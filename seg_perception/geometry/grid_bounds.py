"""Position and size of a grid in the odom frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class GridBounds:
    """A block of cells on the lattice that covers odom's plane. Rows and columns count from odom's origin.

    Attributes:
        first_row: row of the lattice (along y) that is row 0 of the block.
        first_col: column of the lattice (along x) that is column 0 of the block.
        rows: of the block.
        cols: of the block.
        resolution: edge of a cell, m.
    """

    first_row: int
    first_col: int
    rows: int
    cols: int
    resolution: float

    @property
    def origin(self) -> tuple[float, float]:
        """Corner (x, y) of the block with the smallest coordinates, in odom, m: whole multiples of the resolution."""
        return self.first_col * self.resolution, self.first_row * self.resolution

    def centres(self) -> NDArray[np.float64]:
        """Centres (x, y) of the cells in odom, float64 [rows, cols, 2], m."""
        x = (self.first_col + np.arange(self.cols) + 0.5) * self.resolution
        y = (self.first_row + np.arange(self.rows) + 0.5) * self.resolution
        return np.stack(np.meshgrid(x, y), axis=-1)
