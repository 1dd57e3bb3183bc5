"""An engine that returns ground-truth labels: it gets them in place of the camera image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seg_perception.inference.engine import EngineBase, EngineOutput, VisualizationMaps


class LabelEngine(EngineBase):
    """An `Engine` whose images [N, H, W, 3] have the class index in their first channel; the others may be anything.

    It separates errors of geometry and grid from errors of a network. A value that is no class (255) gives every class
    a probability of 0.
    """

    def run(
        self, images: NDArray[np.uint8], costs: NDArray[np.float32], sample_points: NDArray[np.float32]
    ) -> EngineOutput:
        """Look up the labels; a sample point gets the label of its pixel. See `Engine.run`."""
        labels = np.ascontiguousarray(images[..., 0])
        height, width = labels.shape[1:]
        # x = (2u + 1) / W - 1; points beyond the image take the pixel at the edge.
        column = np.clip(np.rint(((sample_points[..., 0] + 1) * width - 1) / 2), 0, width - 1).astype(np.intp)
        row = np.clip(np.rint(((sample_points[..., 1] + 1) * height - 1) / 2), 0, height - 1).astype(np.intp)
        sampled = labels[np.arange(len(labels))[:, np.newaxis], row, column]
        probabilities = (sampled[..., np.newaxis] == np.arange(len(self._card.classes))).astype(np.float32)
        by_label = np.zeros(256, np.uint8)
        by_label[: costs.shape[1]] = np.clip(np.rint(costs[-1]), 0, 254).astype(np.uint8)
        return EngineOutput(
            labels, probabilities, lambda: VisualizationMaps(np.full_like(labels, 255), by_label[labels])
        )

    def time_network(self, runs: int = 1) -> list[float]:
        """Zero: there is no network."""
        return [0.0] * runs

    def describe(self) -> str:
        """One line for logs and reports."""
        return f"true labels: {self._card.width}x{self._card.height}, {len(self._card.classes)} classes"

    def close(self) -> None:
        """Nothing to release."""
