"""Cut recordings into segments of equal work, each with a warm-up over the images before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seg_perception.offline.segment import WHOLE, Segment
from seg_perception.settings.grid import GridSettings

_MIN_SEGMENT = 2
"""Least length of a segment in warm-ups: with shorter ones, workers would mostly repeat each other's work."""


@dataclass(frozen=True)
class RecordingLength:
    """The length of a recording.

    Attributes:
        images: number of images; None if unknown.
        warm_up: number of images after which a map no longer depends on earlier ones; inf if it always does.
    """

    images: int | None
    warm_up: float


def warm_up_s(settings: GridSettings, classes: int) -> float:
    """The time after which two maps that get the same images are equal, most likely to the last bit.

    Each half-life of the evidence halves the difference of two maps. After as many half-lives as a float32 has bits of
    precision, only last bits differ. In each further half-life rounding makes half of these counts equal. So log2 of
    the number of counts, and a few half-lives more, leave a difference in about one of thirty maps. Evidence of cells
    that are no longer observed decays until it is set to zero, or leaves the grid with the robot.

    Args:
        settings: of the map.
        classes: K.

    Returns:
        Seconds.
    """
    counts = (classes + 1) * settings.rows * settings.cols
    half_lives = -math.log2(float(np.finfo(np.float32).eps)) + math.log2(counts) + 5
    return half_lives * max(settings.half_life, *(seconds for _, seconds in settings.half_lives), 0.0)


def split(lengths: Sequence[RecordingLength], workers: int) -> list[list[Segment]]:
    """Cut recordings into as few segments as keep all workers busy.

    Args:
        lengths: of the recordings.
        workers: number of workers.

    Returns:
        The segments of each recording, in order; all are about equal work including their warm-up.
    """
    share = math.ceil(sum(length.images or 0 for length in lengths) / workers)
    return [_cut(length, share) for length in lengths]


def _cut(length: RecordingLength, share: int) -> list[Segment]:
    images, warm_up = length.images, length.warm_up
    if not images or not math.isfinite(warm_up):
        return [WHOLE]
    count = math.ceil(images / share)
    if warm_up:
        count = min(count, math.floor((images + warm_up) / ((_MIN_SEGMENT + 1) * warm_up)))
    if count < 2:
        return [WHOLE]
    # The first segment needs no warm-up, so it gets more images.
    run_job = (images + (count - 1) * warm_up) / count
    firsts = [0, *(round(run_job + number * (run_job - warm_up)) for number in range(count - 1))]
    ends = [*firsts[1:], None]
    return [Segment(first, end, max(0, first - math.ceil(warm_up))) for first, end in zip(firsts, ends, strict=True)]
