"""What every peer is given, what it answers, and what several of them do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.grid_bounds import Raster
from seg_perception.projection.flat_ground.sampling import GroundSettings
from seg_perception.risk.cost_matrix import LETHAL_COST, CostMatrix
from seg_perception.sensor_data.frame import Frame


@dataclass(frozen=True, eq=False)
class Scene:
    """One frame as a peer finds it.

    Attributes:
        frame: image, camera and poses, at the network's size.
        logits: float32 [K, h, w], what the network said, calibrated already.
        cloud: float32 [H, W, 3], the point that each pixel shows, in the optical frame, m; not finite for the sky.
        raster: the cells of odom that the costmap is to cover.
        ground: how near and how far the ground matters.
        matrix: costs.
    """

    frame: Frame
    logits: NDArray[np.float32]
    cloud: NDArray[np.float32]
    raster: Raster
    ground: GroundSettings
    matrix: CostMatrix

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the image."""
        return self.frame.camera.width, self.frame.camera.height


@dataclass(frozen=True, eq=False)
class Answer:
    """What a peer makes of a frame.

    Attributes:
        costs: float32 [rows, cols], nav2 units, 254 lethal, over the scene's raster.
        known: bool [rows, cols].
        labels: uint8 [H, W], the most probable class; None where the peer makes no labels.
        confidence: uint8 [H, W], 255 times its probability; None where the peer makes none.
        expected_cost: float32 [H, W], nav2 units; None where the peer makes none.
    """

    costs: NDArray[np.float32]
    known: NDArray[np.bool_]
    labels: NDArray[np.uint8] | None = None
    confidence: NDArray[np.uint8] | None = None
    expected_cost: NDArray[np.float32] | None = None


class Peer(Protocol):
    """Another way from a network's scores to a costmap.

    Attributes:
        key: short name.
        name: what it does.
        source: whose it is.
        lacks: what it leaves out of what this pipeline makes.
    """

    key: str
    name: str
    source: str
    lacks: str

    def process(self, scene: Scene) -> Answer:
        """All that comes after the network, for one frame."""


def full_size(logits: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Scores of all pixels, float32 [K, H, W]: bilinear, as networks that are exported at full size end.

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
    """What driving over each class costs, float32 [K], cut at lethal: peers know no dearer."""
    return np.asarray(np.minimum(matrix.traverse, LETHAL_COST), np.float32)
