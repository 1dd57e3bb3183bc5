"""What the node holds from configure to cleanup."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from seg_perception.errors import ConfigError
from seg_perception.inference.backends import open_engine
from seg_perception.inference.batched_engine import open_for_several
from seg_perception.inference.engine import Engine
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.tensorrt.open import Watch
from seg_perception.pipeline.pipeline import Pipeline, graph_spec
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.ros.diagnostics.statistics import Health
from seg_perception.ros.engine_supervisor import EngineKeeper
from seg_perception.ros.inputs.poses import choose_source
from seg_perception.ros.outputs.costmap_output import CostmapOutput
from seg_perception.ros.outputs.image_outputs import Outputs
from seg_perception.ros.parameters.node_settings import CameraSettings, NodeSettings, load_matrix
from seg_perception.ros.scheduler import Mailboxes, Sender

OpenNetwork = Callable[[NodeSettings, Watch], Engine]


def open_network(settings: NodeSettings, watch: Watch) -> Engine:
    """The engine that the settings ask for, ready for the images of all their cameras."""

    def open_for(spec: GraphSpec) -> Engine:
        return open_engine(
            settings.model, spec, settings.card, settings.threads, settings.backend, settings.precision, watch
        )

    return open_for_several(open_for, graph_spec(settings.pipeline, logits=True), len(settings.cameras), watch.say)


@dataclass(frozen=True)
class LoadedCamera:
    """What is loaded for one camera.

    Attributes:
        settings: of the camera.
        engine: its network, which others may share.
        health: counts.
        outputs: publishes everything about its images.
    """

    settings: CameraSettings
    engine: EngineKeeper
    health: Health
    outputs: Outputs


class Loaded:
    """Networks, matrix, grid and publishers.

    Attributes:
        settings: those that hold now.
        matrix: the one that holds now.
        cameras: by name, in the order of the settings.
        pipeline: with the grid; while the node is active, for its worker only.
        costmap: publishes costmaps.
    """

    def __init__(self, node: Any, settings: NodeSettings, open_network: OpenNetwork, watch: Watch) -> None:
        """Load everything.

        Args:
            node: the node, for publishers.
            settings: from its parameters.
            open_network: opens the engine of settings.
            watch: told what of it takes time.

        Raises:
            SegPerceptionError: model, card or matrix cannot be used, or poses cannot be had the way the settings say;
                nothing is left open.
        """
        choose_source(settings)
        self.settings = settings
        self._engines: list[EngineKeeper] = []
        try:
            by_camera = self._open(settings, open_network, watch)
            self.matrix = load_matrix(settings, self.classes)
        except BaseException:
            self._close_engines()
            raise
        self.pipeline = Pipeline(self._engines[0], self.matrix, settings.pipeline)
        self.costmap = CostmapOutput(node, self.pipeline)
        self.cameras = {
            camera.name: LoadedCamera(
                camera, by_camera[camera.name], Health(), Outputs(node, by_camera[camera.name].card, camera.prefix)
            )
            for camera in settings.cameras
        }

    @property
    def classes(self) -> tuple[str, ...]:
        """Of all networks alike."""
        return self._engines[0].card.classes

    def mailboxes(self) -> Mailboxes[Any]:
        """One for each camera; those may be worked on together whose network takes several images in one run."""
        return Mailboxes(
            Sender(name, camera.settings.weight, id(camera.engine) if camera.engine.spec.batch > 1 else None)
            for name, camera in self.cameras.items()
        )

    def use(self, settings: NodeSettings, matrix: CostMatrix) -> None:
        """Let other settings and their matrix hold; whoever works with them takes them from here."""
        self.settings, self.matrix = settings, matrix

    def close(self) -> None:
        """Close the engines and remove the publishers."""
        self._close_engines()
        self.costmap.destroy()
        for camera in self.cameras.values():
            camera.outputs.destroy()

    def _open(self, settings: NodeSettings, open_network: OpenNetwork, watch: Watch) -> dict[str, EngineKeeper]:
        """Open each network once; returns camera → engine."""
        sharing: dict[tuple[object, ...], list[CameraSettings]] = {}
        for camera in settings.cameras:
            sharing.setdefault((camera.model, camera.card), []).append(camera)
        by_camera = {}
        for cameras in sharing.values():
            own = replace(settings, model=cameras[0].model, card=cameras[0].card, cameras=tuple(cameras))
            engine = EngineKeeper(partial(open_network, own, watch))
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
