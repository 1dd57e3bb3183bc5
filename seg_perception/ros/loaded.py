"""What the node holds from configure to cleanup."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from seg_perception.inference.backends import open_engine
from seg_perception.inference.engine import Engine
from seg_perception.inference.tensorrt_open import Watch
from seg_perception.pipeline import Pipeline, graph_spec
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.ros.costmap_output import CostmapOutput
from seg_perception.ros.engine_keeper import EngineKeeper
from seg_perception.ros.health import Health
from seg_perception.ros.outputs import Outputs
from seg_perception.ros.poses import choose_source
from seg_perception.ros.settings import NodeSettings, load_matrix

OpenNetwork = Callable[[NodeSettings, Watch], Engine]


def open_network(settings: NodeSettings, watch: Watch) -> Engine:
    """The engine that the settings ask for, ready for the node's pipeline."""
    return open_engine(
        settings.model,
        graph_spec(settings.pipeline, logits=True),
        settings.card,
        settings.threads,
        settings.backend,
        settings.precision,
        watch,
    )


class Loaded:
    """Network, matrix, grid and publishers.

    Attributes:
        settings: those that hold now.
        matrix: the one that holds now.
        engine: the network.
        pipeline: with the grid; while the node is active, for its worker only.
        health: counts.
        costmap: publishes costmaps.
        outputs: publishes everything else about images.
    """

    def __init__(self, node: Any, settings: NodeSettings, open_network: OpenNetwork, watch: Watch) -> None:
        """Load everything.

        Args:
            node: the node, for publishers.
            settings: from its parameters.
            open_network: opens the engine.
            watch: told what of it takes time.

        Raises:
            SegPerceptionError: model, card or matrix cannot be used, or poses cannot be had the way the settings say;
                nothing is left open.
        """
        choose_source(settings)
        self.settings = settings
        self.engine = EngineKeeper(lambda: open_network(settings, watch))
        try:
            self.matrix = load_matrix(settings, self.engine.card.classes)
        except BaseException:
            self.engine.close()
            raise
        self.pipeline = Pipeline(self.engine, self.matrix, settings.pipeline)
        self.health = Health()
        self.costmap = CostmapOutput(node)
        self.outputs = Outputs(node, self.engine.card)

    def use(self, settings: NodeSettings, matrix: CostMatrix) -> None:
        """Let other settings and their matrix hold; whoever works with them takes them from here."""
        self.settings, self.matrix = settings, matrix

    def close(self) -> None:
        """Close the engine and remove the publishers."""
        self.engine.close()
        self.costmap.destroy()
        self.outputs.destroy()
