"""Scores to logits, and where the decision is settled by them: the first loops of `cpu_risk`, compiled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seg_perception.utils.jit import compiled

UNSETTLED = -1

TOGETHER = 1024
"""Pixels that are read at a time: enough for long inner loops, few enough for the caches."""

_LOG2_E = np.float32(1.44269504)
# ln 2 in two parts, the first of few bits, so that n ln 2 is exact (Cody and Waite, 1980).
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_HALF, _ONE = np.float32(0.5), np.float32(1)
# The minimax polynomial of (e^r - 1 - r) / r² on |r| <= ln 2 / 2 in Cephes' expf; relative error below 2e-7.
_P0, _P1, _P2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
_P3, _P4, _P5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)


class Reading(NamedTuple):
    """How scores become logits: max(scale * (score - highest score) + offset, lowest).

    Attributes:
        scale: float32 [K].
        offset: float32 [K].
        lowest: float32.
    """

    scale: NDArray[np.float32]
    offset: NDArray[np.float32]
    lowest: np.float32


class Decisions(NamedTuple):
    """A cost matrix as the loops want it: A decisions, all different.

    Decisions are compared, so what a class costs in most of them can be taken off all of them: few costs are left, and
    only they are summed up.

    Attributes:
        names: uint8 [A], what each decision is called in the labels.
        starts: int64 [A + 1], where the costs of each decision begin in the next two.
        classes: int64 [J], of whom.
        extra: float32 [J], cost of the decision if the truth is that class, less what it costs in most decisions.
        costs: float32 [A, K], all of them.
        choice: int64 [K], the cheapest decision where a class is certain.
        gain: float32 [K], by how much that one is better than the next, if the class is certain.
        loss: float32 [K, K], [j, k]: by how much the decision `choice[k]` is worse than the best if the truth is j; 0
            for j = k.
    """

    names: NDArray[np.uint8]
    starts: NDArray[np.int64]
    classes: NDArray[np.int64]
    extra: NDArray[np.float32]
    costs: NDArray[np.float32]
    choice: NDArray[np.int64]
    gain: NDArray[np.float32]
    loss: NDArray[np.float32]

    @classmethod
    def of(cls, rows: NDArray[np.float32]) -> Decisions:
        """From decision rows [K, K]. Of equal rows the first decides, so the others are left out."""
        names = np.sort(np.unique(rows, axis=0, return_index=True)[1])
        costs = np.ascontiguousarray(rows[names])
        kinds = (np.unique(column, return_counts=True) for column in costs.T)
        extra = costs - np.array([values[counts.argmax()] for values, counts in kinds], np.float32)
        starts = np.concatenate([[0], np.cumsum(np.count_nonzero(extra, axis=1))])
        classes = np.arange(rows.shape[1])
        choice = costs.argmin(axis=0)
        better_by = costs - costs[choice, classes]
        better_by[choice, classes] = np.inf
        loss = (costs[choice] - costs[:, np.newaxis]).max(axis=0).T
        loss[classes, classes] = 0
        return cls(
            names.astype(np.uint8),
            starts,
            np.ascontiguousarray(np.nonzero(extra)[1]),
            extra[extra != 0],
            costs,
            choice,
            better_by.min(axis=0),
            np.ascontiguousarray(loss),
        )


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
def calibrate(scores: NDArray[np.float32], reading: Reading, logits: NDArray[np.float32]) -> None:
    """Scores [K, pixels] to logits [K, pixels]."""
    classes, pixels = scores.shape
    highest = scores[0].copy()
    for k in range(1, classes):
        for i in range(pixels):
            highest[i] = max(highest[i], scores[k, i])
    for k in range(classes):
        scale, offset = reading.scale[k], reading.offset[k]
        for i in range(pixels):
            logits[k, i] = max((scores[k, i] - highest[i]) * scale + offset, reading.lowest)


@compiled
def cheapest(
    masses: NDArray[np.float32],
    d: Decisions,
    risk: NDArray[np.float32],
    least: NDArray[np.float32],
    best: NDArray[np.int32],
) -> None:
    """The decision of least risk, int32 [pixels], for masses float32 [K, pixels]; the rest is scratch."""
    pixels = best.size
    least[:] = np.inf
    for a in range(d.names.size):
        risk[:] = 0
        for j in range(d.starts[a], d.starts[a + 1]):
            mass, extra = masses[d.classes[j]], d.extra[j]
            for i in range(pixels):
                risk[i] += extra * mass[i]
        for i in range(pixels):
            best[i] = a if risk[i] < least[i] else best[i]
            least[i] = min(risk[i], least[i])


@compiled
def settle(masses: NDArray[np.float32], d: Decisions, settled: NDArray[np.int32]) -> None:
    """A class at each logit whose decision also holds wherever this is mixed with others that settled on the same one.

    Decision a is better than b where the sum over k of (C[b, k] - C[a, k]) p_k is above 0. Of what speaks for a only
    one class c is counted, of what speaks against it everything. Divided by p_c, what is left is a constant minus a sum
    of p_k / p_c with weights of at least 0; each of them is the exponential of a linear function of the logits, hence
    convex. Bilinear interpolation mixes four logits with weights that sum to 1, so by Jensen's inequality what holds at
    all four holds everywhere between them.

    Args:
        masses: float32 [K, pixels], exp of the logits.
        d: the decisions.
        settled: int32 [pixels], written; UNSETTLED where there is no such class.
    """
    classes, pixels = masses.shape
    highest, against = masses[0].copy(), np.zeros(pixels, np.float32)
    settled[:] = 0
    for k in range(1, classes):
        for i in range(pixels):
            settled[i] = k if masses[k, i] > highest[i] else settled[i]
            highest[i] = max(highest[i], masses[k, i])
    for k in range(classes):
        loss = d.loss[k]
        for i in range(pixels):
            against[i] += loss[settled[i]] * masses[k, i]
    left = np.empty(pixels, np.int64)
    count = 0
    for i in range(pixels):  # one bound for all b settles nearly all pixels
        if d.gain[settled[i]] * highest[i] <= against[i]:
            left[count] = i
            count += 1
    if count:
        _settle_each(masses, left[:count], d, settled)


@compiled
def _settle_each(
    masses: NDArray[np.float32], left: NDArray[np.int64], d: Decisions, settled: NDArray[np.int32]
) -> None:
    """`settle` with a bound for each b, for the pixels that are left."""
    classes, count = masses.shape[0], left.size
    rest, costs = np.empty((classes, count), np.float32), np.empty((classes, count), np.float32)
    for k in range(classes):
        for i in range(count):
            rest[k, i] = masses[k, left[i]]
    best, risk, least = np.zeros(count, np.int32), np.empty(count, np.float32), np.empty(count, np.float32)
    cheapest(rest, d, risk, least, best)
    for k in range(classes):
        for i in range(count):
            costs[k, i] = d.costs[best[i], k]
    own, mass, sure = np.full(count, UNSETTLED), np.zeros(count, np.float32), np.full(count, np.float32(np.inf))
    for i in range(count):
        for k in range(classes):
            if d.choice[k] == best[i] and rest[k, i] > mass[i]:
                own[i], mass[i] = k, rest[k, i]
        if own[i] == UNSETTLED:  # no class speaks for the best decision by itself
            sure[i] = 0
        else:
            rest[own[i], i] = 0
    margin = risk
    for b in range(d.names.size):
        for i in range(count):
            margin[i] = (d.costs[b, own[i]] - costs[own[i], i]) * mass[i]
        for k in range(classes):
            cost = d.costs[b, k]
            for i in range(count):
                margin[i] -= max(costs[k, i] - cost, np.float32(0)) * rest[k, i]
        for i in range(count):
            sure[i] = min(sure[i], margin[i]) if b != best[i] else sure[i]
    for i in range(count):
        settled[left[i]] = own[i] if sure[i] > 0 else UNSETTLED


@compiled
def read(
    scores: NDArray[np.float32],
    reading: Reading,
    d: Decisions,
    first: int,
    last: int,
    logits: NDArray[np.float32],
    settled: NDArray[np.int32],
) -> None:
    """`calibrate` and `settle` for some pixels of the network's scores.

    Args:
        scores: float32 [K, n], of the network.
        reading: of the scores.
        d: the decisions.
        first, last: pixels, 0 to n.
        logits: float32 [K, n], written.
        settled: int32 [n], written.
    """
    for begin in range(first, last, TOGETHER):
        end = min(begin + TOGETHER, last)
        calibrate(scores[:, begin:end], reading, logits[:, begin:end])
        masses = logits[:, begin:end].copy()
        exponentials(masses.ravel(), np.empty(masses.size, np.int32))
        settle(masses, d, settled[begin:end])
