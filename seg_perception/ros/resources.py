"""The node's resources, held from configure to cleanup: networks, cost matrix, pipeline and publishers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from seg_perception.errors import ConfigError
from seg_perception.inference.backends import open_engine
from seg_perception.inference.batched_engine import open_batched_engine
from seg_perception.inference.engine import Engine
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.progress import ProgressReporter
from seg_perception.pipeline.pipeline import Pipeline, graph_spec
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.ros.diagnostics.statistics import CameraStatistics
from seg_perception.ros.engine_supervisor import EngineSupervisor
from seg_perception.ros.inputs.poses import select_pose_source
from seg_perception.ros.outputs.costmap_output import CostmapOutput
from seg_perception.ros.outputs.image_outputs import ImageOutputs
from seg_perception.ros.parameters.node_settings import CameraSettings, NodeSettings, load_matrix
from seg_perception.ros.scheduler import LatestScheduler, ScheduledSource

OpenNetwork = Callable[[NodeSettings, ProgressReporter], Engine]


def open_network(settings: NodeSettings, reporter: ProgressReporter) -> Engine:
    """Open the engine that the settings select, for the images of all their cameras."""

    def open_for(spec: GraphSpec) -> Engine:
        return open_engine(
            settings.model, spec, settings.card, settings.threads, settings.backend, settings.precision, reporter
        )

    return open_batched_engine(
        open_for, graph_spec(settings.pipeline, logits=True), len(settings.cameras), reporter.log
    )


@dataclass(frozen=True)
class CameraResources:
    """Resources of one camera.

    Attributes:
        settings: of the camera.
        engine: its network; cameras may share it.
        statistics: counts its images and results.
        outputs: publishes the results that belong to its images.
    """

    settings: CameraSettings
    engine: EngineSupervisor
    statistics: CameraStatistics
    outputs: ImageOutputs


class NodeResources:
    """Networks, matrix, grid and publishers.

    Attributes:
        settings: the current ones.
        matrix: the current cost matrix.
        cameras: by name, in the order of the settings.
        pipeline: with the grid; while the node is active, only its worker may use it.
        costmap: publishes costmaps.
    """

    def __init__(
        self, node: Any, settings: NodeSettings, open_network: OpenNetwork, reporter: ProgressReporter
    ) -> None:
        """Load everything.

        Args:
            node: the node, for publishers.
            settings: from its parameters.
            open_network: opens an engine for settings.
            reporter: reports the progress of builds that take long.

        Raises:
            SegPerceptionError: model, card or matrix cannot be used, or something that `pose_source` needs is missing.
                No engine stays open then.
        """
        select_pose_source(settings)
        self.settings = settings
        self._engines: list[EngineSupervisor] = []
        try:
            by_camera = self._open(settings, open_network, reporter)
            self.matrix = load_matrix(settings, self.classes)
        except BaseException:
            self._close_engines()
            raise
        self.pipeline = Pipeline(self._engines[0], self.matrix, settings.pipeline)
        self.costmap = CostmapOutput(node, self.pipeline)
        self.cameras = {
            camera.name: CameraResources(
                camera,
                by_camera[camera.name],
                CameraStatistics(),
                ImageOutputs(node, by_camera[camera.name].card, camera.prefix),
            )
            for camera in settings.cameras
        }

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, which are the same for all networks."""
        return self._engines[0].card.classes

    def scheduler(self) -> LatestScheduler[Any]:
        """A scheduler of all cameras; cameras that share a batched network form a group."""
        return LatestScheduler(
            ScheduledSource(name, camera.settings.weight, id(camera.engine) if camera.engine.spec.batch > 1 else None)
            for name, camera in self.cameras.items()
        )

    def use(self, settings: NodeSettings, matrix: CostMatrix) -> None:
        """Replace the settings and the cost matrix."""
        self.settings, self.matrix = settings, matrix

    def close(self) -> None:
        """Close the engines and remove the publishers."""
        self._close_engines()
        self.costmap.destroy()
        for camera in self.cameras.values():
            camera.outputs.destroy()

    def _open(
        self, settings: NodeSettings, open_network: OpenNetwork, reporter: ProgressReporter
    ) -> dict[str, EngineSupervisor]:
        """Open each network once; returns camera → engine."""
        by_network: dict[tuple[object, ...], list[CameraSettings]] = {}
        for camera in settings.cameras:
            by_network.setdefault((camera.model, camera.card), []).append(camera)
        by_camera = {}
        for cameras in by_network.values():
            network_settings = replace(settings, model=cameras[0].model, card=cameras[0].card, cameras=tuple(cameras))
            engine = EngineSupervisor(partial(open_network, network_settings, reporter))
            self._engines.append(engine)
            if engine.card.classes != self.classes:
                raise ConfigError(
                    f"parameter '{cameras[0].name}.model': {cameras[0].model} has other classes than "
                    f"{settings.cameras[0].model}, and one grid cannot hold both; give cameras networks with the same "
                    "classes in the same order."
                )
            by_camera.update(dict.fromkeys((camera.name for camera in cameras), engine))
        return by_camera

    def _close_engines(self) -> None:
        for engine in self._engines:
            engine.close()
