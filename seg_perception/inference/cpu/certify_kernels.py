"""Compiled kernels, first pass: scores to logits, and classes that certify the decision of whole blocks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seg_perception.utils.jit import compiled

UNCERTIFIED = -1

CHUNK = 1024
"""Pixels per inner loop: enough for vectorised loops, few enough for the caches."""

_LOG2_E = np.float32(1.44269504)
# ln 2 in two parts, the first of few bits, so that n ln 2 is exact (Cody and Waite, 1980).
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_HALF, _ONE = np.float32(0.5), np.float32(1)
# The minimax polynomial of (e^r - 1 - r) / r² on |r| <= ln 2 / 2 in Cephes' expf; relative error below 2e-7.
_P0, _P1, _P2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
_P3, _P4, _P5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)


class LogitMapping(NamedTuple):
    """Maps scores to calibrated logits: max(scale * (score - highest score) + offset, lowest).

    Attributes:
        scale: float32 [K].
        offset: float32 [K].
        lowest: float32.
    """

    scale: NDArray[np.float32]
    offset: NDArray[np.float32]
    lowest: np.float32


class DecisionTable(NamedTuple):
    """The decision rows of a cost matrix as the kernels need them: A different decisions over K classes.

    Only differences between risks matter. So the most frequent cost of each class is subtracted from its column; few
    costs differ from 0 then, and only they are stored (compressed sparse rows) and summed.

    Attributes:
        labels: uint8 [A], the label of each decision.
        starts: int64 [A + 1], where the entries of each decision start in `classes` and `extra`.
        classes: int64 [J], the class of each entry.
        extra: float32 [J], cost of the decision if the true class is that one, less the most frequent cost.
        costs: float32 [A, K], the dense matrix.
        choice: int64 [K], the decision of least cost if a class is certain.
        gain: float32 [K], by how much that decision is better than the next one, if the class is certain.
        loss: float32 [K, K], [j, k]: by how much decision `choice[k]` is worse than the best one if the true class is
            j; 0 for j = k.
    """

    labels: NDArray[np.uint8]
    starts: NDArray[np.int64]
    classes: NDArray[np.int64]
    extra: NDArray[np.float32]
    costs: NDArray[np.float32]
    choice: NDArray[np.int64]
    gain: NDArray[np.float32]
    loss: NDArray[np.float32]

    @classmethod
    def from_rows(cls, rows: NDArray[np.float32]) -> DecisionTable:
        """Build the table from decision rows [K, K]; of equal rows only the first is kept."""
        first = np.sort(np.unique(rows, axis=0, return_index=True)[1])
        costs = np.ascontiguousarray(rows[first])
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
            first.astype(np.uint8),
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
    """Replace values in -87..88 by their exponentials, in place; `bits` is scratch of the same length."""
    powers = bits.view(np.float32)
    for i in range(values.size):
        n = np.floor(values[i] * _LOG2_E + _HALF)
        r = values[i] - n * _LN2_HIGH - n * _LN2_LOW
        tail = ((((_P0 * r + _P1) * r + _P2) * r + _P3) * r + _P4) * r + _P5
        values[i] = tail * r * r + r + _ONE
        bits[i] = (np.int32(n) + np.int32(127)) << np.int32(23)  # the bits of 2**n as a float32
    for i in range(values.size):
        values[i] *= powers[i]


@compiled
def map_logits(scores: NDArray[np.float32], mapping: LogitMapping, logits: NDArray[np.float32]) -> None:
    """Map scores [K, pixels] to calibrated logits [K, pixels]."""
    classes, pixels = scores.shape
    highest = scores[0].copy()
    for k in range(1, classes):
        for i in range(pixels):
            highest[i] = max(highest[i], scores[k, i])
    for k in range(classes):
        scale, offset = mapping.scale[k], mapping.offset[k]
        for i in range(pixels):
            logits[k, i] = max((scores[k, i] - highest[i]) * scale + offset, mapping.lowest)


@compiled
def least_risk(
    masses: NDArray[np.float32],
    table: DecisionTable,
    risk: NDArray[np.float32],
    least: NDArray[np.float32],
    best: NDArray[np.int32],
) -> None:
    """Find the decision of least risk at each pixel.

    Args:
        masses: float32 [K, pixels], unnormalised probabilities.
        table: the decisions.
        risk, least: float32 [pixels], scratch.
        best: int32 [pixels], written: index of the decision.
    """
    pixels = best.size
    least[:] = np.inf
    for a in range(table.labels.size):
        risk[:] = 0
        for j in range(table.starts[a], table.starts[a + 1]):
            mass, extra = masses[table.classes[j]], table.extra[j]
            for i in range(pixels):
                risk[i] += extra * mass[i]
        for i in range(pixels):
            best[i] = a if risk[i] < least[i] else best[i]
            least[i] = min(risk[i], least[i])


@compiled
def certify_labels(masses: NDArray[np.float32], table: DecisionTable, certified: NDArray[np.int32]) -> None:
    """Certify a class at each logit: its decision holds wherever logits certified with the same class are mixed.

    Decision a is better than b where the sum over k of (C[b, k] - C[a, k]) p_k is above 0. The bound keeps one class c
    of the positive terms, and all negative terms. Divided by p_c, it is a constant minus a sum of p_k / p_c with
    weights of at least 0. Each p_k / p_c is the exponential of a linear function of the logits, hence convex. Bilinear
    interpolation mixes four logits with weights that sum to 1. So by Jensen's inequality a bound that is positive at
    all four logits is positive everywhere between them.

    Args:
        masses: float32 [K, pixels], exp of the logits: unnormalised probabilities.
        table: the decisions.
        certified: int32 [pixels], written; UNCERTIFIED where no class fulfils the bound.
    """
    classes, pixels = masses.shape
    highest, counter_evidence = masses[0].copy(), np.zeros(pixels, np.float32)
    certified[:] = 0
    for k in range(1, classes):
        for i in range(pixels):
            certified[i] = k if masses[k, i] > highest[i] else certified[i]
            highest[i] = max(highest[i], masses[k, i])
    for k in range(classes):
        loss = table.loss[k]
        for i in range(pixels):
            counter_evidence[i] += loss[certified[i]] * masses[k, i]
    remaining = np.empty(pixels, np.int64)
    count = 0
    for i in range(pixels):  # a common bound for all b certifies nearly all pixels
        if table.gain[certified[i]] * highest[i] <= counter_evidence[i]:
            remaining[count] = i
            count += 1
    if count:
        _certify_remaining(masses, remaining[:count], table, certified)


@compiled
def _certify_remaining(
    masses: NDArray[np.float32], remaining: NDArray[np.int64], table: DecisionTable, certified: NDArray[np.int32]
) -> None:
    """`certify_labels` with a bound for each b, for the pixels that the common bound does not certify."""
    classes, count = masses.shape[0], remaining.size
    others, costs = np.empty((classes, count), np.float32), np.empty((classes, count), np.float32)
    for k in range(classes):
        for i in range(count):
            others[k, i] = masses[k, remaining[i]]
    best, risk, least = np.zeros(count, np.int32), np.empty(count, np.float32), np.empty(count, np.float32)
    least_risk(others, table, risk, least, best)
    for k in range(classes):
        for i in range(count):
            costs[k, i] = table.costs[best[i], k]
    anchor, mass, worst_margin = (
        np.full(count, UNCERTIFIED),
        np.zeros(count, np.float32),
        np.full(count, np.float32(np.inf)),
    )
    for i in range(count):
        for k in range(classes):
            if table.choice[k] == best[i] and others[k, i] > mass[i]:
                anchor[i], mass[i] = k, others[k, i]
        if anchor[i] == UNCERTIFIED:  # no single class makes the best decision best
            worst_margin[i] = 0
        else:
            others[anchor[i], i] = 0
    margin = risk
    for b in range(table.labels.size):
        for i in range(count):
            margin[i] = (table.costs[b, anchor[i]] - costs[anchor[i], i]) * mass[i]
        for k in range(classes):
            cost = table.costs[b, k]
            for i in range(count):
                margin[i] -= max(costs[k, i] - cost, np.float32(0)) * others[k, i]
        for i in range(count):
            worst_margin[i] = min(worst_margin[i], margin[i]) if b != best[i] else worst_margin[i]
    for i in range(count):
        certified[remaining[i]] = anchor[i] if worst_margin[i] > 0 else UNCERTIFIED


@compiled
def calibrate_and_certify(
    scores: NDArray[np.float32],
    mapping: LogitMapping,
    table: DecisionTable,
    first: int,
    last: int,
    logits: NDArray[np.float32],
    certified: NDArray[np.int32],
) -> None:
    """`map_logits` and `certify_labels` for some pixels of the network's scores.

    Args:
        scores: float32 [K, n], of the network.
        mapping: of scores to logits.
        table: the decisions.
        first, last: pixels, 0 to n.
        logits: float32 [K, n], written.
        certified: int32 [n], written; as in `certify_labels`.
    """
    for begin in range(first, last, CHUNK):
        end = min(begin + CHUNK, last)
        map_logits(scores[:, begin:end], mapping, logits[:, begin:end])
        masses = logits[:, begin:end].copy()
        exponentials(masses.ravel(), np.empty(masses.size, np.int32))
        certify_labels(masses, table, certified[begin:end])
