"""The input and output of every baseline, and what several of them share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.grid_bounds import GridBounds
from seg_perception.risk.cost_matrix import LETHAL_COST, CostMatrix
from seg_perception.sensor_data.frame import Frame
from seg_perception.settings.ground import GroundSettings


@dataclass(frozen=True, eq=False)
class BaselineInput:
    """One frame as a baseline gets it.

    Attributes:
        frame: image, camera and poses, at the network's size.
        logits: float32 [K, h, w], output of the network, already calibrated.
        cloud: float32 [H, W, 3], the point at each pixel, in the optical frame, m; not finite for the sky.
        bounds: the cells of odom that the costmap covers.
        ground: least and greatest range.
        matrix: costs.
    """

    frame: Frame
    logits: NDArray[np.float32]
    cloud: NDArray[np.float32]
    bounds: GridBounds
    ground: GroundSettings
    matrix: CostMatrix

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the image."""
        return self.frame.camera.width, self.frame.camera.height


@dataclass(frozen=True, eq=False)
class BaselineOutput:
    """The output of a baseline for a frame.

    Attributes:
        costs: float32 [rows, cols], nav2 units, 254 lethal, over the input's `bounds`.
        known: bool [rows, cols].
        labels: uint8 [H, W], the most probable class; None where the baseline makes no labels.
        confidence: uint8 [H, W], 255 times its probability; None where the baseline makes none.
        expected_cost: float32 [H, W], nav2 units; None where the baseline makes none.
    """

    costs: NDArray[np.float32]
    known: NDArray[np.bool_]
    labels: NDArray[np.uint8] | None = None
    confidence: NDArray[np.uint8] | None = None
    expected_cost: NDArray[np.float32] | None = None


class Baseline(Protocol):
    """Another method from a network's logits to a costmap.

    Attributes:
        key: short name.
        name: what it does.
        source: repository it is taken from.
        lacks: outputs of this pipeline that it does not make.
    """

    key: str
    name: str
    source: str
    lacks: str

    def process(self, inputs: BaselineInput) -> BaselineOutput:
        """Everything after the network, for one frame."""


def upsample(logits: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Logits of all pixels, float32 [K, H, W], bilinear: the last step of networks exported at full size.

    Args:
        logits: float32 [K, h, w].
        size: (width, height).
    """
    width, height = size
    full = np.empty((len(logits), height, width), np.float32)
    for plane, target in zip(logits, full, strict=True):
        cv2.resize(plane, size, dst=target, interpolation=cv2.INTER_LINEAR)
    return full


def nav2_costs(matrix: CostMatrix) -> NDArray[np.float32]:
    """What driving over each class costs, float32 [K], clipped at lethal, the highest cost that baselines know."""
    return np.asarray(np.minimum(matrix.traverse, LETHAL_COST), np.float32)
