"""Measured ground: what an image shows lies where a depth image or a point cloud says it does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.grid_bounds import Raster
from seg_perception.geometry.transforms import Transform
from seg_perception.projection.ground_projection import Evidence, cells_in_view
from seg_perception.projection.range.measured_points import MeasuredPoints
from seg_perception.projection.range.terrain import Kind, Surface
from seg_perception.risk.cost_matrix import CostMatrix


@dataclass(frozen=True, eq=False)
class MeasuredLook:
    """A `Look` at measured ground.

    Attributes:
        cells: float32 [S, 2], see `Look`.
        sample: intp [B * R], which of them speaks for each place; -1 where none does.
        surface: the places.
        obstacles: float64 [B * R, 2], (x, y) of a measured point of each place that holds an obstacle, in the
            footprint frame, m; elsewhere they mean nothing.
    """

    cells: NDArray[np.float32]
    sample: NDArray[np.intp]
    surface: Surface
    obstacles: NDArray[np.float64]

    @classmethod
    def at(cls, measured: MeasuredPoints, surface: Surface, most: int) -> MeasuredLook:
        """Choose where to ask, `most` points at most.

        Obstacles are served first, with half of the samples at most. Where there are fewer samples than places,
        neighbouring bearings share one, at each range by themselves: the far end of the view, where a place is less
        than a pixel deep, keeps all its ranges.

        Args:
            measured: the points that `surface` was read from.
            surface: what they say.
            most: samples that the network is asked for.
        """
        has_class = np.append(measured.has_class, False)[surface.member]
        sample, chosen = np.full(surface.kind.shape, -1, np.intp), np.zeros(0, np.intp)
        for kind, budget in ((Kind.OBSTACLE, most // 2), (Kind.GROUND, most)):
            members, which = _shared((surface.kind == kind) & has_class, surface.member, budget - chosen.size)
            sample = np.where(which >= 0, which + chosen.size, sample)
            chosen = np.append(chosen, members)
        at = np.append(measured.xyz[:, :2], np.zeros((1, 2), np.float32), axis=0)[surface.member.ravel()]
        return cls(measured.cells[chosen], sample.ravel(), surface, at.astype(np.float64))

    def evidence(  # noqa: D102 - see Look
        self,
        probabilities: NDArray[np.float32],
        matrix: CostMatrix,
        raster: Raster,
        odom_from_footprint: Transform,
        image_weight: float,
    ) -> Evidence:
        kind = self.surface.kind.ravel()
        centres, place = cells_in_view(raster, odom_from_footprint, self.surface, kind != Kind.UNSEEN)
        # Close by, places are narrower than cells: asking at its centre, a cell would miss what stands beside it.
        stands = np.flatnonzero(kind == Kind.OBSTACLE)
        rotation, translation = odom_from_footprint.rotation[:2, :2], odom_from_footprint.translation[:2]
        centres = np.concatenate([centres, self.obstacles[stands] @ rotation.T + translation])
        place = np.concatenate([place, stands])

        # A cell with anything in it that blocks is no ground, whatever lies there besides.
        col, row = np.floor(centres / raster.resolution).astype(np.intp).T
        col, row = col - raster.first_col, row - raster.first_row
        inside = (col >= 0) & (col < raster.cols) & (row >= 0) & (row < raster.rows)
        centres, place, cell = centres[inside], place[inside], (row * raster.cols + col)[inside]
        is_ground = kind[place] == Kind.GROUND
        blocked = np.zeros(raster.rows * raster.cols, np.bool_)
        blocked[cell[~is_ground]] = True
        kept = ~(is_ground & blocked[cell])
        centres, place, is_ground = centres[kept], place[kept], is_ground[kept]
        return Evidence(
            centres,
            _outcomes(probabilities, self.sample[place], matrix.standing, is_ground),
            self.surface.weight.ravel()[place] * np.where(is_ground, np.float32(image_weight), np.float32(1)),
        )


def _shared(
    wanted: NDArray[np.bool_], member: NDArray[np.intp], budget: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Measured points to ask about, [S], and which of them speaks for each place, [B, R], -1 where not wanted.

    Args:
        wanted: bool [B, R], places that need a sample.
        member: intp [B, R], measured point of each place.
        budget: most samples.
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
    number[number >= budget] = -1  # ranges alone are more than the budget: the bearings that are left go without
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
    """What is in each cell: float32 [M, K + 1], the classes and, last, "an obstacle, of no class that stands".

    Ground is what its pixel shows. Of what stands up or drops off, geometry is the judge: the classes keep what they
    say of standing things, and all else, a kerb that shows pavement or a hole in the road, is an obstacle.
    """
    classes = probabilities.shape[1]
    outcomes = np.zeros((sample.size, classes + 1), np.float32)
    asked = sample >= 0
    outcomes[asked, :classes] = probabilities[sample[asked]]
    outcomes[:, :classes][~is_ground] *= standing
    outcomes[~is_ground, classes] = 1 - outcomes[~is_ground, :classes].sum(axis=1)
    # Rounding may leave a little less than nothing.
    return np.maximum(outcomes, 0)
