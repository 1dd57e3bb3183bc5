"""Recent observations of each ground tile by class, and the dominant class.

As kiwicampus/semantic_segmentation_layer keeps it (src/segmentation_tile_map.cpp, src/temporal_observation_queue.cpp):
a class that was observed more often than the dominant one becomes dominant, and the observations of the others are
dropped. There a hash map holds queues of observations; here arrays hold their numbers.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NO_CLASS = -1
_SIDE = 512
"""Tiles along each side. Tiles this far apart share an index: further than the view while observations last."""


@dataclass(frozen=True, eq=False)
class _Observation:
    number: int
    stamp_ns: int
    indices: NDArray[np.intp]
    classes: NDArray[np.intp]


class ClassTiles:
    """Observations by tile.

    Attributes:
        dominant: int16 [SIDE²], class of each index; `NO_CLASS` without observations.
    """

    def __init__(self, classes: int, decay: float) -> None:
        """Start empty.

        Args:
            classes: number of classes.
            decay: time until an observation expires, s.
        """
        self._decay_ns = round(decay * 1e9)
        self._counts = np.zeros((classes, _SIDE * _SIDE), np.uint16)
        self._since = np.zeros((classes, _SIDE * _SIDE), np.int64)  # the first observation that has not expired
        self.dominant = np.full(_SIDE * _SIDE, NO_CLASS, np.int16)
        self._observations: deque[_Observation] = deque()
        self._number = 0

    @staticmethod
    def indices(rows: NDArray[np.integer], columns: NDArray[np.integer]) -> NDArray[np.intp]:
        """Indices of tiles, by row and column of the cells of odom; the two are broadcast."""
        return np.asarray((rows % _SIDE) * _SIDE + columns % _SIDE, np.intp)

    def add(self, indices: NDArray[np.intp], classes: NDArray[np.intp], stamp_ns: int) -> None:
        """Add one observation of each of some tiles.

        Args:
            indices: intp [N], all different.
            classes: intp [N].
            stamp_ns: time, nanoseconds.
        """
        self._expire(stamp_ns)
        self._number += 1
        self._observations.append(_Observation(self._number, stamp_ns, indices, classes))
        self._counts[classes, indices] += 1
        often, dominant = self._counts[classes, indices], self.dominant[indices]
        leads = often > np.where(dominant == NO_CLASS, 0, self._counts[dominant, indices])
        changed, by = indices[leads], classes[leads]
        self._counts[:, changed] = 0
        self._counts[by, changed] = often[leads]
        own = self._since[by, changed]
        self._since[:, changed] = self._number + 1
        self._since[by, changed] = own
        self.dominant[changed] = by

    def _expire(self, stamp_ns: int) -> None:
        while self._observations and stamp_ns - self._observations[0].stamp_ns > self._decay_ns:
            observation = self._observations.popleft()
            counted = self._since[observation.classes, observation.indices] <= observation.number
            indices, classes = observation.indices[counted], observation.classes[counted]
            self._counts[classes, indices] -= 1
            emptied = indices[(self._counts[classes, indices] == 0) & (self.dominant[indices] == classes)]
            rest = self._counts[:, emptied]
            self.dominant[emptied] = np.where(rest.any(axis=0), rest.argmax(axis=0), NO_CLASS)
