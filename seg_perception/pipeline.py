"""Frame to result: the one place where network, geometry, grid and risk meet.

Every door (bag replayer, ROS 2 node, simulator) hands `Frame`s to a `Pipeline` and gets `Result`s back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.config import PipelineSettings
from seg_perception.costmap.grid import EvidenceGrid
from seg_perception.costmap.nav2 import encode_costs
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
        origin: (x, y) of the least corner of cell (0, 0) in odom, m.
        resolution: edge of a cell, m.
        timings_ms: stage → milliseconds, for each of STAGES.
    """

    frame: Frame
    image: NDArray[np.uint8]
    camera: Camera
    output: EngineOutput
    costmap: NDArray[np.int8]
    origin: tuple[float, float]
    resolution: float
    timings_ms: dict[str, float]


def graph_spec(
    settings: PipelineSettings, image_order: Literal["rgb", "bgr"] = "bgr", logits: bool = False
) -> GraphSpec:
    """What an engine must be opened with to serve a pipeline with these settings."""
    samples = settings.ground.bearing_count * settings.ground.ranges.size
    return GraphSpec(cells=samples, image_order=image_order, logits=logits)


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
        self._matrix = matrix
        self._settings = settings
        self._remember = remember
        self._costs = matrix.stacked_rows()
        self.grid = EvidenceGrid(settings.grid, len(matrix.classes))

    def process(self, frame: Frame) -> Result:
        """Run every stage on one frame.

        Raises:
            GeometryError: the camera sees no ground, or the pose is not finite. The grid is unchanged.
            ModelError: the network gave numbers that are not finite. The grid is unchanged.
        """
        clock = _Clock()
        card = self._engine.card
        image = _at_network_size(frame, card.width, card.height, self._engine.spec.image_order)
        clock.lap("resize")

        odom_from_footprint = footprint_of(frame.odom_from_base)
        camera = frame.camera.resized(card.width, card.height)
        footprint_from_optical = odom_from_footprint.inverse() @ frame.odom_from_base @ frame.base_from_optical
        samples = sample_ground(camera, footprint_from_optical, self._settings.ground)
        cells = normalised_cells(_inside(samples.pixels, camera), camera.width, camera.height)
        clock.lap("ground")

        output = self._engine.run(image[np.newaxis], self._costs, cells.reshape(1, -1, 2))
        clock.lap("network and risk")

        probabilities = output.cell_probabilities[0].reshape(*samples.in_image.shape, -1)
        seen = visibility(probabilities, self._matrix.standing, samples.in_image, samples.ranges, self._settings.ground)
        self._fuse(frame, odom_from_footprint, samples, probabilities, seen * samples.weight)
        clock.lap("fuse")

        costs, known = self.grid.costs(self._matrix)
        costmap = encode_costs(costs, known)
        clock.lap("costmap")
        return Result(
            frame, image, camera, output, costmap, self.grid.origin, self._settings.grid.resolution, clock.laps
        )

    def _fuse(
        self,
        frame: Frame,
        odom_from_footprint: Transform,
        samples: GroundSamples,
        probabilities: NDArray[np.float32],
        weights: NDArray[np.float32],
    ) -> None:
        if not self._remember:
            self.grid = EvidenceGrid(self._settings.grid, len(self._matrix.classes))
        x, y, _ = odom_from_footprint.translation
        self.grid.move_to(float(x), float(y))
        centres, nearest = _cells_in_view(self.grid, odom_from_footprint, samples, weights.ravel() > 0)
        by_sample = probabilities.reshape(-1, probabilities.shape[-1])
        self.grid.add(centres, by_sample[nearest], weights.ravel()[nearest], frame.stamp_ns)


def _at_network_size(frame: Frame, width: int, height: int, order: str) -> NDArray[np.uint8]:
    image: NDArray[Any] = frame.image
    if image.shape[:2] != (height, width):
        # Averaging over the pixels that merge keeps thin things from flickering; it only makes sense when shrinking.
        shrinks = image.shape[0] >= height and image.shape[1] >= width
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    if frame.channel_order != order:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return np.ascontiguousarray(image, dtype=np.uint8)


def _inside(pixels: NDArray[np.float64], camera: Camera) -> NDArray[np.float64]:
    """Pixels outside the image moved to its edge: the engine wants finite cells, and `visibility` masks them anyway."""
    return np.clip(pixels, -0.5, np.array([camera.width, camera.height]) - 0.5)


def _cells_in_view(
    grid: EvidenceGrid, odom_from_footprint: Transform, samples: GroundSamples, seen: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Centres [M, 2] in odom of the cells that have a seen ground sample next to them, and that sample's index [M].

    Cells ask for samples, not samples for cells: far out, where bearings spread wider than a cell, none is left out.
    """
    rotation, translation = odom_from_footprint.rotation[:2, :2], odom_from_footprint.translation[:2]
    in_odom = samples.points.reshape(-1, 2)[seen] @ rotation.T + translation
    if in_odom.size == 0:
        return in_odom, np.zeros(0, np.intp)
    rows, cols, resolution = grid.settings.rows, grid.settings.cols, grid.settings.resolution
    first = np.floor(in_odom.min(axis=0) / resolution).astype(int) - 1
    last = np.ceil(in_odom.max(axis=0) / resolution).astype(int) + 1
    col = np.arange(max(first[0], grid.first_col), min(last[0], grid.first_col + cols))
    row = np.arange(max(first[1], grid.first_row), min(last[1], grid.first_row + rows))
    raster = np.empty((row.size, col.size, 2))
    raster[..., 0] = (col + 0.5) * resolution
    raster[..., 1] = ((row + 0.5) * resolution)[:, np.newaxis]
    centres = raster.reshape(-1, 2)
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
