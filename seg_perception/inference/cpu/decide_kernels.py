"""Compiled kernels, second pass: labels, visualization maps and sample probabilities from logits.

A block is the factor x factor pixels between four neighbouring logits: block (r, c) mixes the logits (r - 1, c - 1) to
(r, c). Indices beyond the image repeat the edge.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seg_perception.inference.cpu.certify_kernels import UNCERTIFIED, DecisionTable, exponentials, least_risk
from seg_perception.utils.jit import compiled

BATCH = 128
"""Pixels per inner loop: several blocks, so that the loops are long enough to vectorise."""


@compiled
def _interpolate(
    logits: NDArray[np.float32],
    row: int,
    blocks: NDArray[np.int64],
    weights: NDArray[np.float32],
    masses: NDArray[np.float32],
    bits: NDArray[np.int32],
) -> None:
    """Upsample the logits in some blocks of a row; writes their exponentials to masses [K, >= blocks * factor²]."""
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
def _scatter_blocks(
    values: NDArray[np.uint8], row: int, blocks: NDArray[np.int64], factor: int, image: NDArray[np.uint8]
) -> None:
    """Write the values of some blocks of a row, [blocks * factor²], to their pixels of the image."""
    margin = (factor + 1) // 2
    for n in range(blocks.size):
        first_row, first_column = factor * row - margin, factor * blocks[n] - margin
        for y in range(max(first_row, 0), min(first_row + factor, image.shape[0])):
            for x in range(max(first_column, 0), min(first_column + factor, image.shape[1])):
                image[y, x] = values[(n * factor + y - first_row) * factor + x - first_column]


@compiled
def decide_labels(
    logits: NDArray[np.float32],
    certified: NDArray[np.int32],
    table: DecisionTable,
    weights: NDArray[np.float32],
    factor: int,
    first: int,
    last: int,
    labels: NDArray[np.uint8],
) -> None:
    """The Bayes decision at the pixels of some rows of blocks.

    Args:
        logits: float32 [K, h, w].
        certified: int32 [h, w], from `certify_labels`.
        table: the decisions.
        weights: float32 [4, factor²], of the four logits for each pixel of a block.
        factor: pixels per logit along each axis.
        first, last: rows of blocks, 0 to h + 1.
        labels: uint8 [factor * h, factor * w], written.
    """
    classes, height, width = logits.shape
    margin, area = (factor + 1) // 2, factor * factor
    blocks_per_batch = max(1, BATCH // area)
    pixels = blocks_per_batch * area
    masses, bits = np.zeros((classes, pixels), np.float32), np.empty(classes * pixels, np.int32)
    risk, least, best = np.empty(pixels, np.float32), np.empty(pixels, np.float32), np.zeros(pixels, np.int32)
    batch_labels, uncertified_blocks = np.empty(pixels, np.uint8), np.empty(width + 1, np.int64)
    for row in range(first, last):
        up, down = max(row - 1, 0), min(row, height - 1)
        top, bottom = max(factor * row - margin, 0), min(factor * (row + 1) - margin, labels.shape[0])
        count, run_start, run_class = 0, 0, UNCERTIFIED
        for block in range(width + 2):
            block_class = UNCERTIFIED
            if block <= width:
                left, right = max(block - 1, 0), min(block, width - 1)
                block_class = certified[up, left]
                if (
                    block_class != certified[up, right]
                    or block_class != certified[down, left]
                    or block_class != certified[down, right]
                ):
                    block_class = UNCERTIFIED
                if block_class == UNCERTIFIED:
                    uncertified_blocks[count] = block
                    count += 1
            if block_class == run_class and block <= width:
                continue
            if run_class != UNCERTIFIED:  # a run of blocks with the same certified class ends here
                start, stop = max(factor * run_start - margin, 0), min(factor * block - margin, labels.shape[1])
                labels[top:bottom, start:stop] = table.labels[table.choice[run_class]]
            run_start, run_class = block, block_class
        for begin in range(0, count, blocks_per_batch):
            blocks = uncertified_blocks[begin : min(begin + blocks_per_batch, count)]
            _interpolate(logits, row, blocks, weights, masses, bits)
            least_risk(masses, table, risk, least, best)
            for i in range(pixels):
                batch_labels[i] = table.labels[best[i]]
            _scatter_blocks(batch_labels, row, blocks, factor, labels)


@compiled
def render_maps(
    logits: NDArray[np.float32],
    traverse: NDArray[np.float32],
    weights: NDArray[np.float32],
    factor: int,
    first: int,
    last: int,
    confidence: NDArray[np.uint8],
    cost: NDArray[np.uint8],
) -> None:
    """Confidence and expected cost at the pixels of some rows of blocks.

    Args:
        logits: float32 [K, h, w].
        traverse: float32 [K], cost of driving over each class.
        weights, factor, first, last: as in `decide_labels`.
        confidence, cost: uint8 [factor * h, factor * w], written; see `VisualizationMaps`.
    """
    classes, _, width = logits.shape
    area = factor * factor
    blocks_per_batch = max(1, BATCH // area)
    pixels = blocks_per_batch * area
    masses, bits = np.zeros((classes, pixels), np.float32), np.empty(classes * pixels, np.int32)
    total, highest, mean = np.empty(pixels, np.float32), np.empty(pixels, np.float32), np.empty(pixels, np.float32)
    certainty, expected = np.empty(pixels, np.uint8), np.empty(pixels, np.uint8)
    columns = np.arange(width + 1)
    for row in range(first, last):
        for begin in range(0, width + 1, blocks_per_batch):
            blocks = columns[begin : min(begin + blocks_per_batch, width + 1)]
            _interpolate(logits, row, blocks, weights, masses, bits)
            total[:] = 0
            highest[:] = 0
            mean[:] = 0
            for k in range(classes):
                class_cost = traverse[k]
                for i in range(pixels):
                    total[i] += masses[k, i]
                    mean[i] += class_cost * masses[k, i]
                    highest[i] = max(highest[i], masses[k, i])
            for i in range(pixels):
                certainty[i] = np.uint8(np.rint(highest[i] / total[i] * np.float32(255)))
                expected[i] = np.uint8(np.rint(min(mean[i] / total[i], np.float32(254))))
            _scatter_blocks(certainty, row, blocks, factor, confidence)
            _scatter_blocks(expected, row, blocks, factor, cost)


@compiled
def sample_softmax(
    logits: NDArray[np.float32], sample_points: NDArray[np.float32], probabilities: NDArray[np.float32]
) -> None:
    """Class probabilities at points of the image: bilinear samples of the logits, then softmax.

    Args:
        logits: float32 [K, h, w].
        sample_points: float32 [G, 2], (x, y) in -1..1 from edge to edge; edges are repeated beyond the image.
        probabilities: float32 [G, K], written.
    """
    classes, height, width = logits.shape
    count = sample_points.shape[0]
    masses, total = np.empty((classes, count), np.float32), np.zeros(count, np.float32)
    corner = np.empty((count, 4), np.int64)  # flat index: upper left, upper right, lower left, lower right
    fraction = np.empty((count, 2), np.float32)  # weight of the right ones, and of the lower ones
    for g in range(count):
        x = min(
            max(sample_points[g, 0] * np.float32(width / 2) + np.float32((width - 1) / 2), np.float32(0)), width - 1
        )
        y = min(
            max(sample_points[g, 1] * np.float32(height / 2) + np.float32((height - 1) / 2), np.float32(0)), height - 1
        )
        left, up = int(min(np.floor(x), max(width - 2, 0))), int(min(np.floor(y), max(height - 2, 0)))
        right, down = min(left + 1, width - 1), min(up + 1, height - 1)
        corner[g] = up * width + left, up * width + right, down * width + left, down * width + right
        fraction[g] = x - left, y - up
    for k in range(classes):
        plane = logits[k].ravel()
        for g in range(count):
            upper = plane[corner[g, 0]] + (plane[corner[g, 1]] - plane[corner[g, 0]]) * fraction[g, 0]
            lower = plane[corner[g, 2]] + (plane[corner[g, 3]] - plane[corner[g, 2]]) * fraction[g, 0]
            masses[k, g] = upper + (lower - upper) * fraction[g, 1]
    exponentials(masses.ravel(), np.empty(masses.size, np.int32))
    for k in range(classes):
        for g in range(count):
            total[g] += masses[k, g]
    for g in range(count):
        for k in range(classes):
            probabilities[g, k] = masses[k, g] / total[g]
