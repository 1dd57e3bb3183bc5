"""Compiled loops of `visibility` and `overhang`: one outward scan along each bearing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.utils.jit import compiled


@compiled
def _obstacle_probability(probabilities: NDArray[np.float32], standing: NDArray[np.bool_], inside: np.bool_) -> Any:
    """Obstacle probability of one sample, from its class probabilities [K]; 0 outside of the image."""
    obstacle = np.float32(0)
    if inside:
        for k in range(standing.size):
            if standing[k]:
                obstacle += probabilities[k]
    return obstacle


@compiled
def compute_visibility(
    probabilities: NDArray[np.float32],
    standing: NDArray[np.bool_],
    in_image: NDArray[np.bool_],
    ranges: NDArray[np.float64],
    threshold: float,
    depth: float,
    visible: NDArray[np.float32],
) -> None:
    """See `visibility.visibility`; `visible`, float32 [B, R], is written."""
    bearings, count = in_image.shape
    for b in range(bearings):
        occlusion, end, begun = np.float32(0), np.inf, False
        visible[b] = 0
        for r in range(count):
            if not in_image[b, r]:
                if begun:
                    break
                continue
            begun = True
            if ranges[r] > end:
                break
            obstacle = _obstacle_probability(probabilities[b, r], standing, in_image[b, r])
            if obstacle >= threshold:
                end = min(end, ranges[r] + depth)
                visible[b, r] = 1 - occlusion
            else:
                if end == np.inf:
                    visible[b, r] = 1 - occlusion
                occlusion = max(occlusion, obstacle)


@compiled
def correct_overhang(
    probabilities: NDArray[np.float32],
    standing: NDArray[np.bool_],
    overhang: NDArray[np.float32],
    in_image: NDArray[np.bool_],
    ranges: NDArray[np.float64],
    height: float,
    threshold: float,
    largest_share: float,
    source: NDArray[np.int64],
) -> None:
    """See `overhang.correct_overhang`; `source`, int64 [B, R], is written."""
    bearings, count = in_image.shape
    half_step = 0.5 * (ranges[1] - ranges[0])
    for b in range(bearings):
        for r in range(count):
            source[b, r] = b * count + r
        for first in range(count):
            obstacle = _obstacle_probability(probabilities[b, first], standing, in_image[b, first])
            if obstacle < threshold:
                continue
            hangs = np.float32(0)
            for k in range(standing.size):
                if standing[k]:
                    hangs += probabilities[b, first, k] * overhang[k]
            nearest = ranges[first] * (1 - min(hangs / obstacle / height, largest_share)) - half_step
            for r in range(first):
                if in_image[b, r] and ranges[r] >= nearest:
                    source[b, r] = b * count + first
            break
