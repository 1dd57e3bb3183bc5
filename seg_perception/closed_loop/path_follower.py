"""A robot with two wheels that follows a path: pure pursuit, and a turn on the spot where the path begins behind."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

SPEED = 1.5  # m/s
_AHEAD = 0.6  # m of path between the robot and the point that it steers for
_STEP = 0.05  # s
_TURN = 1.5  # rad/s at most
_ON_THE_SPOT = 1.0  # rad of error in heading from which the robot turns without driving

Pose = tuple[float, float, float]


def follow(pose: Pose, path: NDArray[np.float64], seconds: float) -> Iterator[Pose]:
    """Poses while following a path.

    Source: Coulter, Implementation of the pure pursuit path tracking algorithm, CMU-RI-TR-92-01.

    Args:
        pose: x, y (m) and heading (rad).
        path: float64 [n, 2], x, y, m.
        seconds: how long; the robot stops earlier at the end of the path.

    Yields:
        The pose after each 0.05 s.
    """
    x, y, heading = pose
    passed = 0
    for _ in range(round(seconds / _STEP)):
        off = np.hypot(*(path - (x, y)).T)
        # Only forwards, or a path that comes back near itself would be cut short.
        passed += int(np.argmin(off[passed : passed + 40]))
        far = np.flatnonzero(off[passed:] >= _AHEAD)
        aim = path[passed + far[0]] if far.size else path[-1]
        away = math.hypot(aim[0] - x, aim[1] - y)
        if not far.size and away < SPEED * _STEP:
            return
        error = math.remainder(math.atan2(aim[1] - y, aim[0] - x) - heading, 2.0 * math.pi)
        if abs(error) > _ON_THE_SPOT:
            heading += math.copysign(_TURN * _STEP, error)
        else:
            rate = np.clip(2.0 * SPEED * math.sin(error) / max(away, _STEP), -_TURN, _TURN)
            x += SPEED * _STEP * math.cos(heading)
            y += SPEED * _STEP * math.sin(heading)
            heading += float(rate) * _STEP
        yield x, y, heading
