"""An engine that takes time but no CPU, as a network on an accelerator does."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from seg_perception.inference.engine import Engine, EngineBase, EngineOutput


class FakeEngine(EngineBase):
    """An `Engine` that returns the output for the first image for every image, after a fixed time."""

    def __init__(self, engine: Engine, seconds: float) -> None:
        """Wrap an engine.

        Args:
            engine: computes the one output.
            seconds: time of each run.
        """
        super().__init__(engine.card, engine.spec)
        self._engine = engine
        self._seconds = seconds
        self._output: EngineOutput | None = None

    def run(
        self, images: NDArray[np.uint8], costs: NDArray[np.float32], sample_points: NDArray[np.float32]
    ) -> EngineOutput:
        """Wait, then return the output; see `Engine.run`."""
        if self._output is None:
            self._output = self._engine.run(images, costs, sample_points)
        time.sleep(self._seconds)
        return self._output

    def time_network(self, runs: int = 1) -> list[float]:
        """The fixed time, ms."""
        return [self._seconds * 1e3] * runs

    def describe(self) -> str:
        """One line for logs and reports."""
        return f"{self._seconds * 1e3:g} ms in place of {self._engine.describe()}"

    def close(self) -> None:
        """Close the network."""
        self._engine.close()
