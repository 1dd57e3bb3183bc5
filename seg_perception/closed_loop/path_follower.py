"""A differential-drive robot that follows a path: pure pursuit, and a turn in place where the path starts behind it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

SPEED = 1.5  # m/s
_LOOKAHEAD = 0.6  # m, lookahead distance of pure pursuit
_STEP = 0.05  # s
_MAX_TURN_RATE = 1.5  # rad/s
_TURN_IN_PLACE = 1.0  # rad of heading error from which the robot turns in place

Pose = tuple[float, float, float]


def follow_path(pose: Pose, path: NDArray[np.float64], seconds: float) -> Iterator[Pose]:
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
        far = np.flatnonzero(off[passed:] >= _LOOKAHEAD)
        aim = path[passed + far[0]] if far.size else path[-1]
        away = math.hypot(aim[0] - x, aim[1] - y)
        if not far.size and away < SPEED * _STEP:
            return
        error = math.remainder(math.atan2(aim[1] - y, aim[0] - x) - heading, 2.0 * math.pi)
        if abs(error) > _TURN_IN_PLACE:
            heading += math.copysign(_MAX_TURN_RATE * _STEP, error)
        else:
            rate = np.clip(2.0 * SPEED * math.sin(error) / max(away, _STEP), -_MAX_TURN_RATE, _MAX_TURN_RATE)
            x += SPEED * _STEP * math.cos(heading)
            y += SPEED * _STEP * math.sin(heading)
            heading += float(rate) * _STEP
        yield x, y, heading
