"""A network on an accelerator, as the processor sees it: it takes its time and no work."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from seg_perception.inference.engine import Engine, EngineOutput, OpenedNetwork


class StandIn(OpenedNetwork):
    """An `Engine` that gives to every image the answer that a network gave to the first, after a fixed time."""

    def __init__(self, engine: Engine, seconds: float) -> None:
        """Stand in for an engine.

        Args:
            engine: gives the answer.
            seconds: how long each takes.
        """
        super().__init__(engine.card, engine.spec)
        self._engine = engine
        self._seconds = seconds
        self._answer: EngineOutput | None = None

    def run(self, images: NDArray[np.uint8], costs: NDArray[np.float32], cells: NDArray[np.float32]) -> EngineOutput:
        """Wait, and answer; see `Engine.run`."""
        if self._answer is None:
            self._answer = self._engine.run(images, costs, cells)
        time.sleep(self._seconds)
        return self._answer

    def time_network(self, runs: int = 1) -> list[float]:
        """The fixed time, ms."""
        return [self._seconds * 1e3] * runs

    def describe(self) -> str:
        """One line for logs and reports."""
        return f"{self._seconds * 1e3:g} ms in place of {self._engine.describe()}"

    def close(self) -> None:
        """Close the network."""
        self._engine.close()
