"""Compiled loops of the evidence grid. Cells are flat: row * columns + column."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.utils.jit import compiled

_BLOCK = 512
"""Cells per block of `compute_risk`: few enough for the fastest cache, enough for long inner loops."""


@compiled
def shift(planes: NDArray[Any], rows: int, columns: int, empty: float) -> None:
    """Shift planes [P, R, C] by so many rows and columns towards index 0; new cells get the value `empty`."""
    count, height, width = planes.shape
    if abs(rows) >= height or abs(columns) >= width:
        planes[:] = empty
        return
    by = rows * width + columns
    for k in range(count):
        plane = planes[k].ravel()
        if by > 0:
            for i in range(plane.size - by):
                plane[i] = plane[i + by]
        else:
            for i in range(plane.size - 1, -by - 1, -1):
                plane[i] = plane[i + by]
    planes[:, max(height - rows, 0) :] = empty
    planes[:, : max(-rows, 0)] = empty
    planes[:, :, max(width - columns, 0) :] = empty
    planes[:, :, : max(-columns, 0)] = empty


@compiled
def encode(
    costs: NDArray[Any], known: NDArray[np.bool_], occupancy: NDArray[np.int8], values: NDArray[np.int8]
) -> None:
    """See `nav2_encoding.encode_costs`.

    Args:
        costs: float [cells].
        known: bool [cells].
        occupancy: int8 [256], value for each whole cost, the last for unknown.
        values: int8 [cells], written.
    """
    for i in range(costs.size):
        if known[i] and not np.isnan(costs[i]):
            values[i] = occupancy[int(min(max(np.ceil(costs[i]), 0), occupancy.size - 2))]
        else:
            values[i] = occupancy[-1]


@compiled
def accumulate_observations(
    points: NDArray[np.float64],
    probabilities: NDArray[np.float32],
    weights: NDArray[np.float32],
    resolution: float,
    first: tuple[int, int],
    shape: tuple[int, int],
    closed: NDArray[np.bool_],
    cells: NDArray[np.int64],
    observations: NDArray[np.float64],
) -> int:
    """Accumulate one frame's samples into one observation per cell.

    An observation is the weighted mean probability of the samples in the cell times min(1, sum of weights).

    Args:
        points: float64 [M, 2], (x, y) in odom, m.
        probabilities: float32 [M, P].
        weights: float32 [M].
        resolution: edge of a cell, m.
        first: row and column of the cell lattice of odom that are 0 here.
        shape: rows and columns.
        closed: bool [rows * columns], cells that are left unchanged.
        cells: int64 [M], written: the observed cells, each once.
        observations: float64 [M, P], written: the observation of each of them.

    Returns:
        The number of observed cells.
    """
    rows, columns = shape
    outcomes = probabilities.shape[1]
    slot = np.full(rows * columns, -1, np.int64)
    sums = np.empty(points.shape[0])
    count = 0
    for i in range(points.shape[0]):
        if not weights[i] > 0:
            continue
        row, column = np.floor(points[i, 1] / resolution) - first[0], np.floor(points[i, 0] / resolution) - first[1]
        if not (0 <= row < rows and 0 <= column < columns):
            continue
        cell = int(row) * columns + int(column)
        usable = not closed[cell]
        for k in range(outcomes):
            usable = usable and np.isfinite(probabilities[i, k])
        if not usable:
            continue
        if slot[cell] < 0:
            slot[cell] = count
            cells[count] = cell
            sums[count] = 0
            observations[count] = 0
            count += 1
        at = slot[cell]
        sums[at] += weights[i]
        for k in range(outcomes):
            observations[at, k] += probabilities[i, k] * weights[i]
    for at in range(count):
        if sums[at] > 1:
            for k in range(outcomes):
                observations[at, k] /= sums[at]
    return count


@compiled
def add_counts(evidence: NDArray[np.float32], cells: NDArray[np.int64], observations: NDArray[np.float64]) -> None:
    """Add observations [N, P] to the first P planes of evidence [planes, rows * columns]; no cell may occur twice."""
    for k in range(observations.shape[1]):
        for at in range(cells.size):
            evidence[k, cells[at]] += np.float32(observations[at, k])


@compiled
def compute_risk(
    evidence: NDArray[np.float32],
    kept: NDArray[np.bool_],
    prior: NDArray[np.float32],
    order: NDArray[np.int64],
    steps: NDArray[np.float32],
    lowest: np.float32,
    tail: np.float32,
    risk: NDArray[np.float32],
    total: NDArray[np.float32],
) -> None:
    """CVaR of the cost under the posterior of each cell, as in `measures.cvar`; at tail 1 it is the expected cost.

    Args:
        evidence: float32 [P, cells], counts.
        kept: bool [P], outcomes that are not ignored.
        prior: float32 [P], prior count of each.
        order: int64 [P], outcomes in order of decreasing cost.
        steps: float32 [P - 1], cost of each minus cost of the next, divided by the tail.
        lowest: cost of the last of them.
        tail: 1 - alpha.
        risk: float32 [cells], written.
        total: float32 [cells], written: sum of the posterior counts.
    """
    outcomes, cells = evidence.shape
    survival, share = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    for begin in range(0, cells, _BLOCK):
        end = min(begin + _BLOCK, cells)
        sums, costs = total[begin:end], risk[begin:end]
        sums[:] = 0
        for k in range(outcomes):
            if kept[k]:
                counts, more = evidence[k, begin:end], prior[k]
                for i in range(end - begin):
                    sums[i] += counts[i] + more
        for i in range(end - begin):
            share[i] = np.float32(1) / sums[i]
        survival[:] = 0
        costs[:] = lowest
        for j in range(outcomes - 1):
            counts, more, step = evidence[order[j], begin:end], prior[order[j]], steps[j]
            if kept[order[j]]:
                for i in range(end - begin):
                    survival[i] += (counts[i] + more) * share[i]
            for i in range(end - begin):
                costs[i] += min(survival[i], tail) * step
