"""Visualization maps: label images, costs and costmaps as colour images.

Colour tables are RGB, as in the model card, and so are the maps. Only `overlay` takes and returns BGR, the order in
which OpenCV reads and writes images. The functions run inside the replay loop, so each is one table look-up per pixel.

All costs, per pixel and per cell, share one scale: from teal (free) through yellow to orange. Lethal is a dark red
outside this ramp, and unknown is slate grey. Colour-blind readers can distinguish the steps too
(`test_visualization.py` simulates that).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

NO_LABEL = 255
LETHAL_COST = 254
UNKNOWN_COST = 255

_JPEG_QUALITY = 85
_NO_LABEL_COLOUR = (0, 0, 0)
_LETHAL_COLOUR = (126, 0, 26)
_UNKNOWN_COLOUR = (80, 90, 106)
_GRADED_ANCHORS = {
    0: (24, 170, 178),
    50: (128, 205, 172),
    105: (250, 224, 130),
    165: (248, 168, 70),
    253: (240, 88, 40),
}
# Uncertain pixels matter most, so low confidence is bright and high confidence dark.
_CONFIDENCE_ANCHORS = {0: (255, 240, 170), 100: (244, 176, 70), 180: (150, 70, 110), 255: (24, 28, 68)}


def jpeg(image_bgr: NDArray[np.uint8]) -> bytes:
    """Encode uint8 [h, w, 3], BGR, as a JPEG for people to view."""
    encoded: NDArray[np.uint8] = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    return encoded.tobytes()


def most_probable(logits: NDArray[np.float32], width: int, height: int) -> NDArray[np.uint8]:
    """The most probable class of each pixel, as uint8 [height, width].

    Args:
        logits: float32 [K, h, w], at the network's own resolution; interpolated bilinearly, as for the decision.
        width: of the image, pixels.
        height: of the image, pixels.
    """
    highest = cv2.resize(logits[0], (width, height))
    classes: NDArray[np.uint8] = np.zeros((height, width), dtype=np.uint8)
    for number, plane in enumerate(logits[1:], 1):
        larger = cv2.resize(plane, (width, height))
        classes[larger > highest] = number
        cv2.max(highest, larger, highest)
    return classes


def _ramp(anchors: dict[int, tuple[int, int, int]]) -> NDArray[np.uint8]:
    """Linear interpolation between the anchor colours: uint8 [256, 3]."""
    colours = np.array(list(anchors.values()), dtype=np.float64)
    channels = [np.interp(np.arange(256), list(anchors), colours[:, channel]) for channel in range(3)]
    return np.asarray(np.stack(channels, axis=1).round(), dtype=np.uint8)


def _cost_table() -> NDArray[np.uint8]:
    table = _ramp(_GRADED_ANCHORS)
    table[LETHAL_COST] = _LETHAL_COLOUR
    table[UNKNOWN_COST] = _UNKNOWN_COLOUR
    return table


def _costmap_table() -> NDArray[np.uint8]:
    """Colours of the 256 bytes of an OccupancyGrid: 0..99 graded, 255 (that is -1) unknown, all others lethal.

    That is how nav2's `StaticLayer::interpretValue` (nav2_costmap_2d) reads them with `trinary_costmap: false`.
    """
    cost = np.full(256, LETHAL_COST)
    cost[:100] = np.round(np.arange(100) * LETHAL_COST / 100)
    cost[255] = UNKNOWN_COST
    return np.take(COST_COLOURS, cost, axis=0)


COST_COLOURS = _cost_table()
"""uint8 [256, 3], RGB: the colour of each nav2 cost; 254 is lethal, 255 unknown."""
CONFIDENCE_COLOURS = _ramp(_CONFIDENCE_ANCHORS)
"""uint8 [256, 3], RGB: the colour of each confidence, 0 (none) to 255 (certain)."""
COSTMAP_COLOURS = _costmap_table()
"""uint8 [256, 3], RGB: the colour of each OccupancyGrid value, taken as a byte."""


def colourise(labels: NDArray[np.uint8], colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colour a label image by class.

    Args:
        labels: uint8 [H, W]; values from K on (255 is "no label") become black.
        colours: uint8 [K, 3].

    Returns:
        uint8 [H, W, 3], channels in the order of `colours`.
    """
    table = np.full((256, 3), _NO_LABEL_COLOUR, dtype=np.uint8)
    table[: len(colours)] = colours
    return _look_up(labels, table)


def overlay(
    image_bgr: NDArray[np.uint8], labels: NDArray[np.uint8], colours: NDArray[np.uint8], alpha: float
) -> NDArray[np.uint8]:
    """Overlay the class colours on the camera image.

    Args:
        image_bgr: uint8 [H, W, 3], BGR.
        labels: uint8 [H, W]; where it is K or more (255 is "no label") the image shows unchanged.
        colours: uint8 [K, 3], RGB.
        alpha: weight of the colours, 0 (image only) to 1 (colours only).

    Returns:
        uint8 [H, W, 3], BGR.
    """
    coloured = colourise(labels, colours[:, ::-1])
    blended = cv2.addWeighted(image_bgr, 1.0 - alpha, coloured, alpha, 0.0)
    unlabelled = cv2.inRange(labels, len(colours), 255)
    return np.asarray(cv2.copyTo(image_bgr, unlabelled, blended), dtype=np.uint8)


def cost_image(cost: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colour nav2 costs.

    Args:
        cost: uint8 [H, W], nav2 cost units; 254 is lethal, 255 unknown.

    Returns:
        uint8 [H, W, 3], RGB.
    """
    return _look_up(cost, COST_COLOURS)


def costmap_image(costmap: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Colour an occupancy grid as nav2 reads it.

    Args:
        costmap: int8 [rows, cols], nav_msgs/OccupancyGrid values; -1 is unknown.

    Returns:
        uint8 [rows, cols, 3], RGB, rows as given: row 0 has the smallest y, so flip the image to let y point up.
    """
    return _look_up(costmap.view(np.uint8), COSTMAP_COLOURS)


def _look_up(indices: NDArray[np.uint8], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.applyColorMap(indices, table[:, np.newaxis]), dtype=np.uint8)
