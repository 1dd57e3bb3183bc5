"""One frame of `result.mcap` as plain values: `ResultWriter` writes it, `read_result` reads it."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import RecordingError
from seg_perception.geometry.transforms import Transform


@dataclass(frozen=True)
class ResultFrame:
    """All results for one camera image, at the stamp of that image.

    Attributes:
        stamp_ns: stamp of the camera image, nanoseconds.
        camera_jpeg: the camera image at network size, JPEG.
        overlay_jpeg: the same, blended with the class colours, JPEG.
        labels: uint8 [H, W], the Bayes decision as class index; 255 is "no label".
        most_probable: uint8 [H, W], the most probable class; 255 is "no label".
        confidence: uint8 [H, W], 255 times the probability of the most probable class.
        expected_cost: uint8 [H, W], expected cost of driving over each pixel, nav2 units; 254 is lethal.
        costmap: int8 [rows, cols], nav_msgs/OccupancyGrid values; -1 is unknown. Row 0 is the smallest y.
        resolution: cell size, metres.
        origin_xy: odom coordinates (x, y) of the lower-left corner of cell (0, 0), metres.
        odom_from_base: pose of the robot in odom.
        latency_ms: stage name to milliseconds.
    """

    stamp_ns: int
    camera_jpeg: bytes
    overlay_jpeg: bytes
    labels: NDArray[np.uint8]
    most_probable: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    expected_cost: NDArray[np.uint8]
    costmap: NDArray[np.int8]
    resolution: float
    origin_xy: tuple[float, float]
    odom_from_base: Transform
    latency_ms: dict[str, float]


@dataclass(frozen=True)
class LabelInfo:
    """The meaning of the values in the label images.

    Attributes:
        classes: K class names; index k is the value in the label images.
        colours: uint8 [K, 3], RGB.
        costs: K costs of driving over each class, nav2 units.
    """

    classes: tuple[str, ...]
    colours: NDArray[np.uint8]
    costs: tuple[float, ...]

    def to_json(self) -> str:
        """The text of /perception/label_info: keys classes, colours ([r, g, b] each) and costs."""
        content = {"classes": self.classes, "colours": self.colours.tolist(), "costs": self.costs}
        return json.dumps(content, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> LabelInfo:
        """The inverse of `to_json`.

        Raises:
            RecordingError: the text is not what `to_json` writes.
        """
        try:
            content = json.loads(text)
            colours = np.array(content["colours"], dtype=np.uint8).reshape(len(content["classes"]), 3)
            return cls(tuple(content["classes"]), colours, tuple(float(cost) for cost in content["costs"]))
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise RecordingError(
                f"/perception/label_info is not the JSON this program writes ({error!r}); run the replay again."
            ) from None
