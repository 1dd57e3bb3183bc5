"""What runs a network: the Engine protocol."""

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
class Pictures:
    """What only people look at; h and w as in `EngineOutput`.

    Attributes:
        confidence: uint8 [N, h, w], 255 times the probability of the most probable class.
        expected_cost: uint8 [N, h, w], expected cost of driving over the pixel, nav2 units; 254 is lethal.
    """

    confidence: NDArray[np.uint8]
    expected_cost: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class EngineOutput:
    """What an engine says of N images; h and w are the network's input size, or its logits' ("native").

    Attributes:
        labels: uint8 [N, h, w], the Bayes decision.
        cell_probabilities: float32 [N, G, K], class probabilities at the ground samples.
        make_pictures: called when somebody looks at one for the first time.
        logits: float32 [N, K, h/s, w/s], calibrated, at the network's own resolution; None unless opened with them.
    """

    labels: NDArray[np.uint8]
    cell_probabilities: NDArray[np.float32]
    make_pictures: Callable[[], Pictures]
    logits: NDArray[np.float32] | None = None

    @cached_property
    def _pictures(self) -> Pictures:
        return self.make_pictures()

    @property
    def confidence(self) -> NDArray[np.uint8]:
        """See `Pictures`."""
        return self._pictures.confidence

    @property
    def expected_cost(self) -> NDArray[np.uint8]:
        """See `Pictures`."""
        return self._pictures.expected_cost

    def of(self, number: int) -> EngineOutput:
        """The same of one image alone: views, with N = 1.

        Args:
            number: of the image, from 0.
        """
        one = slice(number, number + 1)

        def pictures() -> Pictures:
            return Pictures(self.confidence[one], self.expected_cost[one])

        logits = None if self.logits is None else self.logits[one]
        return EngineOutput(self.labels[one], self.cell_probabilities[one], pictures, logits)


class Engine(Protocol):
    """A network, ready to run."""

    @property
    def card(self) -> ModelCard:
        """The model card of the network."""

    @property
    def spec(self) -> GraphSpec:
        """The shapes and options it was opened with."""

    def run(self, images: NDArray[np.uint8], costs: NDArray[np.float32], cells: NDArray[np.float32]) -> EngineOutput:
        """Run the network on one batch.

        Args:
            images: uint8 [N, H, W, 3] at the network's size, channels in `spec.image_order`. N is `spec.batch`, or up
                to that for an engine of `open_for_several`.
            costs: float32 [K + 1, K], the decision rows of the cost matrix, then its traverse row.
            cells: float32 [N, G, 2], finite image coordinates (x, y) of the ground samples: pixel centre u of the
                network-sized image lies at x = (2u + 1) / W - 1. Beyond the image the nearest edge pixel answers;
                what lies there is for the caller to mask.

        Raises:
            ModelError: an input has the wrong shape or type, or the network gave numbers that are not finite.
        """

    def time_network(self, runs: int = 1) -> list[float]:
        """Time the network by itself: what a frame would cost without decision, costs and ground samples.

        The graph timed is the one that is run, cut off after the network (image and normalisation included), on the
        same backend with the same settings. Called between runs, it shares their load and clock.

        Args:
            runs: how often.

        Returns:
            Milliseconds of each run.
        """

    def describe(self) -> str:
        """One line for logs and reports: network, size, backend."""

    def close(self) -> None:
        """Free what the engine holds; it cannot run afterwards."""


class OpenedNetwork:
    """What every engine knows of its network."""

    def __init__(self, card: ModelCard, spec: GraphSpec) -> None:
        """Keep what the engine was opened with."""
        self._card = card
        self._spec = spec

    @property
    def card(self) -> ModelCard:
        """The model card of the network."""
        return self._card

    @property
    def spec(self) -> GraphSpec:
        """The shapes and options it was opened with."""
        return self._spec
