"""What has been seen of each tile of the ground in the last seconds, class by class, and which class dominates.

As kiwicampus/semantic_segmentation_layer keeps it (src/segmentation_tile_map.cpp, src/temporal_observation_queue.cpp):
a class that was seen more often than the dominant one takes its place, and what was seen of the others is then
forgotten. There a hash map holds queues of observations; here arrays hold their numbers.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NONE = -1
_SIDE = 512
"""Tiles along each side. Tiles that far apart share a place: more than is seen before the oldest is forgotten."""


@dataclass(frozen=True, eq=False)
class _Look:
    number: int
    stamp_ns: int
    places: NDArray[np.intp]
    classes: NDArray[np.intp]


class TileMemory:
    """Observations by tile.

    Attributes:
        dominant: int16 [SIDE²], class of each place; `NONE` where nothing is remembered.
    """

    def __init__(self, classes: int, decay: float) -> None:
        """Start empty.

        Args:
            classes: how many.
            decay: how long an observation is remembered, s.
        """
        self._decay_ns = round(decay * 1e9)
        self._counts = np.zeros((classes, _SIDE * _SIDE), np.uint16)
        self._since = np.zeros((classes, _SIDE * _SIDE), np.int64)  # the first look that is not forgotten
        self.dominant = np.full(_SIDE * _SIDE, NONE, np.int16)
        self._looks: deque[_Look] = deque()
        self._number = 0

    @staticmethod
    def places(rows: NDArray[np.integer], columns: NDArray[np.integer]) -> NDArray[np.intp]:
        """Where tiles are kept, by row and column of odom's raster; the two are broadcast."""
        return np.asarray((rows % _SIDE) * _SIDE + columns % _SIDE, np.intp)

    def add(self, places: NDArray[np.intp], classes: NDArray[np.intp], stamp_ns: int) -> None:
        """Take one observation of each of some tiles.

        Args:
            places: intp [N], no two the same.
            classes: intp [N].
            stamp_ns: time, nanoseconds.
        """
        self._forget(stamp_ns)
        self._number += 1
        self._looks.append(_Look(self._number, stamp_ns, places, classes))
        self._counts[classes, places] += 1
        often, dominant = self._counts[classes, places], self.dominant[places]
        leads = often > np.where(dominant == NONE, 0, self._counts[dominant, places])
        taken, by = places[leads], classes[leads]
        self._counts[:, taken] = 0
        self._counts[by, taken] = often[leads]
        own = self._since[by, taken]
        self._since[:, taken] = self._number + 1
        self._since[by, taken] = own
        self.dominant[taken] = by

    def _forget(self, stamp_ns: int) -> None:
        while self._looks and stamp_ns - self._looks[0].stamp_ns > self._decay_ns:
            look = self._looks.popleft()
            counted = self._since[look.classes, look.places] <= look.number
            places, classes = look.places[counted], look.classes[counted]
            self._counts[classes, places] -= 1
            emptied = places[(self._counts[classes, places] == 0) & (self.dominant[places] == classes)]
            rest = self._counts[:, emptied]
            self.dominant[emptied] = np.where(rest.any(axis=0), rest.argmax(axis=0), NONE)
