"""The loops of `ground`, `overhang` and `ground_height`, compiled: one walk outwards along each bearing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.utils.jit import compiled


@compiled
def _standing_probability(probabilities: NDArray[np.float32], standing: NDArray[np.bool_], inside: np.bool_) -> Any:
    """Of one sample, from its class probabilities [K]; outside of the image it shows nothing."""
    stands = np.float32(0)
    if inside:
        for k in range(standing.size):
            if standing[k]:
                stands += probabilities[k]
    return stands


@compiled
def see(
    probabilities: NDArray[np.float32],
    standing: NDArray[np.bool_],
    in_image: NDArray[np.bool_],
    ranges: NDArray[np.float64],
    threshold: float,
    depth: float,
    seen: NDArray[np.float32],
) -> None:
    """See `ground.visibility`; `seen`, float32 [B, R], is written."""
    bearings, count = in_image.shape
    for b in range(bearings):
        doubt, end, begun = np.float32(0), np.inf, False
        seen[b] = 0
        for r in range(count):
            if not in_image[b, r]:
                if begun:
                    break
                continue
            begun = True
            if ranges[r] > end:
                break
            stands = _standing_probability(probabilities[b, r], standing, in_image[b, r])
            if stands >= threshold:
                end = min(end, ranges[r] + depth)
                seen[b, r] = 1 - doubt
            else:
                if end == np.inf:
                    seen[b, r] = 1 - doubt
                doubt = max(doubt, stands)


@compiled
def answer(
    probabilities: NDArray[np.float32],
    standing: NDArray[np.bool_],
    overhang: NDArray[np.float32],
    in_image: NDArray[np.bool_],
    ranges: NDArray[np.float64],
    height: float,
    threshold: float,
    largest_share: float,
    answering: NDArray[np.int64],
) -> None:
    """See `overhang.answering_samples`; `answering`, int64 [B, R], is written."""
    bearings, count = in_image.shape
    half_step = 0.5 * (ranges[1] - ranges[0])
    for b in range(bearings):
        for r in range(count):
            answering[b, r] = b * count + r
        for first in range(count):
            stands = _standing_probability(probabilities[b, first], standing, in_image[b, first])
            if stands < threshold:
                continue
            hangs = np.float32(0)
            for k in range(standing.size):
                if standing[k]:
                    hangs += probabilities[b, first, k] * overhang[k]
            nearest = ranges[first] * (1 - min(hangs / stands / height, largest_share)) - half_step
            for r in range(first):
                if in_image[b, r] and ranges[r] >= nearest:
                    answering[b, r] = b * count + first
            break


@compiled
def follow(
    lowest: NDArray[np.float32],
    steps: NDArray[np.float32],
    continued: NDArray[np.bool_],
    bounds: NDArray[np.float32],
    heights: NDArray[np.float32],
    found: NDArray[np.bool_],
    slopes: NDArray[np.float32],
) -> None:
    """See `ground_height.follow_ground`.

    Args:
        lowest: float32 [B, R], NaN where there is none.
        steps: float32 [R], m from one range to the next.
        continued: bool [B, R], where something on the same bearing continues what is there.
        bounds: float32 [6]: slope limit; noise of heights; largest step; fall and rise that the first ground may have
            over what its slope leads to, and the rise of later ground; length over which a slope is averaged.
        heights, found, slopes: float32, bool, float32 [B, R], written.
    """
    limit, noise, tread, first_rise, later_rise, length = bounds
    for b in range(lowest.shape[0]):
        height = slope = upper = lower = gap = np.float32(0)
        fall = rise = first_rise
        for r in range(steps.size):
            candidate = lowest[b, r]
            gap += steps[r]
            expected = height + slope * gap
            upper += limit * steps[r]
            lower -= limit * steps[r]
            off = candidate - expected
            near = abs(off) <= tread or (continued[b, r] and -fall <= off <= rise)
            if near and lower - noise <= candidate <= upper + noise:
                newest = (candidate - height) / max(gap, np.float32(1e-3))
                newest = slope + min(gap / length, np.float32(1)) * (newest - slope)
                slope = min(max(newest, -limit), limit)
                height = heights[b, r] = candidate
                upper, lower = min(upper, candidate), max(lower, candidate)
                fall, rise, gap = tread, later_rise, np.float32(0)
                found[b, r] = True
            else:
                heights[b, r] = min(max(expected, lower), upper)
                found[b, r] = False
            slopes[b, r] = slope
