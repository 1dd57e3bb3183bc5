"""A frame that is ready for the network."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.grid_bounds import GridBounds
from seg_perception.inference.engine import Engine
from seg_perception.projection.extrinsic_calibration.online_calibration import AttitudeCorrection
from seg_perception.projection.select import SelectedProjection
from seg_perception.sensor_data.frame import Frame


@dataclass(frozen=True, eq=False)
class PreparedFrame:
    """A frame with all that the network needs; `Pipeline.prepare` makes it.

    Attributes:
        frame: the frame it was made from.
        engine: that is to run.
        image: uint8 [h, w, 3] at the engine's size.
        camera: intrinsics of that size.
        sample_points: float32 [G, 2], where the engine samples class probabilities.
        selected: the projection of the frame.
        attitude_correction: estimated attitude error of the camera; None where online calibration is off.
        bounds: of the grid when it is centred on this frame.
        timings_ms: stage → milliseconds so far.
    """

    frame: Frame
    engine: Engine
    image: NDArray[np.uint8]
    camera: Camera
    sample_points: NDArray[np.float32]
    selected: SelectedProjection
    attitude_correction: AttitudeCorrection | None
    bounds: GridBounds
    timings_ms: dict[str, float]

    def corrected_frame(self) -> Frame:
        """The frame with the extrinsics by which it is projected."""
        if self.attitude_correction is None or self.selected.name != "plane":
            return self.frame
        nominal_from_actual = self.attitude_correction.nominal_from_actual
        return replace(self.frame, base_from_optical=self.frame.base_from_optical @ nominal_from_actual)
