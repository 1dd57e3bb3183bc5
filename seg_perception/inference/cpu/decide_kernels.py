"""Decision, pictures and ground samples from logits: the second loops of `cpu_risk`, compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seg_perception.inference.cpu.certify_kernels import UNSETTLED, Decisions, cheapest, exponentials
from seg_perception.utils.jit import compiled

LANES = 128
"""Pixels that are judged at a time: several blocks, so that the inner loops are long enough to pay."""


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
    classes, height, width = logits.shape
    up, down = max(row - 1, 0), min(row, height - 1)
    area = weights.shape[1]
    of_a, of_b, of_c, of_d = weights[0], weights[1], weights[2], weights[3]
    for k in range(classes):
        upper, lower = logits[k, up], logits[k, down]
        for n in range(blocks.size):
            left, right = max(blocks[n] - 1, 0), min(blocks[n], width - 1)
            a, b, c, d = upper[left], upper[right], lower[left], lower[right]
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
    d: Decisions,
    weights: NDArray[np.float32],
    factor: int,
    first: int,
    last: int,
    labels: NDArray[np.uint8],
) -> None:
    """The Bayes decision at the pixels of some rows of blocks of the upsampled logits.

    A block is what lies between four logits, factor x factor pixels: block (r, c) mixes (r - 1, c - 1) to (r, c).

    Args:
        logits: float32 [K, h, w].
        settled: int32 [h, w], from `settle`.
        d: the decisions.
        weights: float32 [4, factor²], of the four logits for each pixel of a block.
        factor: pixels per logit along each axis.
        first, last: rows of blocks, 0 to h + 1.
        labels: uint8 [factor * h, factor * w], written.
    """
    classes, height, width = logits.shape
    before, area = (factor + 1) // 2, factor * factor
    together = max(1, LANES // area)
    lanes = together * area
    masses, bits = np.zeros((classes, lanes), np.float32), np.empty(classes * lanes, np.int32)
    risk, least, best = np.empty(lanes, np.float32), np.empty(lanes, np.float32), np.zeros(lanes, np.int32)
    decided, open_blocks = np.empty(lanes, np.uint8), np.empty(width + 1, np.int64)
    for row in range(first, last):
        up, down = max(row - 1, 0), min(row, height - 1)
        top, bottom = max(factor * row - before, 0), min(factor * (row + 1) - before, labels.shape[0])
        count, begun, shared = 0, 0, UNSETTLED
        for block in range(width + 2):
            one = UNSETTLED
            if block <= width:
                left, right = max(block - 1, 0), min(block, width - 1)
                one = settled[up, left]
                if one != settled[up, right] or one != settled[down, left] or one != settled[down, right]:
                    one = UNSETTLED
                if one == UNSETTLED:
                    open_blocks[count] = block
                    count += 1
            if one == shared and block <= width:
                continue
            if shared != UNSETTLED:  # a run of blocks that are alike ends here
                start, stop = max(factor * begun - before, 0), min(factor * block - before, labels.shape[1])
                labels[top:bottom, start:stop] = d.names[d.choice[shared]]
            begun, shared = block, one
        for begin in range(0, count, together):
            blocks = open_blocks[begin : min(begin + together, count)]
            _mix(logits, row, blocks, weights, masses, bits)
            cheapest(masses, d, risk, least, best)
            for i in range(lanes):
                decided[i] = d.names[best[i]]
            _weave(decided, row, blocks, factor, labels)


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
        logits: float32 [K, h, w].
        traverse: float32 [K].
        weights, factor, first, last: as in `decide`.
        confidence, cost: uint8 [factor * h, factor * w], written.
    """
    classes, _, width = logits.shape
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
        logits: float32 [K, h, w].
        cells: float32 [G, 2], (x, y) in -1..1 from edge to edge; beyond the outer pixel centres the edge is held.
        probabilities: float32 [G, K], written.
    """
    classes, height, width = logits.shape
    count = cells.shape[0]
    masses, total = np.empty((classes, count), np.float32), np.zeros(count, np.float32)
    place = np.empty((count, 4), np.int64)  # flat: upper left, upper right, lower left, lower right
    share = np.empty((count, 2), np.float32)  # of the right ones, and of the lower ones
    for g in range(count):
        x = min(max(cells[g, 0] * np.float32(width / 2) + np.float32((width - 1) / 2), np.float32(0)), width - 1)
        y = min(max(cells[g, 1] * np.float32(height / 2) + np.float32((height - 1) / 2), np.float32(0)), height - 1)
        left, up = int(min(np.floor(x), max(width - 2, 0))), int(min(np.floor(y), max(height - 2, 0)))
        right, down = min(left + 1, width - 1), min(up + 1, height - 1)
        place[g] = up * width + left, up * width + right, down * width + left, down * width + right
        share[g] = x - left, y - up
    for k in range(classes):
        plane = logits[k].ravel()
        for g in range(count):
            upper = plane[place[g, 0]] + (plane[place[g, 1]] - plane[place[g, 0]]) * share[g, 0]
            lower = plane[place[g, 2]] + (plane[place[g, 3]] - plane[place[g, 2]]) * share[g, 0]
            masses[k, g] = upper + (lower - upper) * share[g, 1]
    exponentials(masses.ravel(), np.empty(masses.size, np.int32))
    for k in range(classes):
        for g in range(count):
            total[g] += masses[k, g]
    for g in range(count):
        for k in range(classes):
            probabilities[g, k] = masses[k, g] / total[g]
