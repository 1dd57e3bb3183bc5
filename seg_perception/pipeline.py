"""Frame to result: the one place where network, geometry, grid and risk meet.

Every door (bag replayer, ROS 2 node, simulator) hands `Frame`s to a `Pipeline` and gets `Result`s back.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seg_perception.config import PipelineSettings
from seg_perception.costmap.grid import EvidenceGrid
from seg_perception.costmap.memory import ClassMemory
from seg_perception.costmap.nav2 import OccupancyValues, encode_costs
from seg_perception.costmap.raster import Raster
from seg_perception.errors import ConfigError, GeometryError
from seg_perception.frame import Frame
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.ground import sample_ground
from seg_perception.geometry.projection_settings import Projection
from seg_perception.geometry.transforms import footprint_of
from seg_perception.images.quality import image_weight
from seg_perception.images.scaled import at_network_size
from seg_perception.inference.engine import Engine, EngineOutput
from seg_perception.inference.graph import GraphSpec
from seg_perception.projection.choose import choose
from seg_perception.projection.horizon import Horizon, Horizons
from seg_perception.projection.look import Look, cells_in_view
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
        projection: what told where the things in the image are.
        refused: why a better projection was not used; a few fixed texts, for counting.
        horizon: what was known of the camera's attitude, and used if the projection is "plane": then the frame's
            `base_from_optical` is the corrected one. None where `ground.max_pitch_error` is 0.
    """

    frame: Frame
    image: NDArray[np.uint8]
    camera: Camera
    output: EngineOutput
    costmap: NDArray[np.int8]
    raster: Raster
    timings_ms: dict[str, float]
    projection: Projection = "plane"
    refused: tuple[str, ...] = ()
    horizon: Horizon | None = None


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
            settings: ground, projection and grid.
            remember: fuse frames over time. Without poses nothing says how the robot moved between two frames, and
                each costmap must come from its own frame alone.
        """
        self._engine = engine
        self._remember = remember
        self._max_pitch_error = 0.0
        self._horizons = Horizons(0.0)
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
            ConfigError: the number of samples or the cells differ, or the settings name a class that there is not.
        """
        if settings.ground.max_samples != self._engine.spec.cells:
            raise ConfigError(
                f"ground.max_samples is {settings.ground.max_samples}, but the engine was opened for "
                f"{self._engine.spec.cells}; open it anew."
            )
        memory = ClassMemory.of(settings.grid, matrix)
        self.grid.change(settings.grid, memory)
        self._memory = memory
        self._matrix = matrix
        self._settings = settings
        self._costs = matrix.stacked_rows()
        self._ground = ~(matrix.standing | matrix.ignore)
        if settings.ground.max_pitch_error != self._max_pitch_error:
            self._max_pitch_error = settings.ground.max_pitch_error
            self._horizons = Horizons(self._max_pitch_error)

    def forget(self) -> None:
        """Empty the grid, because time or the robot has jumped."""
        self.grid = EvidenceGrid(self._settings.grid, len(self._matrix.classes), self._memory)
        self._horizons.forget_views()

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that is remembered from frame to frame, as arrays that np.savez keeps exactly."""
        return {**self.grid.to_arrays(), **self._horizons.to_arrays()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what `to_arrays` of a pipeline with the same settings and matrix described.

        Raises:
            ConfigError: the grid has another size.
        """
        self.grid = EvidenceGrid.from_arrays(self._settings.grid, arrays, self._memory)
        self._horizons = Horizons.from_arrays(self._max_pitch_error, arrays)

    def process(self, frame: Frame) -> Result:
        """Run every stage on one frame.

        Raises:
            ProjectionError: the frame lacks what `projection.mode` asks for. The grid is unchanged.
            GeometryError: the camera sees no ground, or the pose is not finite. The grid is unchanged.
            ModelError: the network gave numbers that are not finite. The grid is unchanged.
        """
        clock = _Clock()
        card = self._engine.card
        image = at_network_size(
            frame.image, card.width, card.height, frame.channel_order, self._engine.spec.image_order
        )
        clock.lap("resize")

        camera = frame.camera.resized(card.width, card.height)
        horizon = self._horizons.of(frame)
        chosen = choose(frame, camera, self._settings, horizon)
        # The engine takes a fixed number of cells; how many of them are used is free to change.
        cells = np.zeros((1, self._engine.spec.cells, 2), dtype=np.float32)
        used = len(chosen.look.cells)
        cells[0, :used] = chosen.look.cells
        clock.lap("ground")

        output = self._engine.run(image[np.newaxis], self._costs, cells)
        clock.lap("network and risk")

        self._fuse(frame, chosen.look, output.cell_probabilities[0, :used], image)
        if horizon is not None and chosen.projection == "plane":
            if self._remember:
                self._horizons.see(frame, image, camera, self._ground[output.labels[0]])
            frame = replace(frame, base_from_optical=frame.base_from_optical @ horizon.told_from_true)
        clock.lap("fuse")

        costs, known = self.grid.costs(self._matrix)
        costmap = encode_costs(costs, known)
        clock.lap("costmap")
        return Result(
            frame,
            image,
            camera,
            output,
            costmap,
            self.grid.raster,
            clock.laps,
            chosen.projection,
            chosen.refused,
            horizon,
        )

    def _fuse(self, frame: Frame, look: Look, probabilities: NDArray[np.float32], image: NDArray[np.uint8]) -> None:
        if not self._remember:
            self.forget()
        odom_from_footprint = footprint_of(frame.odom_from_base)
        x, y, _ = odom_from_footprint.translation
        self.grid.move_to(float(x), float(y))
        grid = self._settings.grid
        weight = image_weight(image, grid.full_sharpness, grid.full_exposure)
        seen = look.evidence(probabilities, self._matrix.standing, self.grid.raster, odom_from_footprint, weight)
        self.grid.add(seen.centres, seen.probabilities, seen.weights, frame.stamp_ns)


def field_of_view(result: Result, settings: PipelineSettings) -> NDArray[np.bool_]:
    """The cells of a result's costmap whose ground its camera looked at, seen or hidden, bool [rows, cols].

    Where ground was measured and no flat ground would be in view, as at the foot of a slope: all cells that are known.

    Args:
        result: of a pipeline.
        settings: the pipeline's.
    """
    odom_from_footprint = footprint_of(result.frame.odom_from_base)
    footprint_from_optical = (
        odom_from_footprint.inverse() @ result.frame.odom_from_base @ result.frame.base_from_optical
    )
    try:
        samples = sample_ground(result.camera, footprint_from_optical, settings.ground)
    except GeometryError:
        known: NDArray[np.bool_] = result.costmap != OccupancyValues.UNKNOWN
        return known
    centres, _ = cells_in_view(result.raster, odom_from_footprint, samples, samples.in_image.ravel())
    view = np.zeros(result.costmap.shape, dtype=np.bool_)
    col, row = np.floor(centres.T / result.raster.resolution).astype(np.intp)
    view[row - result.raster.first_row, col - result.raster.first_col] = True
    return view


class _Clock:
    """Times the stages of one frame."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.laps[stage] = (now - self._last) * 1e3
        self._last = now
