"""Projection by measured ranges: a depth image or a point cloud says where a pixel lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.grid_bounds import GridBounds
from seg_perception.geometry.transforms import Transform
from seg_perception.projection.ground_projection import Evidence, cells_in_view
from seg_perception.projection.range.measured_points import MeasuredPoints
from seg_perception.projection.range.terrain import Terrain, TerrainKind
from seg_perception.risk.cost_matrix import CostMatrix


@dataclass(frozen=True, eq=False)
class RangeProjection:
    """A `GroundProjection` onto measured terrain of B bearings x R ranges.

    Attributes:
        sample_points: float32 [S, 2], see `GroundProjection`.
        sample: intp [B * R], the sample point that gives each polar bin its class; -1 where none does.
        terrain: the polar bins.
        obstacles: float64 [B * R, 2], (x, y) of a measured point of each bin that holds an obstacle, in the footprint
            frame, m; without meaning elsewhere.
    """

    sample_points: NDArray[np.float32]
    sample: NDArray[np.intp]
    terrain: Terrain
    obstacles: NDArray[np.float64]

    @classmethod
    def at(cls, measured: MeasuredPoints, terrain: Terrain, most: int) -> RangeProjection:
        """Select the sample points, `most` of them at most.

        Obstacles come first, with up to half of the samples. With fewer samples than bins, neighbouring bearings share
        a sample, separately at each range. So the far end of the view, where a bin is less than a pixel deep, keeps all
        its ranges.

        Args:
            measured: the points that `terrain` was classified from.
            terrain: the classified polar bins.
            most: number of samples that the network takes.
        """
        has_class = np.append(measured.has_class, False)[terrain.member]
        sample, selected = np.full(terrain.kind.shape, -1, np.intp), np.zeros(0, np.intp)
        for kind, budget in ((TerrainKind.OBSTACLE, most // 2), (TerrainKind.GROUND, most)):
            members, which = _shared((terrain.kind == kind) & has_class, terrain.member, budget - selected.size)
            sample = np.where(which >= 0, which + selected.size, sample)
            selected = np.append(selected, members)
        at = np.append(measured.xyz[:, :2], np.zeros((1, 2), np.float32), axis=0)[terrain.member.ravel()]
        return cls(measured.sample_points[selected], sample.ravel(), terrain, at.astype(np.float64))

    def evidence(  # noqa: D102 - see GroundProjection
        self,
        probabilities: NDArray[np.float32],
        matrix: CostMatrix,
        bounds: GridBounds,
        odom_from_footprint: Transform,
        image_weight: float,
    ) -> Evidence:
        kind = self.terrain.kind.ravel()
        centres, bin_index = cells_in_view(bounds, odom_from_footprint, self.terrain, kind != TerrainKind.UNSEEN)
        # Close by, bins are narrower than cells: the bin at a cell's centre may miss an obstacle elsewhere in the cell.
        in_bin = np.flatnonzero(kind == TerrainKind.OBSTACLE)
        rotation, translation = odom_from_footprint.rotation[:2, :2], odom_from_footprint.translation[:2]
        centres = np.concatenate([centres, self.obstacles[in_bin] @ rotation.T + translation])
        bin_index = np.concatenate([bin_index, in_bin])

        # A cell that holds any obstacle or hole gets no evidence of ground.
        col, row = np.floor(centres / bounds.resolution).astype(np.intp).T
        col, row = col - bounds.first_col, row - bounds.first_row
        inside = (col >= 0) & (col < bounds.cols) & (row >= 0) & (row < bounds.rows)
        centres, bin_index, cell = centres[inside], bin_index[inside], (row * bounds.cols + col)[inside]
        is_ground = kind[bin_index] == TerrainKind.GROUND
        blocked = np.zeros(bounds.rows * bounds.cols, np.bool_)
        blocked[cell[~is_ground]] = True
        kept = ~(is_ground & blocked[cell])
        centres, bin_index, is_ground = centres[kept], bin_index[kept], is_ground[kept]
        return Evidence(
            centres,
            _outcomes(probabilities, self.sample[bin_index], matrix.standing, is_ground),
            self.terrain.weight.ravel()[bin_index] * np.where(is_ground, np.float32(image_weight), np.float32(1)),
        )


def _shared(
    wanted: NDArray[np.bool_], member: NDArray[np.intp], budget: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Select measured points to sample, shared by neighbouring bearings where there are too few samples.

    Args:
        wanted: bool [B, R], bins that need a sample.
        member: intp [B, R], measured point of each bin.
        budget: largest number of samples.

    Returns:
        The measured points, [S]; and the number of the one that each bin takes, [B, R], -1 where not wanted.
    """
    bearings, ranges = wanted.shape
    together = max(1, -(-int(np.count_nonzero(wanted)) // max(budget, 1)))
    while True:
        groups = -(-bearings // together)
        padded = np.zeros((groups * together, ranges), np.bool_)
        padded[:bearings] = wanted
        by_group = padded.reshape(groups, together, ranges)
        occupied = by_group.any(axis=1)
        if np.count_nonzero(occupied) <= budget or together >= bearings:
            break
        together += 1
    number = np.where(occupied, np.cumsum(occupied).reshape(occupied.shape) - 1, -1)
    number[number >= budget] = -1  # more ranges than the budget: the remaining bearings get no sample
    group, column = np.nonzero(number >= 0)
    first = by_group.argmax(axis=1)[group, column]
    members = member[group * together + first, column]
    which = np.where(wanted, np.repeat(number, together, axis=0)[:bearings], -1)
    return members, which


def _outcomes(
    probabilities: NDArray[np.float32],
    sample: NDArray[np.intp],
    standing: NDArray[np.bool_],
    is_ground: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Outcome probabilities of each cell: float32 [M, K + 1], the classes and, last, a measured obstacle.

    Ground gets the class probabilities of its pixel. For an obstacle or a hole, the measured height decides: obstacle
    classes keep their probability, and the rest, such as a kerb that shows pavement or a hole in the road, goes to the
    measured obstacle.
    """
    classes = probabilities.shape[1]
    outcomes = np.zeros((sample.size, classes + 1), np.float32)
    has_sample = sample >= 0
    outcomes[has_sample, :classes] = probabilities[sample[has_sample]]
    outcomes[:, :classes][~is_ground] *= standing
    outcomes[~is_ground, classes] = 1 - outcomes[~is_ground, :classes].sum(axis=1)
    # Rounding may leave small negative values.
    return np.maximum(outcomes, 0)
