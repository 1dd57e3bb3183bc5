"""A polar grid on the ground around the nadir point of a sensor: bearings x ranges."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class PolarGrid(Protocol):
    """Polar bins on B bearings x R ranges: what it takes to find the bin of a point.

    The nadir point is the point on the ground straight below the sensor.
    """

    @property
    def points(self) -> NDArray[np.float64]:
        """Centres (x, y) of the bins in the footprint frame, [B, R, 2], m."""

    @property
    def nadir(self) -> NDArray[np.float64]:
        """The nadir point of the sensor, [2], in the footprint frame, m."""

    @property
    def bearings(self) -> NDArray[np.float64]:
        """Directions from the nadir point against the footprint's x axis, [B], evenly spaced, rad."""

    @property
    def ranges(self) -> NDArray[np.float64]:
        """Distances from the nadir point, [R], evenly spaced, m."""
