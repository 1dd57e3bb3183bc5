"""What the pipeline makes of one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.costmap.nav2_encoding import OccupancyValues
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.grid_bounds import GridBounds
from seg_perception.inference.engine import EngineOutput
from seg_perception.projection.extrinsic_calibration.online_calibration import AttitudeCorrection
from seg_perception.projection.flat_ground.field_of_view import ground_in_view
from seg_perception.sensor_data.frame import Frame
from seg_perception.settings.pipeline import PipelineSettings
from seg_perception.settings.projection import Projection


@dataclass(frozen=True, eq=False)
class Result:
    """What the pipeline makes of one frame: labels and risk in the image, and the costmap.

    Attributes:
        frame: the frame it was made from, with the extrinsics by which it was projected.
        image: uint8 [h, w, 3] at network size, channels in the engine's `image_order`.
        camera: intrinsics of that size.
        output: label image, confidence and expected cost at network size.
        costmap: int8 [rows, cols], nav_msgs/OccupancyGrid values; row is y, column is x in odom.
        bounds: of the costmap in odom.
        timings_ms: stage → milliseconds, for each of STAGES.
        stamp_ns: time of the newest frame in the costmap, of whichever camera, nanoseconds.
        projection: how the frame was projected: "points", "depth" or "plane".
        refused: why a better projection was not possible; a few fixed texts, for counting.
        attitude_correction: estimated attitude error of the camera. It is applied if the projection is "plane": then
            the frame's `base_from_optical` is the corrected one. None where `ground.max_pitch_error` is 0.
        stale_cells: bool [rows, cols], cells that were cleared because only a stale camera covers them; None where no
            camera is stale.

    Examples:
        >>> result = pipeline.process(frame)
        >>> lethal = result.bounds.centres()[result.costmap == 100]  # (x, y) in odom, m
    """

    frame: Frame
    image: NDArray[np.uint8]
    camera: Camera
    output: EngineOutput
    costmap: NDArray[np.int8]
    bounds: GridBounds
    timings_ms: dict[str, float]
    stamp_ns: int
    projection: Projection = "plane"
    refused: tuple[str, ...] = ()
    attitude_correction: AttitudeCorrection | None = None
    stale_cells: NDArray[np.bool_] | None = None


def field_of_view(result: Result, settings: PipelineSettings, here: Result | None = None) -> NDArray[np.bool_]:
    """The cells of a costmap whose ground lies in a camera's field of view, visible or hidden.

    Where ground was measured and no flat ground would be in view, as at the foot of a slope, these are all known cells.

    Args:
        result: of the camera.
        settings: of the pipeline.
        here: result with the costmap and with the pose from which the camera looks; by default the same one.

    Returns:
        bool [rows, cols].
    """
    here = here or result
    extrinsics = result.frame.base_from_optical
    view = ground_in_view(result.camera, extrinsics, here.frame.odom_from_base, here.bounds, settings.ground)
    if view is None:
        known: NDArray[np.bool_] = here.costmap != OccupancyValues.UNKNOWN
        return known
    return view
