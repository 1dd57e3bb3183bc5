"""Frame to result: the one place where network, geometry, grid and risk meet.

Every door (bag replayer, ROS 2 node, simulator) hands `Frame`s to a `Pipeline` and gets `Result`s back.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seg_perception.costmap.decay import ClassMemory
from seg_perception.costmap.evidence_grid import NANOSECONDS, EvidenceGrid
from seg_perception.costmap.nav2_encoding import OccupancyValues, encode_costs
from seg_perception.costmap.speed_mask import speed_mask
from seg_perception.errors import ConfigError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.grid_bounds import Raster
from seg_perception.geometry.transforms import Transform
from seg_perception.inference.engine import Engine, EngineOutput
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.projection.extrinsic_calibration.online_calibration import Horizon, Horizons
from seg_perception.projection.flat_ground.projection import PlaneLook
from seg_perception.projection.ground_projection import ground_in_view
from seg_perception.projection.range.ground_heights import follow_ground
from seg_perception.projection.select import Chosen, choose
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.risk.speed_rule import SpeedRule
from seg_perception.sensor_data.frame import Frame
from seg_perception.sensor_data.images.quality import image_weight
from seg_perception.sensor_data.images.scaled import at_network_size
from seg_perception.settings.pipeline import PipelineSettings
from seg_perception.settings.projection import Projection

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
        stamp_ns: time of the newest frame in the costmap, of whichever camera, nanoseconds.
        projection: what told where the things in the image are.
        refused: why a better projection was not used; a few fixed texts, for counting.
        horizon: what was known of the camera's attitude, and used if the projection is "plane": then the frame's
            `base_from_optical` is the corrected one. None where `ground.max_pitch_error` is 0.
        blind: bool [rows, cols], cells that were forgotten because the camera that should see them does not; None where
            none was said to.
    """

    frame: Frame
    image: NDArray[np.uint8]
    camera: Camera
    output: EngineOutput
    costmap: NDArray[np.int8]
    raster: Raster
    timings_ms: dict[str, float]
    stamp_ns: int
    projection: Projection = "plane"
    refused: tuple[str, ...] = ()
    horizon: Horizon | None = None
    blind: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class Prepared:
    """A frame that only lacks the network's answer; `Pipeline.prepare` makes it.

    Attributes:
        frame: it was made from.
        engine: whose answer it lacks.
        image: uint8 [h, w, 3] at that network's size.
        camera: intrinsics of that size.
        cells: float32 [G, 2], what the engine is asked about beside the pixels.
        chosen: what tells where things are.
        horizon: what was known of the camera's attitude; None where nobody asks.
        covered: where the grid lies when it is centred on this frame.
        timings_ms: stage → milliseconds so far.
    """

    frame: Frame
    engine: Engine
    image: NDArray[np.uint8]
    camera: Camera
    cells: NDArray[np.float32]
    chosen: Chosen
    horizon: Horizon | None
    covered: Raster
    timings_ms: dict[str, float]

    def as_projected(self) -> Frame:
        """The frame with the mount that it is projected by."""
        if self.horizon is None or self.chosen.projection != "plane":
            return self.frame
        return replace(self.frame, base_from_optical=self.frame.base_from_optical @ self.horizon.told_from_true)


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
        self._horizons = Horizons(0.0)
        self.grid = EvidenceGrid(settings.grid, len(matrix.classes))
        self.use(matrix, settings)
        self._warm_up()

    def _warm_up(self) -> None:
        """Compile what follows the network where that was never done, so that no image has to wait for it."""
        camera = Camera.from_fields(64, 48, "", [64, 0, 31.5, 0, 64, 23.5, 0, 0, 1], ())
        ground, classes = self._settings.ground, len(self._matrix.classes)
        look = PlaneLook.at(camera, Transform.from_xyz_rpy(0, 0, 4 * ground.min_range, math.pi, 0, 0), ground)
        grid, answers = EvidenceGrid(self._settings.grid, classes), np.ones((len(look.cells), classes), np.float32)
        seen = look.evidence(answers, self._matrix, grid.raster, Transform.identity(), 1.0)
        grid.add(seen.centres, seen.probabilities, seen.weights, 0)
        grid.move_onto(grid.raster_at(1.0, 1.0))
        encode_costs(*grid.costs(self._matrix))
        follow_ground(np.zeros((2, 2), np.float32), ground.ranges[:2], self._settings.projection)

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
        self._is_ground = ~(matrix.standing | matrix.ignore)
        if settings.ground.max_pitch_error != self._horizons.limit:
            self._horizons = Horizons(settings.ground.max_pitch_error)

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
        self._horizons = Horizons.from_arrays(self._horizons.limit, arrays)

    def process(self, frame: Frame) -> Result:
        """Run every stage on one frame.

        Raises:
            ProjectionError: the frame lacks what `projection.mode` asks for. The grid is unchanged.
            GeometryError: the camera sees no ground, or the pose is not finite. The grid is unchanged.
            ModelError: the network gave numbers that are not finite. The grid is unchanged.
        """
        return self.finish([self.prepare(frame)])[0]

    def prepare(self, frame: Frame, engine: Engine | None = None) -> Prepared:
        """All that a frame needs before the network runs; the grid has no part in it.

        Args:
            frame: of any camera.
            engine: another network than the pipeline's own, for the same classes and opened with the same `graph_spec`.

        Raises:
            ProjectionError: the frame lacks what `projection.mode` asks for.
            GeometryError: the camera sees no ground, or the pose is not finite.
        """
        clock, engine = _Clock(), engine or self._engine
        card = engine.card
        image = at_network_size(frame.image, card.width, card.height, frame.channel_order, engine.spec.image_order)
        clock.lap("resize")
        camera = frame.camera.resized(card.width, card.height)
        x, y, _ = frame.odom_from_footprint.translation
        covered = self.grid.raster_at(float(x), float(y))
        horizon = self._horizons.of(frame)
        chosen = choose(frame, camera, self._settings, horizon)
        # The engine takes a fixed number of cells; how many of them are used is free to change.
        cells = np.zeros((engine.spec.cells, 2), dtype=np.float32)
        cells[: len(chosen.look.cells)] = chosen.look.cells
        clock.lap("ground")
        return Prepared(frame, engine, image, camera, cells, chosen, horizon, covered, clock.laps)

    def finish(
        self, prepared: Sequence[Prepared], blind: Sequence[Result] = (), seen_within: float = 0.0
    ) -> list[Result]:
        """Run the network on all of them together, fuse them, and make one costmap.

        Args:
            prepared: at least one, for the same engine, and no more than it takes in one run.
            blind: latest results of cameras that no longer give any. What lies in their view, from where the robot is
                now, is forgotten unless another camera has shown it lately: nobody looks after it any more.
            seen_within: how recently that is, s.

        Returns:
            A result of each, all with the same costmap.

        Raises:
            ModelError: the network gave numbers that are not finite, for any of them. The grid is unchanged.
        """
        clock = _Clock()
        output = prepared[0].engine.run(
            np.stack([each.image for each in prepared]), self._costs, np.stack([each.cells for each in prepared])
        )
        clock.lap("network and risk")
        if not self._remember:
            self.forget()
        for each, probabilities, labels in zip(prepared, output.cell_probabilities, output.labels, strict=True):
            self._fuse(each, probabilities)
            if self._remember and each.horizon is not None and each.chosen.projection == "plane":
                self._horizons.see(each.frame, each.image, each.camera, self._is_ground[labels])
        newest = max(prepared, key=lambda each: each.frame.stamp_ns).frame
        forgotten = self._forget_views(blind, newest.odom_from_base, seen_within) if blind else None
        clock.lap("fuse")
        costs, known = self.grid.costs(self._matrix)
        costmap = encode_costs(costs, known)
        clock.lap("costmap")
        return [
            Result(
                each.as_projected(),
                each.image,
                each.camera,
                output.of(number),
                costmap,
                self.grid.raster,
                {**each.timings_ms, **clock.laps},
                self.grid.stamp_ns,
                each.chosen.projection,
                each.chosen.refused,
                each.horizon,
                forgotten,
            )
            for number, each in enumerate(prepared)
        ]

    @property
    def speed_rule(self) -> SpeedRule:
        """How fast the robot may go over what."""
        return self._matrix.speed

    def speed_mask(self) -> NDArray[np.int8]:
        """Speed limits on the grid as it is now: int8 [rows, cols], percent of full speed, 1 to 100."""
        return speed_mask(*self.grid.posterior(self._matrix), self._matrix, self.grid.settings.resolution)

    def _fuse(self, prepared: Prepared, probabilities: NDArray[np.float32]) -> None:
        frame, look, covered = prepared.frame, prepared.chosen.look, prepared.covered
        # A late frame shows what the grid covered at its time; the grid stays where the newest frame has put it.
        if not self.grid.is_late(frame.stamp_ns):
            self.grid.move_onto(covered)
        grid = self._settings.grid
        weight = image_weight(prepared.image, grid.full_sharpness, grid.full_exposure)
        answers = probabilities[: len(look.cells)]
        seen = look.evidence(answers, self._matrix, covered, frame.odom_from_footprint, weight)
        self.grid.add(seen.centres, seen.probabilities, seen.weights, frame.stamp_ns)

    def _forget_views(
        self, blind: Sequence[Result], odom_from_base: Transform, seen_within: float
    ) -> NDArray[np.bool_]:
        """Empty the cells that only these cameras could look after; returns which, bool [rows, cols]."""
        cells = np.zeros(self.grid.seen_ns.shape, dtype=np.bool_)
        for result in blind:
            mount = result.frame.base_from_optical
            view = ground_in_view(result.camera, mount, odom_from_base, self.grid.raster, self._settings.ground)
            cells |= True if view is None else view
        cells &= self.grid.seen_ns < self.grid.stamp_ns - round(seen_within * NANOSECONDS)
        self.grid.forget(cells)
        return cells


def field_of_view(result: Result, settings: PipelineSettings, here: Result | None = None) -> NDArray[np.bool_]:
    """The cells of a costmap whose ground a camera looks at, seen or hidden, bool [rows, cols].

    Where ground was measured and no flat ground would be in view, as at the foot of a slope: all cells that are known.

    Args:
        result: of the camera.
        settings: the pipeline's.
        here: the result with the costmap and with the pose from where the camera looks; by default the same one.
    """
    here = here or result
    mount = result.frame.base_from_optical
    view = ground_in_view(result.camera, mount, here.frame.odom_from_base, here.raster, settings.ground)
    if view is None:
        known: NDArray[np.bool_] = here.costmap != OccupancyValues.UNKNOWN
        return known
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
