"""The method of nav2's tutorial on semantic segmentation: label and confidence images, an aligned cloud, tiles.

Sources: ros-navigation/navigation2_tutorials, nav2_semantic_segmentation_demo/semantic_segmentation_node/
semantic_segmentation_node/segmentation_node.py for the images; kiwicampus/semantic_segmentation_layer,
src/segmentation_buffer.cpp and src/semantic_segmentation_layer.cpp for the costmap, with the settings of the tutorial's
local costmap (semantic_segmentation_sim/config/nav2_params.yaml: selection by confidence, decay 2 s, thresholds 0) but
our ranges.

Left out, in the baseline's favour: its messages, its overlay, and the source of the cloud. The layer is C++
with a loop over pixels and a hash map of tiles; here both are vectorised.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seg_perception.benchmark.baselines.baseline import BaselineInput, BaselineOutput, nav2_costs, upsample
from seg_perception.benchmark.baselines.tiles import NO_CLASS, ClassTiles

_DECAY = 2.0


class Nav2Tutorial:
    """A `Baseline`."""

    key = "nav2_tutorial"
    name = "nav2 tutorial: softmax and argmax in numpy, aligned cloud, tiles"
    source = "ros-navigation/navigation2_tutorials, kiwicampus/semantic_segmentation_layer"
    lacks = "expected cost; needs a depth camera"

    def __init__(self, classes: int) -> None:
        """Start with an empty tile map for so many classes."""
        self._tiles = ClassTiles(classes, _DECAY)

    def process(self, inputs: BaselineInput) -> BaselineOutput:
        """See `Baseline.process`."""
        labels, confidence = label_images(upsample(inputs.logits, inputs.size))
        rows, columns, pixels = most_confident_pixels(inputs, confidence.ravel())
        self._tiles.add(
            self._tiles.indices(rows, columns), labels.ravel()[pixels].astype(np.intp), inputs.frame.stamp_ns
        )
        bounds = inputs.bounds
        dominant = self._tiles.dominant[
            self._tiles.indices(
                bounds.first_row + np.arange(bounds.rows)[:, np.newaxis], bounds.first_col + np.arange(bounds.cols)
            )
        ]
        known = dominant != NO_CLASS
        costs = np.where(known, nav2_costs(inputs.matrix)[dominant], np.float32(0))
        return BaselineOutput(costs, known, labels, confidence)


def label_images(logits: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The most probable class of every pixel, and 255 times its probability, cut to whole numbers; uint8 [H, W] both.

    Args:
        logits: float32 [K, H, W].
    """
    labels = np.argmax(logits, axis=0).astype(np.uint8)
    masses = np.exp(logits - logits.max(axis=0, keepdims=True))
    probabilities = masses / masses.sum(axis=0, keepdims=True)
    return labels, (probabilities.max(axis=0) * 255.0).astype(np.uint8)


def most_confident_pixels(
    inputs: BaselineInput, confidence: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.intp]]:
    """The most confident pixel of each tile that the cloud reaches; the first of equals.

    Args:
        scene: its cloud is brought to odom; points nearer or farther than `ground` says are left out.
        confidence: uint8 [H * W].

    Returns:
        Row and column of the tiles in odom, and the pixel of each.
    """
    odom_from_optical = inputs.frame.odom_from_base @ inputs.frame.base_from_optical
    rotation, origin = (part.astype(np.float32) for part in (odom_from_optical.rotation, odom_from_optical.translation))
    points = inputs.cloud.reshape(-1, 3) @ rotation.T
    squared = np.einsum("ij,ij->i", points, points)
    ground = inputs.ground
    # Not finite compares as false.
    pixels = np.flatnonzero((squared < ground.max_range**2) & (squared > ground.min_range**2))
    tiles = np.floor((points[pixels, :2] + origin[:2]) / np.float32(inputs.bounds.resolution)).astype(np.int64)
    if not pixels.size:
        return tiles[:, 1], tiles[:, 0], pixels
    first, width = tiles.min(axis=0), int(np.ptp(tiles[:, 0])) + 1
    tile = (tiles[:, 1] - first[1]) * width + tiles[:, 0] - first[0]
    # Written in the order of confidence, equals from last to first: the most confident, first one remains.
    order = np.argsort(confidence[pixels][::-1], kind="stable")
    best = np.full(int(tile.max()) + 1, -1, np.intp)
    best[tile[::-1][order]] = pixels[::-1][order]
    occupied = np.flatnonzero(best >= 0)
    return occupied // width + first[1], occupied % width + first[0], best[occupied]
