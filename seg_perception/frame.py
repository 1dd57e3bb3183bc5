"""The one thing that every door hands to the pipeline: an image, when it was taken, and from where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform


@dataclass(frozen=True)
class Frame:
    """One camera image with its geometry, all at the image's own stamp.

    Attributes:
        stamp_ns: time of exposure, nanoseconds.
        image: uint8 [H, W, 3], channels in `channel_order`; may be a read-only view.
        channel_order: "rgb" or "bgr".
        camera: intrinsics for this image's size.
        odom_from_base: pose of the robot (base_link, REP-105) in odom.
        base_from_optical: pose of the camera's optical frame (REP-103) on the robot.
        frame_id: name of the optical frame, kept for what is published.
    """

    stamp_ns: int
    image: NDArray[np.uint8]
    channel_order: Literal["rgb", "bgr"]
    camera: Camera
    odom_from_base: Transform
    base_from_optical: Transform
    frame_id: str
