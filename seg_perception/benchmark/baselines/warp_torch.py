"""Softmax times costs at full resolution in PyTorch, and one warp of the cost image onto the ground.

The usual method for bird's-eye views from one camera. Source of the warp: ika-rwth-aachen/Cam2BEV,
preprocessing/ipm/ipm.py (homography from calibration, cv2.warpPerspective); of the rest: the formula.

This is the only module outside `training/` that imports PyTorch: the baseline is written in it.
"""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.benchmark.baselines.baseline import BaselineInput, BaselineOutput
from seg_perception.geometry.transforms import footprint_of
from seg_perception.risk.cost_matrix import LETHAL_COST

_UNKNOWN = -1.0


class WarpTorch:
    """A `Baseline` without memory.

    Raises:
        ImportError: PyTorch is not installed.
    """

    key = "warp_torch"
    name = "softmax · cost in PyTorch, warped onto the ground"
    source = "ika-rwth-aachen/Cam2BEV (the warp)"
    lacks = "labels, confidence, visibility, memory"

    def __init__(self, threads: int | None = None) -> None:
        """Load PyTorch.

        Args:
            threads: for PyTorch; None for its default.
        """
        # Its threads would spin after each call, in the time of the next task.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import torch

        if threads is not None:
            torch.set_num_threads(threads)
        self._torch: Any = torch

    def process(self, inputs: BaselineInput) -> BaselineOutput:
        """See `Baseline.process`."""
        torch = self._torch
        width, height = inputs.size
        with torch.inference_mode():
            logits = torch.from_numpy(inputs.logits)[np.newaxis]
            full = torch.nn.functional.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
            costs = torch.from_numpy(inputs.matrix.traverse.copy())
            expected = torch.einsum("nkhw,k->nhw", full.softmax(dim=1), costs).clamp(max=LETHAL_COST)[0].numpy()
        warped = warp(inputs, expected)
        known = warped >= 0
        return BaselineOutput(np.where(known, warped, np.float32(0)), known, expected_cost=expected)


def warp(inputs: BaselineInput, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """An image warped onto the ground, float32 [rows, cols]; -1 outside of it and out of range."""
    bounds, homography = inputs.bounds, pixel_from_cell(inputs)
    warped = cv2.warpPerspective(
        image, homography, (bounds.cols, bounds.rows), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT, borderValue=_UNKNOWN,
    )  # fmt: skip
    rows, columns = np.arange(bounds.rows)[:, np.newaxis], np.arange(bounds.cols)
    behind = homography[2, 0] * columns + homography[2, 1] * rows + homography[2, 2] <= 0
    x, y = (inputs.frame.odom_from_base @ inputs.frame.base_from_optical).translation[:2]
    across = (bounds.first_col + columns + 0.5) * bounds.resolution - x
    along = (bounds.first_row + rows + 0.5) * bounds.resolution - y
    distance = np.hypot(across, along)
    out = behind | (distance < inputs.ground.min_range) | (distance > inputs.ground.max_range)
    return np.where(out, np.float32(_UNKNOWN), np.asarray(warped, np.float32))


def pixel_from_cell(inputs: BaselineInput) -> NDArray[np.float64]:
    """The homography, float64 [3, 3], from (column, row) of the raster to (u, v): ground is the footprint's z = 0."""
    frame, bounds = inputs.frame, inputs.bounds
    optical_from_odom = (frame.odom_from_base @ frame.base_from_optical).inverse()
    height = float(footprint_of(frame.odom_from_base).translation[2])
    step = bounds.resolution
    odom_from_cell = np.array(
        [
            [step, 0, (bounds.first_col + 0.5) * step],
            [0, step, (bounds.first_row + 0.5) * step],
            [0, 0, height],
            [0, 0, 1],
        ]
    )
    into_camera = np.column_stack([optical_from_odom.rotation, optical_from_odom.translation])
    homography: NDArray[np.float64] = frame.camera.matrix @ into_camera @ odom_from_cell
    return homography
