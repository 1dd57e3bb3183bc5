"""Frame to result: the one place where network, geometry, grid and risk meet.

Every door (bag replayer, ROS 2 node, simulator) hands `Frame`s to a `Pipeline` and gets `Result`s back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seg_perception.config import PipelineSettings
from seg_perception.costmap.grid import EvidenceGrid
from seg_perception.costmap.nav2 import encode_costs
from seg_perception.costmap.raster import Raster
from seg_perception.errors import ConfigError
from seg_perception.frame import Frame
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.ground import (
    GroundSamples,
    nearest_samples,
    normalised_cells,
    sample_ground,
    visibility,
)
from seg_perception.geometry.transforms import Transform, footprint_of
from seg_perception.images.scaled import at_network_size
from seg_perception.inference.engine import Engine, EngineOutput
from seg_perception.inference.graph import GraphSpec
from seg_perception.risk.cost_matrix import CostMatrix

STAGES = ("resize", "ground", "network and risk", "fuse", "costmap")


@dataclass(frozen=True, eq=False)
class Result:
    """What the pipeline makes of one frame.

    Attributes:
        frame: the frame it was made from.
        image: uint8 [h, w, 3] at network size, channels in the engine's `image_order`.
        camera: intrinsics of that size.
        output: label image, confidence and expected cost at network size.
        costmap: int8 [rows, cols], nav_msgs/OccupancyGrid values; row is y, column is x in odom.
        raster: where the costmap lies in odom.
        timings_ms: stage → milliseconds, for each of STAGES.
    """

    frame: Frame
    image: NDArray[np.uint8]
    camera: Camera
    output: EngineOutput
    costmap: NDArray[np.int8]
    raster: Raster
    timings_ms: dict[str, float]


def graph_spec(
    settings: PipelineSettings, image_order: Literal["rgb", "bgr"] = "bgr", logits: bool = False
) -> GraphSpec:
    """What an engine must be opened with to serve a pipeline with these settings."""
    return GraphSpec(cells=settings.ground.max_samples, image_order=image_order, logits=logits)


class Pipeline:
    """The stages in order, and the grid they fill.

    Attributes:
        grid: class evidence around the robot; belongs to the pipeline, open to checkpoints.
    """

    def __init__(self, engine: Engine, matrix: CostMatrix, settings: PipelineSettings, remember: bool = True) -> None:
        """Build a pipeline.

        Args:
            engine: opened with `graph_spec(settings)`.
            matrix: loaded for the classes of the engine's card.
            settings: ground and grid.
            remember: fuse frames over time. Without poses nothing says how the robot moved between two frames, and
                each costmap must come from its own frame alone.
        """
        self._engine = engine
        self._remember = remember
        self.grid = EvidenceGrid(settings.grid, len(matrix.classes))
        self.use(matrix, settings)

    @property
    def image_size(self) -> tuple[int, int]:
        """(width, height) of the images the network takes; larger ones are scaled down to it."""
        return self._engine.card.width, self._engine.card.height

    def use(self, matrix: CostMatrix, settings: PipelineSettings) -> None:
        """Go on with another matrix or other settings; what the grid has seen stays, for it is no matter of costs.

        Args:
            matrix: for the same classes.
            settings: with the same number of ground samples and a grid of the same cells.

        Raises:
            ConfigError: the number of samples or the cells differ.
        """
        if settings.ground.max_samples != self._engine.spec.cells:
            raise ConfigError(
                f"ground.max_samples is {settings.ground.max_samples}, but the engine was opened for "
                f"{self._engine.spec.cells}; open it anew."
            )
        self.grid.change(settings.grid)
        self._matrix = matrix
        self._settings = settings
        self._costs = matrix.stacked_rows()

    def forget(self) -> None:
        """Empty the grid, because time or the robot has jumped."""
        self.grid = EvidenceGrid(self._settings.grid, len(self._matrix.classes))

    def process(self, frame: Frame) -> Result:
        """Run every stage on one frame.

        Raises:
            GeometryError: the camera sees no ground, or the pose is not finite. The grid is unchanged.
            ModelError: the network gave numbers that are not finite. The grid is unchanged.
        """
        clock = _Clock()
        card = self._engine.card
        image = at_network_size(
            frame.image, card.width, card.height, frame.channel_order, self._engine.spec.image_order
        )
        clock.lap("resize")

        odom_from_footprint = footprint_of(frame.odom_from_base)
        camera = frame.camera.resized(card.width, card.height)
        samples = sample_ground(camera, _footprint_from_optical(frame), self._settings.ground)
        # The engine takes a fixed number of cells; how many of them the ranges use is free to change.
        cells = np.zeros((1, self._engine.spec.cells, 2), dtype=np.float32)
        used = samples.in_image.size
        inside = _inside(samples.pixels, camera)
        cells[0, :used] = normalised_cells(inside, camera.width, camera.height).reshape(-1, 2)
        clock.lap("ground")

        output = self._engine.run(image[np.newaxis], self._costs, cells)
        clock.lap("network and risk")

        probabilities = output.cell_probabilities[0, :used].reshape(*samples.in_image.shape, -1)
        seen = visibility(probabilities, self._matrix.standing, samples.in_image, samples.ranges, self._settings.ground)
        self._fuse(frame, odom_from_footprint, samples, probabilities, seen * samples.weight)
        clock.lap("fuse")

        costs, known = self.grid.costs(self._matrix)
        costmap = encode_costs(costs, known)
        clock.lap("costmap")
        return Result(frame, image, camera, output, costmap, self.grid.raster, clock.laps)

    def _fuse(
        self,
        frame: Frame,
        odom_from_footprint: Transform,
        samples: GroundSamples,
        probabilities: NDArray[np.float32],
        weights: NDArray[np.float32],
    ) -> None:
        if not self._remember:
            self.forget()
        x, y, _ = odom_from_footprint.translation
        self.grid.move_to(float(x), float(y))
        centres, nearest = _cells_in_view(self.grid.raster, odom_from_footprint, samples, weights.ravel() > 0)
        by_sample = probabilities.reshape(-1, probabilities.shape[-1])
        self.grid.add(centres, by_sample[nearest], weights.ravel()[nearest], frame.stamp_ns)


def field_of_view(result: Result, settings: PipelineSettings) -> NDArray[np.bool_]:
    """The cells of a result's costmap whose ground its camera looked at, seen or hidden, bool [rows, cols].

    Args:
        result: of a pipeline.
        settings: the pipeline's.
    """
    odom_from_footprint = footprint_of(result.frame.odom_from_base)
    samples = sample_ground(result.camera, _footprint_from_optical(result.frame), settings.ground)
    centres, _ = _cells_in_view(result.raster, odom_from_footprint, samples, samples.in_image.ravel())
    view = np.zeros(result.costmap.shape, dtype=np.bool_)
    col, row = np.floor(centres.T / result.raster.resolution).astype(np.intp)
    view[row - result.raster.first_row, col - result.raster.first_col] = True
    return view


def _footprint_from_optical(frame: Frame) -> Transform:
    return footprint_of(frame.odom_from_base).inverse() @ frame.odom_from_base @ frame.base_from_optical


def _inside(pixels: NDArray[np.float64], camera: Camera) -> NDArray[np.float64]:
    """Pixels outside the image moved to its edge: the engine wants finite cells, and `visibility` masks them anyway."""
    return np.clip(pixels, -0.5, np.array([camera.width, camera.height]) - 0.5)


def _cells_in_view(
    raster: Raster, odom_from_footprint: Transform, samples: GroundSamples, seen: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Centres [M, 2] in odom of the cells that have a seen ground sample next to them, and that sample's index [M].

    Cells ask for samples, not samples for cells: far out, where bearings spread wider than a cell, none is left out.
    """
    rotation, translation = odom_from_footprint.rotation[:2, :2], odom_from_footprint.translation[:2]
    in_odom = samples.points.reshape(-1, 2)[seen] @ rotation.T + translation
    if in_odom.size == 0:
        return in_odom, np.zeros(0, np.intp)
    resolution = raster.resolution
    first = np.floor(in_odom.min(axis=0) / resolution).astype(int) - 1
    last = np.ceil(in_odom.max(axis=0) / resolution).astype(int) + 1
    col = np.arange(max(first[0], raster.first_col), min(last[0], raster.first_col + raster.cols))
    row = np.arange(max(first[1], raster.first_row), min(last[1], raster.first_row + raster.rows))
    block = np.empty((row.size, col.size, 2))
    block[..., 0] = (col + 0.5) * resolution
    block[..., 1] = ((row + 0.5) * resolution)[:, np.newaxis]
    centres = block.reshape(-1, 2)
    in_footprint = (centres - translation) @ rotation
    nearest = nearest_samples(samples, in_footprint)
    chosen = np.flatnonzero((nearest >= 0) & seen[nearest])
    return centres[chosen], nearest[chosen]


class _Clock:
    """Times the stages of one frame."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.laps[stage] = (now - self._last) * 1e3
        self._last = now
