"""Frame to result: the one place where network, geometry, grid and risk meet.

Every entry point (recordings, ROS 2 node, simulator) hands `Frame`s to a `Pipeline` and gets `Result`s back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seg_perception.costmap.decay import EvidenceDecay
from seg_perception.costmap.evidence_grid import NANOSECONDS, EvidenceGrid
from seg_perception.costmap.nav2_encoding import encode_costs
from seg_perception.costmap.speed_mask import speed_mask
from seg_perception.errors import ConfigError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform
from seg_perception.inference.engine import Engine
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.pipeline.prepared_frame import PreparedFrame
from seg_perception.pipeline.result import Result
from seg_perception.pipeline.stages import StageClock
from seg_perception.projection.extrinsic_calibration.online_calibration import OnlineCalibration
from seg_perception.projection.flat_ground.field_of_view import ground_in_view
from seg_perception.projection.flat_ground.projection import FlatGroundProjection
from seg_perception.projection.range.ground_heights import estimate_ground
from seg_perception.projection.select import select_projection
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.risk.speed_rule import SpeedRule
from seg_perception.sensor_data.frame import Frame
from seg_perception.sensor_data.images.quality import image_weight
from seg_perception.sensor_data.images.scaled import at_network_size
from seg_perception.settings.pipeline import PipelineSettings


def graph_spec(
    settings: PipelineSettings, image_order: Literal["rgb", "bgr"] = "bgr", logits: bool = False
) -> GraphSpec:
    """The spec with which an engine must be opened to serve a pipeline with these settings.

    Examples:
        >>> sp.graph_spec(sp.PipelineSettings()).sample_points
        4000
    """
    return GraphSpec(sample_points=settings.ground.max_samples, image_order=image_order, logits=logits)


class Pipeline:
    """The stages in order, and the evidence grid that they fill.

    Attributes:
        grid: class evidence around the robot; belongs to the pipeline, open to checkpoints.

    Examples:
        >>> settings = sp.PipelineSettings()
        >>> engine = sp.open_engine(find("models/urban.onnx"), sp.graph_spec(settings))
        >>> matrix = sp.CostMatrix.load(find("config/cost_matrices/road_car.yaml"), engine.card.classes)
        >>> pipeline = sp.Pipeline(engine, matrix, settings)
        >>> pipeline.process(frame).costmap.shape
        (200, 200)
    """

    def __init__(self, engine: Engine, matrix: CostMatrix, settings: PipelineSettings, remember: bool = True) -> None:
        """Build a pipeline.

        Args:
            engine: opened with `graph_spec(settings)`.
            matrix: loaded for the classes of the engine's card.
            settings: ground, projection and grid.
            remember: fuse frames over time. Without poses the motion between two frames is unknown, and each costmap
                must come from its own frame alone.
        """
        self._engine = engine
        self._remember = remember
        self._calibration = OnlineCalibration(0.0)
        self.grid = EvidenceGrid(settings.grid, len(matrix.classes))
        self.reconfigure(matrix, settings)
        self._warm_up()

    def _warm_up(self) -> None:
        """Compile all loops that run after the network, or load them from the cache, so that no image waits for it."""
        camera = Camera.from_fields(64, 48, "", [64, 0, 31.5, 0, 64, 23.5, 0, 0, 1], ())
        ground, classes = self._settings.ground, len(self._matrix.classes)
        pose = Transform.from_xyz_rpy(0, 0, 4 * ground.min_range, math.pi, 0, 0)
        projection = FlatGroundProjection.at(camera, pose, ground)
        grid = EvidenceGrid(self._settings.grid, classes)
        probabilities = np.ones((len(projection.sample_points), classes), np.float32)
        evidence = projection.evidence(probabilities, self._matrix, grid.bounds, Transform.identity(), 1.0)
        grid.add(evidence.centres, evidence.probabilities, evidence.weights, 0)
        grid.move_onto(grid.bounds_at(1.0, 1.0))
        encode_costs(*grid.costs(self._matrix))
        estimate_ground(np.zeros((2, 2), np.float32), ground.ranges[:2], self._settings.projection)

    @property
    def image_size(self) -> tuple[int, int]:
        """(width, height) of the images the network takes; larger ones are scaled down to it."""
        return self._engine.card.width, self._engine.card.height

    def reconfigure(self, matrix: CostMatrix, settings: PipelineSettings) -> None:
        """Continue with another matrix or other settings. The evidence stays in the grid: it does not depend on costs.

        Args:
            matrix: for the same classes.
            settings: with the same number of ground samples and a grid of the same cells.

        Raises:
            ConfigError: the number of samples or the cells differ, or the settings name an unknown class.
        """
        if settings.ground.max_samples != self._engine.spec.sample_points:
            raise ConfigError(
                f"ground.max_samples is {settings.ground.max_samples}, but the engine was opened for "
                f"{self._engine.spec.sample_points}; open it again."
            )
        decay = EvidenceDecay.of(settings.grid, matrix)
        self.grid.reconfigure(settings.grid, decay)
        self._decay = decay
        self._matrix = matrix
        self._settings = settings
        self._costs = matrix.stacked_rows()
        self._is_ground = ~(matrix.standing | matrix.ignore)
        if settings.ground.max_pitch_error != self._calibration.limit:
            self._calibration = OnlineCalibration(settings.ground.max_pitch_error)

    def reset(self) -> None:
        """Empty the grid, because time or the robot has jumped."""
        self.grid = EvidenceGrid(self._settings.grid, len(self._matrix.classes), self._decay)
        self._calibration.forget_views()

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All state that is kept from frame to frame, as arrays that np.savez keeps exactly."""
        return {**self.grid.to_arrays(), **self._calibration.to_arrays()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Continue from what `to_arrays` of a pipeline with the same settings and matrix returned.

        Raises:
            ConfigError: the grid has another size.
        """
        self.grid = EvidenceGrid.from_arrays(self._settings.grid, arrays, self._decay)
        self._calibration = OnlineCalibration.from_arrays(self._calibration.limit, arrays)

    def process(self, frame: Frame) -> Result:
        """Run every stage on one frame.

        Raises:
            ProjectionError: the frame lacks what `projection.mode` needs. The grid is unchanged.
            GeometryError: the camera sees no ground, or the pose is not finite. The grid is unchanged.
            ModelError: the output of the network is not finite. The grid is unchanged.
        """
        return self.finish([self.prepare(frame)])[0]

    def prepare(self, frame: Frame, engine: Engine | None = None) -> PreparedFrame:
        """Run the stages before the network. They do not use the grid.

        Args:
            frame: of any camera.
            engine: another network than the pipeline's own, for the same classes and opened with the same `graph_spec`.

        Raises:
            ProjectionError: the frame lacks what `projection.mode` needs.
            GeometryError: the camera sees no ground, or the pose is not finite.
        """
        clock, engine = StageClock(), engine or self._engine
        card = engine.card
        image = at_network_size(frame.image, card.width, card.height, frame.channel_order, engine.spec.image_order)
        clock.end("resize")
        camera = frame.camera.resized(card.width, card.height)
        x, y, _ = frame.odom_from_footprint.translation
        bounds = self.grid.bounds_at(float(x), float(y))
        correction = self._calibration.correction(frame)
        selected = select_projection(frame, camera, self._settings, correction)
        # The engine takes a fixed number of sample points; the projection may use fewer.
        sample_points = np.zeros((engine.spec.sample_points, 2), dtype=np.float32)
        used = selected.projection.sample_points
        sample_points[: len(used)] = used
        clock.end("ground")
        return PreparedFrame(
            frame, engine, image, camera, sample_points, selected, correction, bounds, clock.timings_ms
        )

    def finish(
        self, prepared: Sequence[PreparedFrame], stale: Sequence[Result] = (), seen_within: float = 0.0
    ) -> list[Result]:
        """Run the network on a batch of frames, fuse them, and make one costmap.

        Args:
            prepared: at least one, for the same engine, and at most as many as it takes in one run.
            stale: latest results of cameras that have stopped giving results. The cells in their field of view from
                the robot's current pose are cleared, unless another camera has shown them recently.
            seen_within: how recently that is, s.

        Returns:
            A result for each frame, all with the same costmap.

        Raises:
            ModelError: the output of the network is not finite, for any of the frames. The grid is unchanged.
        """
        clock = StageClock()
        output = prepared[0].engine.run(
            np.stack([each.image for each in prepared]),
            self._costs,
            np.stack([each.sample_points for each in prepared]),
        )
        clock.end("network and risk")
        if not self._remember:
            self.reset()
        for each, probabilities, labels in zip(prepared, output.sample_probabilities, output.labels, strict=True):
            self._fuse(each, probabilities)
            if self._remember and each.attitude_correction is not None and each.selected.name == "plane":
                self._calibration.update(each.frame, each.image, each.camera, self._is_ground[labels])
        newest = max(prepared, key=lambda each: each.frame.stamp_ns).frame
        stale_cells = self._clear_views(stale, newest.odom_from_base, seen_within) if stale else None
        clock.end("fuse")
        costs, known = self.grid.costs(self._matrix)
        costmap = encode_costs(costs, known)
        clock.end("costmap")
        return [
            Result(
                frame=each.corrected_frame(),
                image=each.image,
                camera=each.camera,
                output=output.select(number),
                costmap=costmap,
                bounds=self.grid.bounds,
                timings_ms={**each.timings_ms, **clock.timings_ms},
                stamp_ns=self.grid.stamp_ns,
                projection=each.selected.name,
                refused=each.selected.refused,
                attitude_correction=each.attitude_correction,
                stale_cells=stale_cells,
            )
            for number, each in enumerate(prepared)
        ]

    @property
    def speed_rule(self) -> SpeedRule:
        """How fast the robot may drive over each class."""
        return self._matrix.speed

    def speed_mask(self) -> NDArray[np.int8]:
        """Speed limits on the grid as it is now: int8 [rows, cols], percent of full speed, 1 to 100."""
        return speed_mask(*self.grid.posterior(self._matrix), self._matrix, self.grid.settings.resolution)

    def _fuse(self, prepared: PreparedFrame, probabilities: NDArray[np.float32]) -> None:
        frame, projection, bounds = prepared.frame, prepared.selected.projection, prepared.bounds
        # A late frame shows what the grid covered at its time; the grid stays where the newest frame has moved it.
        if not self.grid.is_late(frame.stamp_ns):
            self.grid.move_onto(bounds)
        grid = self._settings.grid
        weight = image_weight(prepared.image, grid.full_sharpness, grid.full_exposure)
        used = probabilities[: len(projection.sample_points)]
        evidence = projection.evidence(used, self._matrix, bounds, frame.odom_from_footprint, weight)
        self.grid.add(evidence.centres, evidence.probabilities, evidence.weights, frame.stamp_ns)

    def _clear_views(self, stale: Sequence[Result], odom_from_base: Transform, seen_within: float) -> NDArray[np.bool_]:
        """Clear the cells that only stale cameras cover; returns which, bool [rows, cols]."""
        cells = np.zeros(self.grid.seen_ns.shape, dtype=np.bool_)
        for result in stale:
            extrinsics = result.frame.base_from_optical
            view = ground_in_view(result.camera, extrinsics, odom_from_base, self.grid.bounds, self._settings.ground)
            cells |= True if view is None else view
        cells &= self.grid.seen_ns < self.grid.stamp_ns - round(seen_within * NANOSECONDS)
        self.grid.clear(cells)
        return cells
