"""An engine that is always right: it reads the true labels that it is given in place of the camera image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seg_perception.inference.engine import EngineOutput, OpenedNetwork, Pictures


class LabelEngine(OpenedNetwork):
    """An `Engine` whose images [N, H, W, 3] have the class index in their first channel; the others may be anything.

    It separates what geometry and grid get wrong from what a network gets wrong. Values that are no class (255) give
    no class any probability.
    """

    def run(self, images: NDArray[np.uint8], costs: NDArray[np.float32], cells: NDArray[np.float32]) -> EngineOutput:
        """Look the labels up; a ground sample has that of the pixel it lies in. See `Engine.run`."""
        labels = np.ascontiguousarray(images[..., 0])
        height, width = labels.shape[1:]
        # x = (2u + 1) / W - 1; beyond the image the edge answers.
        column = np.clip(np.rint(((cells[..., 0] + 1) * width - 1) / 2), 0, width - 1).astype(np.intp)
        row = np.clip(np.rint(((cells[..., 1] + 1) * height - 1) / 2), 0, height - 1).astype(np.intp)
        sampled = labels[np.arange(len(labels))[:, np.newaxis], row, column]
        probabilities = (sampled[..., np.newaxis] == np.arange(len(self._card.classes))).astype(np.float32)
        by_label = np.zeros(256, np.uint8)
        by_label[: costs.shape[1]] = np.clip(np.rint(costs[-1]), 0, 254).astype(np.uint8)
        return EngineOutput(labels, probabilities, lambda: Pictures(np.full_like(labels, 255), by_label[labels]))

    def time_network(self, runs: int = 1) -> list[float]:
        """Zero: there is none."""
        return [0.0] * runs

    def describe(self) -> str:
        """One line for logs and reports."""
        return f"true labels: {self._card.width}x{self._card.height}, {len(self._card.classes)} classes"

    def close(self) -> None:
        """Nothing is held."""
