"""Flat ground: what an image shows lies where its line of sight meets the plane that the robot stands on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.grid_bounds import Raster
from seg_perception.geometry.transforms import Transform
from seg_perception.projection.flat_ground.overhang import answering_samples
from seg_perception.projection.flat_ground.sampling import (
    GroundSamples,
    GroundSettings,
    normalised_cells,
    sample_ground,
    visibility,
)
from seg_perception.projection.ground_projection import Evidence, cells_in_view
from seg_perception.risk.cost_matrix import CostMatrix

_DECIMALS = 7
"""Of a camera's pose. The rest is noise of the arithmetic; without it a camera that keeps its place keeps its samples,
and they need not be found anew."""


@dataclass(frozen=True, eq=False)
class PlaneLook:
    """A `Look` at flat ground.

    Attributes:
        cells: float32 [S, 2], see `Look`.
        samples: where on the ground they are.
        height: of the camera above the ground, m.
        settings: of the ground.
    """

    cells: NDArray[np.float32]
    samples: GroundSamples
    height: float
    settings: GroundSettings

    @classmethod
    def at(cls, camera: Camera, footprint_from_optical: Transform, settings: GroundSettings) -> PlaneLook:
        """Spread samples over the ground in view; raises GeometryError as `sample_ground` does."""
        pose = footprint_from_optical
        rotation, translation = (
            tuple(part.round(_DECIMALS).ravel().tolist()) for part in (pose.rotation, pose.translation)
        )
        return _look(camera, rotation, translation, settings)

    def evidence(  # noqa: D102 - see Look
        self,
        probabilities: NDArray[np.float32],
        matrix: CostMatrix,
        raster: Raster,
        odom_from_footprint: Transform,
        image_weight: float,
    ) -> Evidence:
        samples = self.samples
        by_bearing = probabilities.reshape(*samples.in_image.shape, -1)
        inside, ranges = samples.in_image, samples.ranges
        seen = visibility(by_bearing, matrix.standing, inside, ranges, self.settings)
        answering = answering_samples(
            by_bearing, matrix.standing, matrix.overhang, inside, ranges, self.height, self.settings
        ).ravel()
        weights = seen.ravel()[answering] * samples.weight.ravel() * np.float32(image_weight)
        centres, nearest = cells_in_view(raster, odom_from_footprint, samples, weights > 0)
        return Evidence(centres, probabilities[answering[nearest]], weights[nearest])


@lru_cache(maxsize=16)
def _look(
    camera: Camera, rotation: tuple[float, ...], translation: tuple[float, ...], settings: GroundSettings
) -> PlaneLook:
    pose = Transform(np.reshape(rotation, (3, 3)), np.array(translation))
    samples = sample_ground(camera, pose, settings)
    # Pixels outside the image move to its edge: the engine wants finite cells, and `visibility` masks them anyway.
    inside = np.clip(samples.pixels, -0.5, np.array([camera.width, camera.height]) - 0.5)
    cells = normalised_cells(inside, camera.width, camera.height).reshape(-1, 2)
    return PlaneLook(cells, samples, float(pose.translation[2]), settings)
