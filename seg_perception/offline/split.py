"""Where to cut recordings so that many workers finish together, and how much of what came before each must see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seg_perception.offline.segment import WHOLE, Stretch
from seg_perception.settings.grid import GridSettings

_LEAST_STRETCH = 2
"""A stretch is at least so many times as long as its warm-up: cut finer, workers mostly repeat each other's work."""


@dataclass(frozen=True)
class Length:
    """How long a recording is.

    Attributes:
        images: how many; None where that is not known.
        warm_up: how many of them a map must have seen to be what it would be after all before; inf for all of them.
    """

    images: int | None
    warm_up: float


def memory_s(settings: GridSettings, classes: int) -> float:
    """After how long a map that is shown the same no longer depends on what it held, most likely to the last bit.

    Each half-life takes one bit from what two maps differ by, so after as many as a float32 has bits only last bits
    differ. Two such counts meet as soon as rounding takes them to the same number, half of them in every half-life; so
    log2 of how many counts there are, and a few more, leave one that differs in about one of thirty maps. What is no
    longer shown does not meet, but fades, and is cut off below `grid.FORGOTTEN`, or is left behind by the robot.

    Args:
        settings: of the map.
        classes: K.

    Returns:
        Seconds.
    """
    counts = (classes + 1) * settings.rows * settings.cols
    half_lives = -math.log2(float(np.finfo(np.float32).eps)) + math.log2(counts) + 5
    return half_lives * max(settings.half_life, *(seconds for _, seconds in settings.half_lives), 0.0)


def split(lengths: Sequence[Length], workers: int) -> list[list[Stretch]]:
    """Cut recordings into stretches, as few as keep all workers busy.

    Args:
        lengths: of the recordings.
        workers: how many there are.

    Returns:
        For each recording its stretches, in order, all about as much work including their warm-up.
    """
    share = math.ceil(sum(length.images or 0 for length in lengths) / workers)
    return [_cut(length, share) for length in lengths]


def _cut(length: Length, share: int) -> list[Stretch]:
    images, warm_up = length.images, length.warm_up
    if not images or not math.isfinite(warm_up):
        return [WHOLE]
    count = math.ceil(images / share)
    if warm_up:
        count = min(count, math.floor((images + warm_up) / ((_LEAST_STRETCH + 1) * warm_up)))
    if count < 2:
        return [WHOLE]
    # The first needs no warm-up and takes as many images more.
    work = (images + (count - 1) * warm_up) / count
    firsts = [0, *(round(work + number * (work - warm_up)) for number in range(count - 1))]
    ends = [*firsts[1:], None]
    return [Stretch(first, end, max(0, first - math.ceil(warm_up))) for first, end in zip(firsts, ends, strict=True)]
