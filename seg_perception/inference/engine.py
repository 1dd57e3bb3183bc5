"""The `Engine` protocol: runs a network on a batch of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.model.card import ModelCard


@dataclass(frozen=True, eq=False)
class VisualizationMaps:
    """Images for people: overlays and reports. h and w as in `EngineOutput`.

    Attributes:
        confidence: uint8 [N, h, w], 255 times the probability of the most probable class.
        expected_cost: uint8 [N, h, w], expected cost of driving over the pixel, nav2 units; 254 is lethal.
    """

    confidence: NDArray[np.uint8]
    expected_cost: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class EngineOutput:
    """Results for N images. h and w are the network's input size, or that of its logits (resolution "native").

    Attributes:
        labels: uint8 [N, h, w], the Bayes decision.
        sample_probabilities: float32 [N, G, K], class probabilities at the sample points.
        render_maps: renders the visualization maps; called on first access, at most once.
        logits: float32 [N, K, h/s, w/s], calibrated, at the network's own resolution; None unless `GraphSpec.logits`.
    """

    labels: NDArray[np.uint8]
    sample_probabilities: NDArray[np.float32]
    render_maps: Callable[[], VisualizationMaps]
    logits: NDArray[np.float32] | None = None

    @cached_property
    def _maps(self) -> VisualizationMaps:
        return self.render_maps()

    @property
    def confidence(self) -> NDArray[np.uint8]:
        """See `VisualizationMaps`."""
        return self._maps.confidence

    @property
    def expected_cost(self) -> NDArray[np.uint8]:
        """See `VisualizationMaps`."""
        return self._maps.expected_cost

    def select(self, index: int) -> EngineOutput:
        """The results of one image of the batch, with N = 1; arrays are views.

        Args:
            index: of the image, from 0.
        """
        one = slice(index, index + 1)

        def render_maps() -> VisualizationMaps:
            return VisualizationMaps(self.confidence[one], self.expected_cost[one])

        logits = None if self.logits is None else self.logits[one]
        return EngineOutput(self.labels[one], self.sample_probabilities[one], render_maps, logits)


class Engine(Protocol):
    """A network that is loaded and ready to run."""

    @property
    def card(self) -> ModelCard:
        """The model card of the network."""

    @property
    def spec(self) -> GraphSpec:
        """The shapes and options the engine was opened with."""

    def run(
        self, images: NDArray[np.uint8], costs: NDArray[np.float32], sample_points: NDArray[np.float32]
    ) -> EngineOutput:
        """Run the network on one batch.

        Args:
            images: uint8 [N, H, W, 3] at the network's size, channels in `spec.image_order`. N is `spec.batch`; an
                engine of `open_batched_engine` also takes fewer.
            costs: float32 [K + 1, K], the K decision rows of the cost matrix, then its traverse row.
            sample_points: float32 [N, G, 2], image coordinates (x, y) at which class probabilities are wanted, finite.
                Pixel centre u of the network-sized image lies at x = (2u + 1) / W - 1. Points beyond the image get the
                probabilities of the nearest edge pixel; the caller masks them.

        Raises:
            ModelError: an input has the wrong shape or type, or the network's output is not finite.
        """

    def time_network(self, runs: int = 1) -> list[float]:
        """Time the network alone: without decision, expected cost and sample points.

        The timed graph is the one that `run` uses, cut off after the network (image and normalisation included), on the
        same backend with the same settings. Called between runs, it sees the same load and clock frequency.

        Args:
            runs: number of runs.

        Returns:
            Milliseconds of each run.
        """

    def describe(self) -> str:
        """One line for logs and reports: network, size, backend."""

    def close(self) -> None:
        """Free all resources; the engine cannot run afterwards."""


class EngineBase:
    """Common base of the engines: keeps model card and spec."""

    def __init__(self, card: ModelCard, spec: GraphSpec) -> None:
        """Keep card and spec."""
        self._card = card
        self._spec = spec

    @property
    def card(self) -> ModelCard:
        """The model card of the network."""
        return self._card

    @property
    def spec(self) -> GraphSpec:
        """The shapes and options the engine was opened with."""
        return self._spec
