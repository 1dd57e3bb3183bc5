"""The loops of `cpu_risk`, compiled. Logits are [rows, columns, K], so that one pixel's classes lie side by side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seg_perception.compiled import compiled

UNSETTLED = -1

LANES = 128
"""Pixels that are judged at a time: several blocks, so that the inner loops are long enough to pay."""

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


@compiled
def _mix(
    logits: NDArray[np.float32],
    row: int,
    blocks: NDArray[np.int64],
    weights: NDArray[np.float32],
    masses: NDArray[np.float32],
    bits: NDArray[np.int32],
) -> None:
    """exp of the logits upsampled in some blocks of a row, into masses [K, at least blocks * factor²]."""
    height, width, classes = logits.shape
    up, down = max(row - 1, 0), min(row, height - 1)
    area = weights.shape[1]
    of_a, of_b, of_c, of_d = weights[0], weights[1], weights[2], weights[3]
    for k in range(classes):
        for n in range(blocks.size):
            left, right = max(blocks[n] - 1, 0), min(blocks[n], width - 1)
            a, b, c, d = logits[up, left, k], logits[up, right, k], logits[down, left, k], logits[down, right, k]
            mixed = masses[k, n * area : (n + 1) * area]
            for i in range(area):
                mixed[i] = of_a[i] * a + of_b[i] * b + of_c[i] * c + of_d[i] * d
    exponentials(masses.ravel(), bits)


@compiled
def _weave(
    values: NDArray[np.uint8], row: int, blocks: NDArray[np.int64], factor: int, image: NDArray[np.uint8]
) -> None:
    """What was found for some blocks of a row [blocks * factor²] to its place in the image."""
    before = (factor + 1) // 2
    for n in range(blocks.size):
        first_row, first_column = factor * row - before, factor * blocks[n] - before
        for y in range(max(first_row, 0), min(first_row + factor, image.shape[0])):
            for x in range(max(first_column, 0), min(first_column + factor, image.shape[1])):
                image[y, x] = values[(n * factor + y - first_row) * factor + x - first_column]


@compiled
def decide(
    logits: NDArray[np.float32],
    settled: NDArray[np.int32],
    costs: NDArray[np.float32],
    choice: NDArray[np.int64],
    names: NDArray[np.uint8],
    weights: NDArray[np.float32],
    factor: int,
    first: int,
    last: int,
    labels: NDArray[np.uint8],
) -> None:
    """The Bayes decision at the pixels of some rows of blocks of the upsampled logits.

    A block is what lies between four logits, factor x factor pixels: block (r, c) mixes (r - 1, c - 1) to (r, c).

    Args:
        logits: float32 [h, w, K].
        settled: int32 [h, w], from `settle`.
        costs, choice: as in `settle`.
        names: uint8 [A], what each decision is called in the labels.
        weights: float32 [4, factor²], of the four logits for each pixel of a block.
        factor: pixels per logit along each axis.
        first, last: rows of blocks, 0 to h + 1.
        labels: uint8 [factor * h, factor * w], written.
    """
    height, width, classes = logits.shape
    before, area = (factor + 1) // 2, factor * factor
    together = max(1, LANES // area)
    lanes = together * area
    masses, bits = np.zeros((classes, lanes), np.float32), np.empty(classes * lanes, np.int32)
    risk, least, best = np.empty(lanes, np.float32), np.empty(lanes, np.float32), np.empty(lanes, np.uint8)
    open_blocks = np.empty(width + 1, np.int64)
    for row in range(first, last):
        up, down = max(row - 1, 0), min(row, height - 1)
        top, bottom = max(factor * row - before, 0), min(factor * (row + 1) - before, labels.shape[0])
        count = 0
        for block in range(width + 1):
            left, right = max(block - 1, 0), min(block, width - 1)
            one = settled[up, left]
            alike = one == settled[up, right] and one == settled[down, left] and one == settled[down, right]
            if one == UNSETTLED or not alike:
                open_blocks[count] = block
                count += 1
                continue
            start, stop = max(factor * block - before, 0), min(factor * (block + 1) - before, labels.shape[1])
            name = names[choice[one]]
            for y in range(top, bottom):
                for x in range(start, stop):
                    labels[y, x] = name
        for begin in range(0, count, together):
            blocks = open_blocks[begin : min(begin + together, count)]
            _mix(logits, row, blocks, weights, masses, bits)
            least[:] = np.inf
            for a in range(names.size):
                risk[:] = 0
                for k in range(classes):
                    cost = costs[a, k]
                    for i in range(lanes):
                        risk[i] += cost * masses[k, i]
                for i in range(lanes):
                    best[i] = names[a] if risk[i] < least[i] else best[i]
                    least[i] = min(risk[i], least[i])
            _weave(best, row, blocks, factor, labels)


@compiled
def paint(
    logits: NDArray[np.float32],
    traverse: NDArray[np.float32],
    weights: NDArray[np.float32],
    factor: int,
    first: int,
    last: int,
    confidence: NDArray[np.uint8],
    cost: NDArray[np.uint8],
) -> None:
    """Confidence and expected cost at the pixels of some rows of blocks of the upsampled logits.

    Args:
        logits: float32 [h, w, K].
        traverse: float32 [K].
        weights, factor, first, last: as in `decide`.
        confidence, cost: uint8 [factor * h, factor * w], written.
    """
    width, classes = logits.shape[1:]
    area = factor * factor
    together = max(1, LANES // area)
    lanes = together * area
    masses, bits = np.zeros((classes, lanes), np.float32), np.empty(classes * lanes, np.int32)
    total, highest, mean = np.empty(lanes, np.float32), np.empty(lanes, np.float32), np.empty(lanes, np.float32)
    sure, dear = np.empty(lanes, np.uint8), np.empty(lanes, np.uint8)
    columns = np.arange(width + 1)
    for row in range(first, last):
        for begin in range(0, width + 1, together):
            blocks = columns[begin : min(begin + together, width + 1)]
            _mix(logits, row, blocks, weights, masses, bits)
            total[:] = 0
            highest[:] = 0
            mean[:] = 0
            for k in range(classes):
                price = traverse[k]
                for i in range(lanes):
                    total[i] += masses[k, i]
                    mean[i] += price * masses[k, i]
                    highest[i] = max(highest[i], masses[k, i])
            for i in range(lanes):
                sure[i] = np.uint8(np.rint(highest[i] / total[i] * np.float32(255)))
                dear[i] = np.uint8(np.rint(min(mean[i] / total[i], np.float32(254))))
            _weave(sure, row, blocks, factor, confidence)
            _weave(dear, row, blocks, factor, cost)


@compiled
def sample(logits: NDArray[np.float32], cells: NDArray[np.float32], probabilities: NDArray[np.float32]) -> None:
    """Class probabilities at places of the image: bilinear samples of the logits, then softmax.

    Args:
        logits: float32 [h, w, K].
        cells: float32 [G, 2], (x, y) in -1..1 from edge to edge; beyond the outer pixel centres the edge is held.
        probabilities: float32 [G, K], written.
    """
    height, width, classes = logits.shape
    bits = np.empty(classes, np.int32)
    for g in range(cells.shape[0]):
        x = min(max(cells[g, 0] * np.float32(width / 2) + np.float32((width - 1) / 2), np.float32(0)), width - 1)
        y = min(max(cells[g, 1] * np.float32(height / 2) + np.float32((height - 1) / 2), np.float32(0)), height - 1)
        left, up = int(min(np.floor(x), max(width - 2, 0))), int(min(np.floor(y), max(height - 2, 0)))
        right, down = min(left + 1, width - 1), min(up + 1, height - 1)
        across, along = np.float32(x - left), np.float32(y - up)
        total = np.float32(0)
        for k in range(classes):
            upper = logits[up, left, k] + (logits[up, right, k] - logits[up, left, k]) * across
            lower = logits[down, left, k] + (logits[down, right, k] - logits[down, left, k]) * across
            probabilities[g, k] = upper + (lower - upper) * along
        exponentials(probabilities[g], bits)
        for k in range(classes):
            total += probabilities[g, k]
        for k in range(classes):
            probabilities[g, k] /= total
