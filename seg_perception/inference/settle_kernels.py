"""Scores to logits, and where the decision is settled by them: the first loops of `cpu_risk`, compiled.

Logits are [rows, columns, K], so that one pixel's classes lie side by side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seg_perception.compiled import compiled

UNSETTLED = -1

_LOG2_E = np.float32(1.44269504)
# ln 2 in two parts, the first of few bits, so that n ln 2 is exact (Cody and Waite, 1980).
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_HALF, _ONE = np.float32(0.5), np.float32(1)
# The minimax polynomial of (e^r - 1 - r) / r² on |r| <= ln 2 / 2 in Cephes' expf; relative error below 2e-7.
_P0, _P1, _P2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
_P3, _P4, _P5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)


@compiled
def exponentials(values: NDArray[np.float32], bits: NDArray[np.int32]) -> None:
    """Replace values from -87 to 88 by e to their power; `bits` is scratch of the same length."""
    powers = bits.view(np.float32)
    for i in range(values.size):
        n = np.floor(values[i] * _LOG2_E + _HALF)
        r = values[i] - n * _LN2_HIGH - n * _LN2_LOW
        tail = ((((_P0 * r + _P1) * r + _P2) * r + _P3) * r + _P4) * r + _P5
        values[i] = tail * r * r + r + _ONE
        bits[i] = (np.int32(n) + np.int32(127)) << np.int32(23)  # 2 to the power of n, as a float32 is written
    for i in range(values.size):
        values[i] *= powers[i]


@compiled
def calibrate(
    scores: NDArray[np.float32],
    scale: NDArray[np.float32],
    offset: NDArray[np.float32],
    lowest: np.float32,
    logits: NDArray[np.float32],
) -> None:
    """One row of scores [K, columns] to logits [columns, K]: max(scale * (score - highest score) + offset, lowest)."""
    classes, columns = scores.shape
    highest = scores[0].copy()
    for k in range(1, classes):
        for i in range(columns):
            highest[i] = max(highest[i], scores[k, i])
    for k in range(classes):
        for i in range(columns):
            logits[i, k] = max((scores[k, i] - highest[i]) * scale[k] + offset[k], lowest)


@compiled
def settle(
    masses: NDArray[np.float32],
    costs: NDArray[np.float32],
    choice: NDArray[np.int64],
    gain: NDArray[np.float32],
    loss: NDArray[np.float32],
    settled: NDArray[np.int32],
) -> None:
    """A class at each logit whose decision also holds wherever this is mixed with others that settled on the same one.

    Decision a is better than d where the sum over k of (C[d, k] - C[a, k]) p_k is above 0. Of what speaks for a only
    one class c is counted, of what speaks against it everything. Divided by p_c, what is left is a constant minus a sum
    of p_k / p_c with weights of at least 0; each of them is the exponential of a linear function of the logits, hence
    convex. Bilinear interpolation mixes four logits with weights that sum to 1, so by Jensen's inequality what holds at
    all four holds everywhere between them.

    Args:
        masses: float32 [pixels, K], exp of the logits.
        costs: float32 [A, K], decision rows, all different.
        choice: int64 [K], a, the cheapest decision where the class is certain.
        gain: float32 [K], the least of C[d, c] - C[a, c] over all d but a, for class c.
        loss: float32 [K, K], the most of C[a, k] - C[d, k] over all d, and 0 for k = c.
        settled: int32 [pixels], written; UNSETTLED where there is no such class.
    """
    decisions, classes = costs.shape
    for i in range(masses.shape[0]):
        likeliest = 0
        for k in range(classes):
            if masses[i, k] > masses[i, likeliest]:
                likeliest = k
        against = np.float32(0)
        for k in range(classes):
            against += loss[likeliest, k] * masses[i, k]
        if gain[likeliest] * masses[i, likeliest] > against:  # one bound for all d settles nearly all pixels
            settled[i] = likeliest
            continue
        best, least = 0, np.float32(np.inf)
        for a in range(decisions):
            risk = np.float32(0)
            for k in range(classes):
                risk += costs[a, k] * masses[i, k]
            if risk < least:
                best, least = a, risk
        settled[i] = UNSETTLED
        for k in range(classes):
            if choice[k] == best and (settled[i] == UNSETTLED or masses[i, k] > masses[i, settled[i]]):
                settled[i] = k
        own = settled[i]
        if own == UNSETTLED:
            continue
        for d in range(decisions):
            margin = (costs[d, own] - costs[best, own]) * masses[i, own]
            for k in range(classes):
                if k != own:
                    margin -= max(costs[best, k] - costs[d, k], np.float32(0)) * masses[i, k]
            if d != best and margin <= 0:
                settled[i] = UNSETTLED


@compiled
def read_rows(
    scores: NDArray[np.float32],
    scale: NDArray[np.float32],
    offset: NDArray[np.float32],
    lowest: np.float32,
    costs: NDArray[np.float32],
    choice: NDArray[np.int64],
    gain: NDArray[np.float32],
    loss: NDArray[np.float32],
    first: int,
    last: int,
    logits: NDArray[np.float32],
    settled: NDArray[np.int32],
) -> None:
    """`calibrate` and `settle` for some rows.

    Args:
        scores: float32 [K, h, w], of the network.
        scale, offset, lowest: as in `calibrate`.
        costs, choice, gain, loss: as in `settle`.
        first, last: rows, 0 to h.
        logits: float32 [h, w, K], written.
        settled: int32 [h, w], written.
    """
    width, classes = logits.shape[1:]
    masses, bits = np.empty((width, classes), np.float32), np.empty(width * classes, np.int32)
    for row in range(first, last):
        calibrate(scores[:, row], scale, offset, lowest, logits[row])
        masses[:] = logits[row]
        exponentials(masses.ravel(), bits)
        settle(masses, costs, choice, gain, loss, settled[row])
