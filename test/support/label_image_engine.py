"""A fake engine whose input images are label images, and a cost matrix for its three classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform
from seg_perception.inference.engine import Engine, EngineOutput, VisualizationMaps
from seg_perception.pipeline.pipeline import graph_spec
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.settings.pipeline import PipelineSettings

CLASSES = ("Road", "Grass", "Box")
MATRIX = """
misclassification: {default: 1, correct: 0}
traverse: {Road: 0, Grass: 120, Box: 1000}
standing: [Box]
ignore: []
"""


def three_class_matrix(folder: Path) -> CostMatrix:
    path = folder / "matrix.yaml"
    path.write_text(MATRIX, encoding="utf-8")
    return CostMatrix.load(path, CLASSES)


def label_image_engine(settings: PipelineSettings, width: int = 320, height: int = 240) -> Engine:
    return _LabelImageEngine(settings, width, height)


def render_box(
    camera: Camera, odom_from_optical: Transform, box: tuple[float, float, float, float] | None
) -> NDArray[np.uint8]:
    """A label image: road everywhere, and a box (x, y range in odom, 1 m high) by ray casting."""
    v, u = np.mgrid[0 : camera.height, 0 : camera.width]
    rays, _ = camera.rays(np.stack([u, v], axis=-1).astype(float))
    directions, origin = rays @ odom_from_optical.rotation.T, odom_from_optical.translation
    image = np.zeros((camera.height, camera.width, 3), np.uint8)
    if box is not None:
        low, high = np.array([box[0], box[2], 0.0]), np.array([box[1], box[3], 1.0])
        with np.errstate(divide="ignore"):
            a, b = (low - origin) / directions, (high - origin) / directions
        near, far = np.minimum(a, b).max(axis=-1), np.maximum(a, b).min(axis=-1)
        image[(near < far) & (far > 0)] = 2
    return image


class _LabelImageEngine:
    """Reads the class of a pixel from its blue channel and gives it a probability of 0.998."""

    def __init__(self, settings: PipelineSettings, width: int, height: int) -> None:
        self.card = type("Card", (), {"width": width, "height": height, "classes": CLASSES})()
        self.spec = graph_spec(settings)

    def run(self, images, costs, sample_points) -> EngineOutput:
        labels = images[..., 0]
        u = np.clip(np.rint(((sample_points[..., 0] + 1) * self.card.width - 1) / 2), 0, self.card.width - 1).astype(
            int
        )
        v = np.clip(np.rint(((sample_points[..., 1] + 1) * self.card.height - 1) / 2), 0, self.card.height - 1).astype(
            int
        )
        shown = labels[np.arange(len(labels))[:, np.newaxis], v, u]
        p = np.where(shown[..., np.newaxis] == np.arange(3), 0.998, 0.001).astype(np.float32)
        return EngineOutput(labels, p, lambda: VisualizationMaps(labels, labels))
